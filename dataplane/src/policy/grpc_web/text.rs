//! The text form: base64, in which every piece may end with padding of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use smallvec::SmallVec;

use super::super::{BodyError, BodyFilter};

/// A piece by itself: a browser can read it at once.
pub(super) fn encode(piece: &[u8]) -> Bytes {
    STANDARD.encode(piece).into()
}

/// A body on its way.
#[derive(Default)]
pub(super) struct Decoding {
    /// The beginning of a group of four.
    rest: SmallVec<[u8; 4]>,
}

impl BodyFilter for Decoding {
    fn data(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        let mut text = std::mem::take(&mut self.rest).into_vec();
        text.extend_from_slice(&piece);
        let whole = text.len() / 4 * 4;
        self.rest = text.split_off(whole).into();
        let mut bytes = Vec::with_capacity(whole / 4 * 3);
        // Up to and with each padded group, which ends a text.
        for part in text.chunks(4).collect::<Vec<_>>().chunk_by(|group, _| !group.ends_with(b"=")) {
            STANDARD.decode_vec(part.concat(), &mut bytes).map_err(|error| broken(error.to_string()))?;
        }
        out.push(bytes.into());
        Ok(())
    }

    fn end(
        &mut self,
        trailers: Option<HeaderMap>,
        _out: &mut Vec<Bytes>,
    ) -> Result<Option<HeaderMap>, BodyError> {
        if self.rest.is_empty() { Ok(trailers) } else { Err(broken("it ends within a group".to_owned())) }
    }
}

fn broken(detail: String) -> BodyError {
    BodyError { status: StatusCode::BAD_REQUEST, reason: "grpc_web_not_base64", detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_one_after_the_other_are_read_in_any_cuts() {
        let text = [encode(b"hello"), encode(b"w"), encode(b"orld!!")].concat();
        for cut in 1..text.len() {
            let mut decoding = Decoding::default();
            let mut out = Vec::new();
            for piece in text.chunks(cut) {
                decoding.data(Bytes::copy_from_slice(piece), &mut out).unwrap();
            }
            decoding.end(None, &mut out).unwrap();
            assert_eq!(out.concat(), b"helloworld!!", "in pieces of {cut}");
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        assert!(Decoding::default().data(Bytes::from_static(b"a?b="), &mut Vec::new()).is_err());
        let mut short = Decoding::default();
        short.data(Bytes::from_static(b"aGk"), &mut Vec::new()).unwrap();
        assert!(short.end(None, &mut Vec::new()).is_err());
    }
}
