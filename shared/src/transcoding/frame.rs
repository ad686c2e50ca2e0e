//! Messages of gRPC in their frames: a byte that says whether it is compressed, its length, and it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

const HEADER: usize = 5;

/// Why bytes are no frames that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Nobody has asked for it.
    #[error("a message is compressed")]
    Compressed,
    /// It would have to be kept.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    /// There is less than the header says.
    #[error("the last message is not complete")]
    Incomplete,
}

/// A message in its frame.
#[must_use]
pub fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + HEADER);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

/// Takes frames apart as they come.
#[derive(Debug)]
pub struct Frames {
    kept: BytesMut,
    limit: usize,
}

impl Frames {
    /// No message may be longer than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { kept: BytesMut::new(), limit }
    }

    /// Adds what has come.
    pub fn push(&mut self, piece: &[u8]) {
        self.kept.extend_from_slice(piece);
    }

    /// The next message that is complete.
    ///
    /// # Errors
    /// There will not be one.
    pub fn take(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some((compressed, mut rest)) = self.kept.split_first() else { return Ok(None) };
        if *compressed != 0 {
            return Err(FrameError::Compressed);
        }
        let Ok(length) = rest.try_get_u32() else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FrameError::TooLong(self.limit));
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.kept.advance(HEADER);
        Ok(Some(self.kept.split_to(length).freeze()))
    }

    /// There is nothing more to come.
    ///
    /// # Errors
    /// A message has begun.
    pub fn end(&self) -> Result<(), FrameError> {
        if self.kept.is_empty() { Ok(()) } else { Err(FrameError::Incomplete) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_of_any_cuts() {
        let all = [framed(b"one"), framed(b""), framed(b"three")].concat();
        for cut in 1..all.len() {
            let mut frames = Frames::new(5);
            let mut messages = Vec::new();
            for piece in all.chunks(cut) {
                frames.push(piece);
                while let Some(message) = frames.take().unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages, ["one", "", "three"], "{cut}");
            frames.end().unwrap();
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let mut frames = Frames::new(2);
        frames.push(b"\x01\0\0\0\0");
        assert_eq!(frames.take(), Err(FrameError::Compressed));
        let mut frames = Frames::new(2);
        frames.push(&framed(b"abc"));
        assert_eq!(frames.take(), Err(FrameError::TooLong(2)));
        let mut frames = Frames::new(2);
        frames.push(b"\0\0\0\0\x02a");
        assert_eq!((frames.take(), frames.end()), (Ok(None), Err(FrameError::Incomplete)));
    }
}
