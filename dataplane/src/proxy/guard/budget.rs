//! How many frames that carry nothing a client may send: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM, empty DATA
//! and frames that nobody knows. Time gives some, and so does every answer, which windows have to be opened for.

use tokio::time::Instant;

use crate::proxy::limits;

/// See the module.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    /// Bytes that went out and have not given a frame yet.
    earned: u64,
    /// Until when time has been paid for.
    paid: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Budget { left: limits::H2_FRAMES, earned: 0, paid: now }
    }

    /// One more frame; false when there were too many.
    pub(super) fn spend(&mut self) -> bool {
        if self.left == 0 {
            // The clock is read only by those who send that many.
            self.refill(Instant::now());
        }
        let enough = self.left > 0;
        self.left = self.left.saturating_sub(1);
        enough
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.paid).as_millis();
        let given =
            u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(limits::H2_FRAMES_PER_SECOND) / 1000;
        if given > 0 {
            self.paid = now;
            self.left = given.min(limits::H2_FRAMES);
        }
    }

    /// So many bytes went to the peer.
    pub(super) fn earn(&mut self, bytes: usize) {
        self.earned += bytes as u64;
        self.give(self.earned / limits::H2_BYTES_PER_FRAME);
        self.earned %= limits::H2_BYTES_PER_FRAME;
    }

    /// So many more.
    pub(super) fn give(&mut self, frames: u64) {
        self.left = (self.left + frames).min(limits::H2_FRAMES);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_and_answers_give_frames_and_floods_end() {
        let mut budget = Budget::new(Instant::now());
        let spent = |budget: &mut Budget| (0..).take_while(|_| budget.spend()).count() as u64;
        assert_eq!(spent(&mut budget), limits::H2_FRAMES);
        budget.earn(limits::H2_BYTES_PER_FRAME as usize * 7 + 1);
        assert_eq!(spent(&mut budget), 7);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(spent(&mut budget), 2 * limits::H2_FRAMES_PER_SECOND);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(spent(&mut budget), limits::H2_FRAMES, "never more than at first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_client_below_the_rate_goes_on_for_ever() {
        let mut budget = Budget::new(Instant::now());
        for _ in 0..200 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!((0..limits::H2_FRAMES_PER_SECOND).all(|_| budget.spend()));
        }
    }
}
