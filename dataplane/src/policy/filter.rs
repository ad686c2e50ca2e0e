//! Changing a body while it passes, without holding it back.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// Changes one body as it comes, piece by piece. One per body, put into [`Filters`] by a policy.
pub trait BodyFilter: Send + Sync {
    /// Takes a piece and gives what can be passed on.
    ///
    /// # Errors
    /// The body cannot go on.
    fn data(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError>;

    /// The body is complete. Gives what was kept back, and the trailers that follow it.
    ///
    /// # Errors
    /// The body may not end here.
    fn end(
        &mut self,
        trailers: Option<HeaderMap>,
        _out: &mut Vec<Bytes>,
    ) -> Result<Option<HeaderMap>, BodyError> {
        Ok(trailers)
    }
}

/// Why a body cannot go on. Before a response has begun the client gets `status`; after that it is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// For a client that can still be answered.
    pub status: StatusCode,
    /// Stable snake case word for log, span and metric.
    pub reason: &'static str,
    /// What exactly was wrong, for the log only.
    pub detail: Box<str>,
}

/// The filters of one body, in the order in which it passes them.
#[derive(Default)]
pub struct Filters(Vec<Box<dyn BodyFilter>>);

impl Filters {
    /// No filter: bytes pass as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one behind the others.
    pub fn push(&mut self, filter: Box<dyn BodyFilter>) {
        self.0.push(filter);
    }

    /// Adds `others` behind these.
    pub(crate) fn extend(&mut self, others: Filters) {
        self.0.extend(others.0);
    }

    /// Passes a piece through all of them.
    ///
    /// # Errors
    /// The first filter that cannot go on.
    pub fn data(&mut self, piece: Bytes) -> Result<Vec<Bytes>, BodyError> {
        self.from(0, vec![piece])
    }

    /// Ends the body. What comes last, and the trailers.
    ///
    /// # Errors
    /// The first filter that does not accept the end.
    pub fn end(
        &mut self,
        mut trailers: Option<HeaderMap>,
    ) -> Result<(Vec<Bytes>, Option<HeaderMap>), BodyError> {
        let mut last = Vec::new();
        for at in 0..self.0.len() {
            let Some(filter) = self.0.get_mut(at) else { break };
            let mut pieces = Vec::new();
            trailers = filter.end(trailers, &mut pieces)?;
            last.extend(self.from(at.saturating_add(1), pieces)?);
        }
        Ok((last, trailers))
    }

    /// Passes a whole body through all of them, which ends them.
    ///
    /// # Errors
    /// The first filter that cannot go on.
    pub fn whole(
        &mut self,
        body: Bytes,
        trailers: Option<HeaderMap>,
    ) -> Result<(Bytes, Option<HeaderMap>), BodyError> {
        let mut filters = std::mem::take(self);
        let mut pieces = if body.is_empty() { Vec::new() } else { filters.data(body)? };
        let (last, trailers) = filters.end(trailers)?;
        pieces.extend(last);
        Ok((joined(pieces), trailers))
    }

    fn from(&mut self, first: usize, mut pieces: Vec<Bytes>) -> Result<Vec<Bytes>, BodyError> {
        for filter in self.0.iter_mut().skip(first) {
            let mut out = Vec::new();
            for piece in pieces {
                filter.data(piece, &mut out)?;
            }
            pieces = out;
        }
        pieces.retain(|piece| !piece.is_empty());
        Ok(pieces)
    }
}

impl std::fmt::Debug for Filters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filters({})", self.0.len())
    }
}

/// The pieces as one.
pub(crate) fn joined(pieces: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(pieces) {
        Ok([one]) => one,
        Err(many) => many.concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes on pairs of bytes, and a mark at the end.
    struct Pairs(Vec<u8>, &'static [u8]);

    impl BodyFilter for Pairs {
        fn data(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
            self.0.extend_from_slice(&piece);
            let whole = self.0.len() / 2 * 2;
            out.push(self.0.drain(..whole).collect());
            Ok(())
        }
        fn end(
            &mut self,
            trailers: Option<HeaderMap>,
            out: &mut Vec<Bytes>,
        ) -> Result<Option<HeaderMap>, BodyError> {
            out.push(std::mem::take(&mut self.0).into());
            out.push(Bytes::from_static(self.1));
            Ok(trailers)
        }
    }

    #[test]
    fn what_a_filter_keeps_back_passes_the_others_at_the_end() {
        let mut filters = Filters::default();
        filters.push(Box::new(Pairs(Vec::new(), b"!")));
        filters.push(Box::new(Pairs(Vec::new(), b"?")));
        let mut all = filters.data(Bytes::from_static(b"abc")).unwrap();
        assert_eq!(joined(all.clone()), "ab");
        all.extend(filters.end(None).unwrap().0);
        assert_eq!(joined(all), "abc!?");
    }
}
