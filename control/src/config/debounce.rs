//! When to build after a change: as soon as it is quiet, but never later than a limit.
//!
//! ```text
//!          touched                     quiet for `quiet`, or `max` after the first touch
//! idle ----------------> gathering ------------------------------------------------------> idle (build)
//!                          ^   |
//!                          +---+ touched: the quiet time starts again, the limit does not
//! ```
//!
//! While inputs are known to be out of step (a new set of resources whose secrets the keyring has not read yet) a longer
//! limit counts: a table without its certificates would take down what runs. The clock is an argument, so every path is
//! testable without waiting.

use std::time::Duration;

use tokio::time::Instant;

/// The state machine.
#[derive(Clone, Copy, Debug)]
pub struct Debounce {
    quiet: Duration,
    max: Duration,
    patience: Duration,
    gathering: Option<Gathering>,
}

#[derive(Clone, Copy, Debug)]
struct Gathering {
    first: Instant,
    last: Instant,
}

impl Debounce {
    /// Builds after `quiet` without a change, at most `max` after the first one; `patience` after the first one while
    /// inputs are out of step.
    #[must_use]
    pub const fn new(quiet: Duration, max: Duration, patience: Duration) -> Self {
        Self { quiet, max, patience, gathering: None }
    }

    /// Something changed at `now`.
    pub fn touched(&mut self, now: Instant) {
        let first = self.gathering.map_or(now, |g| g.first);
        self.gathering = Some(Gathering { first, last: now });
    }

    /// When to build; `None` when nothing changed. `in_step` is whether the inputs belong together.
    #[must_use]
    pub fn due(&self, in_step: bool) -> Option<Instant> {
        let gathering = self.gathering?;
        if !in_step {
            return Some(gathering.first + self.patience);
        }
        Some((gathering.first + self.max).min(gathering.last + self.quiet))
    }

    /// The build begins: what comes from now on is for the next one.
    pub fn taken(&mut self) {
        self.gathering = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(5);
    const MAX: Duration = Duration::from_millis(100);
    const PATIENCE: Duration = Duration::from_secs(3);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_due_before_a_change_and_after_a_build() {
        let mut debounce = Debounce::new(QUIET, MAX, PATIENCE);
        assert_eq!(debounce.due(true), None);
        debounce.touched(Instant::now());
        debounce.taken();
        assert_eq!(debounce.due(true), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_change_is_built_after_the_quiet_time() {
        let (mut debounce, start) = (Debounce::new(QUIET, MAX, PATIENCE), Instant::now());
        debounce.touched(start);
        assert_eq!(debounce.due(true), Some(start + QUIET));
    }

    #[tokio::test(start_paused = true)]
    async fn each_change_starts_the_quiet_time_again_up_to_the_limit() {
        let (mut debounce, start) = (Debounce::new(QUIET, MAX, PATIENCE), Instant::now());
        debounce.touched(start);
        debounce.touched(start + ms(4));
        assert_eq!(debounce.due(true), Some(start + ms(9)));
        for at in (8..=100).step_by(4) {
            debounce.touched(start + ms(at));
        }
        assert_eq!(debounce.due(true), Some(start + MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn inputs_out_of_step_wait_for_each_other_up_to_a_longer_limit() {
        let (mut debounce, start) = (Debounce::new(QUIET, MAX, PATIENCE), Instant::now());
        debounce.touched(start);
        assert_eq!(debounce.due(false), Some(start + PATIENCE));
        debounce.touched(start + ms(2));
        assert_eq!(debounce.due(true), Some(start + ms(7)));
    }
}
