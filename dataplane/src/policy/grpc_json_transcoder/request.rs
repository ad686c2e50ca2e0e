//! Bodies of client streams: the elements of a JSON array, or pieces as they come, each one message.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portcullis_shared::transcoding::{ArrayError, Call, Elements, framed};

use super::super::{BodyError, BodyFilter};
use super::{LIMIT, REASON};

pub(super) fn filter(call: &Arc<Call>, content_type: String) -> Box<dyn BodyFilter> {
    let call = Arc::clone(call);
    if call.takes_raw() {
        Box::new(Pieces { call, content_type, first: true })
    } else {
        Box::new(Messages { call, elements: Elements::new(LIMIT) })
    }
}

struct Messages {
    call: Arc<Call>,
    elements: Elements,
}

impl BodyFilter for Messages {
    fn data(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        let call = &self.call;
        self.elements.push(&piece, |element| {
            if element.iter().all(u8::is_ascii_whitespace) {
                return Err(bad("a message is missing between two commas".to_owned()));
            }
            out.push(framed(&call.message(element).map_err(bad)?));
            Ok(())
        })
    }

    fn end(
        &mut self,
        trailers: Option<HeaderMap>,
        _out: &mut Vec<Bytes>,
    ) -> Result<Option<HeaderMap>, BodyError> {
        self.elements.end()?;
        Ok(trailers)
    }
}

fn bad(detail: String) -> BodyError {
    BodyError { status: StatusCode::BAD_REQUEST, reason: REASON, detail: detail.into() }
}

impl From<ArrayError> for BodyError {
    fn from(error: ArrayError) -> Self {
        match error {
            ArrayError::TooLong(_) => {
                Self { status: StatusCode::PAYLOAD_TOO_LARGE, ..bad(error.to_string()) }
            }
            _ => bad(error.to_string()),
        }
    }
}

/// What comes at once is one message: gRPC has no other form for a body that has no end yet.
struct Pieces {
    call: Arc<Call>,
    content_type: String,
    first: bool,
}

impl Pieces {
    fn message(&mut self, piece: Bytes) -> Bytes {
        framed(&self.call.raw_message(piece, &self.content_type, std::mem::take(&mut self.first)))
    }
}

impl BodyFilter for Pieces {
    fn data(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        if !piece.is_empty() {
            out.push(self.message(piece));
        }
        Ok(())
    }

    fn end(
        &mut self,
        trailers: Option<HeaderMap>,
        out: &mut Vec<Bytes>,
    ) -> Result<Option<HeaderMap>, BodyError> {
        if self.first {
            out.push(self.message(Bytes::new()));
        }
        Ok(trailers)
    }
}
