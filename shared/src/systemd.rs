//! What systemd is told over its notification socket (sd_notify(3)), and what it wants to be told. Without that socket
//! nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// Sends `states` to systemd, if it started us.
pub fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// Says that a reload has begun. It ends with [`NotifyState::Ready`].
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// How often systemd wants a sign of life: three times in the time after which it acts.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    let usec: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    let ours = std::env::var("WATCHDOG_PID")
        .ok()
        .and_then(|pid| pid.parse().ok())
        .is_none_or(|pid: u32| pid == std::process::id());
    (ours && usec > 0).then(|| Duration::from_micros(usec / 3))
}
