//! Frame headers (RFC 9113 4.1) found in bytes that pass, however they are cut.

/// Bytes of a frame header.
const HEADER: usize = 9;
/// Bytes of a GOAWAY frame up to the end of its error code.
const GOODBYE: usize = 8;
const GOAWAY: u8 = 7;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    /// Bytes of the payload.
    pub(super) length: usize,
    kind: u8,
    flags: u8,
    /// 0 is the connection.
    pub(super) stream: u32,
}

/// What a frame is to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Reset,
    GoAway,
    Continuation,
    /// PRIORITY, SETTINGS, PING, WINDOW_UPDATE and what is not known.
    Other,
}

impl Header {
    fn of(bytes: [u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = bytes;
        Header {
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            kind,
            flags,
            stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            3 => Kind::Reset,
            GOAWAY => Kind::GoAway,
            9 => Kind::Continuation,
            _ => Kind::Other,
        }
    }

    /// END_STREAM, of DATA and HEADERS.
    pub(super) fn ends_stream(&self) -> bool {
        self.flags & 0x1 != 0
    }

    /// END_HEADERS, of HEADERS and CONTINUATION.
    pub(super) fn ends_headers(&self) -> bool {
        self.flags & 0x4 != 0
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// The start of a header that is not whole, and how much of it is here.
    part: [u8; HEADER],
    have: usize,
    /// Bytes of the preface, or of the present frame's payload, that are still to come.
    rest: usize,
    /// The present frame; none while the preface is read.
    frame: Option<Header>,
    goodbye: [u8; GOODBYE],
    said: usize,
}

impl Scanner {
    /// So many bytes come before the first frame.
    pub(super) fn after(preface: usize) -> Self {
        Scanner { rest: preface, ..Scanner::default() }
    }

    /// Calls `each` with every header that is complete by `bytes`.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut each: impl FnMut(&Header)) {
        loop {
            if self.rest > 0 {
                let (passed, after) = bytes.split_at(self.rest.min(bytes.len()));
                if self.frame.is_some_and(|frame| frame.kind == GOAWAY) {
                    for (to, from) in self.goodbye.iter_mut().skip(self.said).zip(passed) {
                        *to = *from;
                        self.said += 1;
                    }
                }
                self.rest -= passed.len();
                bytes = after;
            }
            if bytes.is_empty() {
                return;
            }
            let missing = HEADER - self.have;
            let (now, after) = bytes.split_at(missing.min(bytes.len()));
            for (to, from) in self.part.iter_mut().skip(self.have).zip(now) {
                *to = *from;
            }
            self.have += now.len();
            bytes = after;
            if self.have < HEADER {
                return;
            }
            let frame = Header::of(self.part);
            self.have = 0;
            self.said = 0;
            self.rest = frame.length;
            self.frame = Some(frame);
            each(&frame);
        }
    }

    /// The preface is over.
    pub(super) fn is_begun(&self) -> bool {
        self.frame.is_some()
    }

    /// The preface, a frame header, or the payload of a frame of such a kind is not complete.
    pub(super) fn is_inside(&self, kind: impl FnOnce(Kind) -> bool) -> bool {
        self.have > 0
            || match &self.frame {
                None => true,
                Some(frame) => self.rest > 0 && kind(frame.kind()),
            }
    }

    /// The error code of a GOAWAY frame that has passed.
    pub(super) fn take_goodbye(&mut self) -> Option<u32> {
        if self.said < GOODBYE {
            return None;
        }
        self.said = 0;
        let [_, _, _, _, a, b, c, d] = self.goodbye;
        Some(u32::from_be_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::frame;
    use super::*;

    #[test]
    fn headers_are_found_whatever_the_cuts() {
        let mut bytes = b"preface!".to_vec();
        bytes.extend(frame(1, 0x5, 1, &[7; 300]));
        bytes.extend(frame(6, 0, 0, b"12345678"));
        bytes.extend(frame(0, 0x1, 1, b""));
        bytes.extend(frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 11, b'x']));
        for cut in 1..bytes.len() {
            let mut scanner = Scanner::after(8);
            let (mut seen, mut codes) = (Vec::new(), Vec::new());
            assert!(scanner.is_inside(|_| false), "the preface is to come");
            for piece in bytes.chunks(cut) {
                scanner.scan(piece, |frame| seen.push((frame.kind(), frame.length, frame.stream)));
                codes.extend(scanner.take_goodbye());
            }
            let wanted =
                [(Kind::Headers, 300, 1), (Kind::Other, 8, 0), (Kind::Data, 0, 1), (Kind::GoAway, 9, 0)];
            assert_eq!(seen, wanted, "cut at {cut}");
            assert_eq!(codes, [11], "cut at {cut}");
            assert!(!scanner.is_inside(|_| true), "all is complete");
        }
    }
}
