//! Streams that a client opens and resets at once (CVE-2023-44487): each costs a request towards an upstream, and counts
//! against no limit of concurrency. The rule is Envoy's: a client that takes back most of what it asks for within a
//! second is not a client. Nothing is kept for those that reset no streams.

use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::limits;

/// A stream that is reset later than this was no waste: who asked has waited.
const EARLY: Duration = Duration::from_secs(1);
/// How long counts are kept.
const WINDOW: Duration = Duration::from_secs(10);
/// Streams whose beginning is remembered.
const REMEMBERED: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Resets(Option<Box<Counts>>);

#[derive(Debug)]
struct Counts {
    since: Instant,
    opened: u32,
    early: u32,
    /// By number of the stream, the last ones.
    began: Vec<(u32, Instant)>,
}

impl Resets {
    /// A stream begins.
    pub(super) fn opened(&mut self, stream: u32) {
        let Some(counts) = &mut self.0 else { return };
        let now = Instant::now();
        if now.saturating_duration_since(counts.since) > WINDOW {
            // A client that has stopped costs nothing any more.
            self.0 = None;
            return;
        }
        counts.opened += 1;
        if let Some(place) = counts.began.get_mut(place(stream)) {
            *place = (stream, now);
        }
    }

    /// A stream is reset; false when the client has done too much of this.
    pub(super) fn reset(&mut self, stream: u32) -> bool {
        let now = Instant::now();
        let counts = self.0.get_or_insert_with(|| {
            Box::new(Counts { since: now, opened: 0, early: 0, began: vec![(0, now); REMEMBERED] })
        });
        let began = counts.began.get(place(stream)).filter(|(known, _)| *known == stream && stream != 0);
        if began.is_some_and(|(_, began)| now.saturating_duration_since(*began) < EARLY) {
            counts.early += 1;
        }
        counts.opened < limits::H2_RESETS || counts.early <= counts.opened / 2
    }
}

/// Clients number their streams 1, 3, 5.
fn place(stream: u32) -> usize {
    (stream / 2) as usize % REMEMBERED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens streams and resets some of them; how many until the client is found out.
    async fn until_refused(lives: Duration, each: u32) -> Option<u32> {
        let mut resets = Resets::default();
        for n in 0..4 * limits::H2_RESETS {
            let stream = 2 * n + 1;
            resets.opened(stream);
            tokio::time::advance(lives).await;
            if n % each == 0 && !resets.reset(stream) {
                return Some(n);
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_back_what_it_asks_for_is_found_out() {
        let ms = Duration::from_millis(1);
        assert_eq!(until_refused(ms, 1).await, Some(limits::H2_RESETS));
        assert_eq!(until_refused(ms, 2).await, None, "half of the streams are answered");
        assert_eq!(until_refused(EARLY, 1).await, None, "it has waited");
        assert_eq!(until_refused(ms * 100, 1).await, None, "ten a second are a person who types");
    }
}
