//! Finds the content of a body among its framing, piece by piece (RFC 9112 section 7.1 for chunks).
//!
//! Sees bytes, never a socket: the owner of the buffer calls [`Decoder::framing`] to learn how many bytes at its front
//! are not content, then [`Decoder::content`] how many after them are. Bytes may come in any cut.

use bytes::Bytes;
use http::HeaderMap;

use super::{Framing, Invalid, trailers};
use crate::proxy::limits;

/// See the module.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    /// Bytes of chunk extensions so far.
    extensions: usize,
    /// Bytes and fields of the trailer section so far.
    trailers: (usize, usize),
    /// The section itself, where it is asked for.
    kept: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes of content, then the end.
    Length(u64),
    UntilClose,
    /// The size of a chunk, of which so many digits have come.
    Size(u64, u8),
    /// White space after the size; an extension must follow.
    Space(u64),
    Extension(u64),
    SizeLf(u64),
    /// So many bytes of a chunk.
    Data(u64),
    DataCr,
    DataLf,
    /// The beginning of a line after the last chunk.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size(0, 0),
            Framing::UntilClose => State::UntilClose,
        };
        Decoder { state, extensions: 0, trailers: (0, 0), kept: None }
    }

    /// Trailers are kept; else they are checked and dropped.
    pub(super) fn keeping_trailers(mut self, keeping: bool) -> Self {
        self.kept = keeping.then(Vec::new);
        self
    }

    /// The trailers that came after the body.
    pub(super) fn take_trailers(&mut self) -> Result<Option<HeaderMap>, Invalid> {
        match self.kept.take() {
            Some(kept) if !kept.is_empty() => {
                trailers::read(&Bytes::from(kept), limits::HEADER_FIELDS).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Everything has come.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The connection has ended; was that the end of the body?
    pub(super) fn close(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// Bytes of content at the front of `available` bytes, after what [`Decoder::framing`] has counted was taken away.
    pub(super) fn content(&mut self, available: usize) -> usize {
        match &mut self.state {
            State::UntilClose => available,
            State::Length(left) | State::Data(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
                *left -= take as u64;
                if *left == 0 {
                    self.state =
                        if matches!(self.state, State::Data(_)) { State::DataCr } else { State::Done };
                }
                take
            }
            _ => 0,
        }
    }

    /// Bytes at the front of `bytes` that are framing, and now are understood.
    pub(super) fn framing(&mut self, bytes: &[u8]) -> Result<usize, Invalid> {
        let mut taken = 0;
        for byte in bytes {
            if matches!(self.state, State::Length(_) | State::UntilClose | State::Data(_) | State::Done) {
                break;
            }
            self.state = self.step(*byte)?;
            taken += 1;
        }
        Ok(taken)
    }

    fn step(&mut self, byte: u8) -> Result<State, Invalid> {
        use State as S;
        self.keep(byte);
        Ok(match (self.state, byte) {
            (S::Size(_, limits::CHUNK_SIZE_DIGITS), _) if byte.is_ascii_hexdigit() => {
                return Err(Invalid::Malformed("a chunk size is too large"));
            }
            (S::Size(size, digits), _) if byte.is_ascii_hexdigit() => {
                S::Size(size * 16 + hexadecimal(byte), digits + 1)
            }
            (S::Size(_, 0), _) => return Err(Invalid::Malformed("a chunk without a size")),
            (S::Size(size, _) | S::Extension(size), b'\r') => S::SizeLf(size),
            (S::Size(size, _) | S::Space(size), b';') => S::Extension(size),
            (S::Size(size, _) | S::Space(size), b' ' | b'\t') => {
                self.extend()?;
                S::Space(size)
            }
            (S::Size(..) | S::Space(_), _) => return Err(Invalid::Malformed("a chunk size is not a number")),
            (S::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => {
                self.extend()?;
                S::Extension(size)
            }
            (S::Extension(_), _) => return Err(Invalid::Malformed("a control byte in a chunk extension")),
            (S::SizeLf(0), b'\n') => S::Trailer,
            (S::SizeLf(size), b'\n') => S::Data(size),
            (S::DataCr, b'\r') => S::DataLf,
            (S::DataLf, b'\n') => S::Size(0, 0),
            (S::DataCr | S::DataLf, _) => return Err(Invalid::Malformed("a chunk is longer than its size")),
            (S::Trailer, b'\r') => S::EndLf,
            (S::Trailer | S::TrailerName | S::TrailerValue, _) => return self.trailer(byte),
            (S::TrailerLf, b'\n') => S::Trailer,
            (S::EndLf, b'\n') => S::Done,
            (S::SizeLf(_) | S::TrailerLf | S::EndLf, _) => {
                return Err(Invalid::Malformed("a line of the chunked body ends without CR LF"));
            }
            (state @ (S::Length(_) | S::UntilClose | S::Data(_) | S::Done), _) => state,
        })
    }

    /// The lines of the trailer section, and the empty line that ends it where there are any.
    fn keep(&mut self, byte: u8) {
        use State as S;
        let Some(kept) = &mut self.kept else { return };
        let counts = match self.state {
            S::Trailer => byte != b'\r' || !kept.is_empty(),
            S::EndLf => !kept.is_empty(),
            S::TrailerName | S::TrailerValue | S::TrailerLf => true,
            _ => false,
        };
        // `trailer` bounds it.
        if counts {
            kept.push(byte);
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Invalid> {
        let (bytes, fields) = &mut self.trailers;
        *bytes += 1;
        if *bytes > limits::TRAILER_BYTES {
            return Err(Invalid::TooLarge("trailer bytes"));
        }
        match (self.state, byte) {
            (State::Trailer, _) if is_token(byte) => {
                *fields += 1;
                if *fields > limits::HEADER_FIELDS {
                    return Err(Invalid::TooLarge("trailer fields"));
                }
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, _) if is_token(byte) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::TrailerValue),
            _ => Err(Invalid::Malformed("a malformed trailer")),
        }
    }

    fn extend(&mut self) -> Result<(), Invalid> {
        self.extensions += 1;
        if self.extensions > limits::CHUNK_EXTENSION_BYTES {
            return Err(Invalid::TooLarge("chunk extensions"));
        }
        Ok(())
    }
}

fn hexadecimal(digit: u8) -> u64 {
    char::from(digit).to_digit(16).unwrap_or_default().into()
}

/// RFC 9110 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
