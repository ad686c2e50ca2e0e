//! The time limits of one request: the whole exchange, the current try, its life, and the longest silence.
//!
//! Owns one timer for all of them, which a connection lends to its requests. The limits of the exchange and of a try
//! count from the moment the request is complete, as in Envoy: an upload may take as long as it moves. Its life counts
//! from the request header, and includes a tunnel.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::limits;
use super::timer::Timer;
use crate::runtime::Http;

/// Which limit has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// The route's, retries included.
    Total,
    /// That of the current try.
    Try,
    /// Nothing moved.
    Idle,
    /// That of the request with its answer, whatever happens.
    Stream,
    /// The request did not come to its end in time.
    Request,
    /// That of the current try's life, whatever happens.
    Upstream,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Clock {
    total: Option<Duration>,
    per_try: Option<Duration>,
    /// When the last byte of the request was here.
    complete: Option<Instant>,
    total_at: Option<Instant>,
    try_at: Option<Instant>,
    began: Instant,
    stream_at: Option<Instant>,
    request_at: Option<Instant>,
    upstream_at: Option<Instant>,
    idle: Duration,
    idle_at: Instant,
    /// Something has moved since `idle_at` was set; the time is asked for only when there is something to wait for.
    moved: bool,
    pub(super) timer: Timer,
}

impl Clock {
    /// A request whose header is complete, as of `now`.
    pub(super) fn new(now: Instant, http: &Http) -> Self {
        let times = &http.settings.timeouts;
        let idle = http.stream_idle.unwrap_or(limits::FOREVER);
        Clock {
            began: now,
            stream_at: times.max_stream.flatten().map(|limit| now + limit),
            request_at: times.request.flatten().map(|limit| now + limit),
            upstream_at: None,
            total: None,
            per_try: None,
            complete: None,
            total_at: None,
            try_at: None,
            idle,
            idle_at: now + idle,
            moved: false,
            timer: Timer::default(),
        }
    }

    /// Sets the limit of the exchange, before anything is sent.
    pub(super) fn limit_total(&mut self, total: Option<Duration>) {
        self.total = total;
    }

    /// The last byte of the request is here: both limits start.
    pub(super) fn request_complete(&mut self) {
        if self.complete.is_some() {
            return;
        }
        let now = Instant::now();
        self.complete = Some(now);
        self.request_at = None;
        self.total_at = self.total.map(|limit| now + limit);
        self.try_at = self.per_try.map(|limit| now + limit);
    }

    /// When the last byte of the request was here.
    pub(super) fn completed(&self) -> Option<Instant> {
        self.complete
    }

    /// A try begins.
    pub(super) fn start_try(&mut self, limit: Option<Duration>) {
        self.per_try = limit;
        self.try_at = if self.complete.is_some() { limit.map(|limit| Instant::now() + limit) } else { None };
    }

    /// The try has its response header.
    pub(super) fn end_try(&mut self) {
        self.per_try = None;
        self.try_at = None;
    }

    /// The exchange became a tunnel: only silence ends it.
    pub(super) fn lift(&mut self) {
        self.end_try();
        self.total = None;
        self.total_at = None;
    }

    /// Something moved.
    pub(super) fn touch(&mut self) {
        self.moved = true;
    }

    /// Sets the limit of the whole life, which has begun with the request header.
    pub(super) fn limit_life(&mut self, life: Option<Duration>) {
        self.stream_at = life.map(|life| self.began + life);
    }

    /// From now on the current try has so much time to its end.
    pub(super) fn limit_upstream(&mut self, life: Option<Duration>) {
        self.upstream_at = life.map(|life| Instant::now() + life);
    }

    /// From now on another silence is too long, or none.
    pub(super) fn limit_idle(&mut self, idle: Option<Duration>) {
        self.idle = idle.unwrap_or(limits::FOREVER);
        self.touch();
    }

    /// The limit that comes first.
    fn next(&self) -> (Instant, Expired) {
        let mut next = (self.idle_at, Expired::Idle);
        let others = [
            (self.try_at, Expired::Try),
            (self.upstream_at, Expired::Upstream),
            (self.total_at, Expired::Total),
            (self.request_at, Expired::Request),
            (self.stream_at, Expired::Stream),
        ];
        for (at, which) in others {
            // On a tie the wider limit wins: it is not followed by another try.
            if let Some(at) = at.filter(|at| *at <= next.0) {
                next = (at, which);
            }
        }
        next
    }

    /// Ready when a limit has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        if std::mem::take(&mut self.moved) {
            self.idle_at = Instant::now() + self.idle;
        }
        let (at, which) = self.next();
        self.timer.poll(at, cx).map(|()| which)
    }

    /// Waits for `future`, but no longer than the limits allow.
    pub(super) async fn run<F: Future>(&mut self, future: F) -> Result<F::Output, Expired> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll(cx).map(Err),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn expires(clock: &mut Clock) -> (Expired, Duration) {
        let start = Instant::now();
        let expired = std::future::poll_fn(|cx| clock.poll(cx)).await;
        (expired, start.elapsed())
    }

    fn close(elapsed: Duration, wanted: Duration) -> bool {
        elapsed >= wanted && elapsed < wanted + Duration::from_millis(5)
    }

    #[tokio::test(start_paused = true)]
    async fn limits_count_from_the_complete_request() {
        let mut clock = Clock::new(Instant::now(), &Http::default());
        clock.limit_total(Some(Duration::from_secs(2)));
        clock.start_try(Some(Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(60)).await;
        clock.request_complete();
        let (expired, elapsed) = expires(&mut clock).await;
        assert!(expired == Expired::Try && close(elapsed, Duration::from_secs(1)), "{expired:?} {elapsed:?}");
        clock.start_try(Some(Duration::from_secs(30)));
        let (expired, elapsed) = expires(&mut clock).await;
        assert!(
            expired == Expired::Total && close(elapsed, Duration::from_secs(1)),
            "{expired:?} {elapsed:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_what_has_no_other_limit_and_progress_puts_it_off() {
        let mut clock = Clock::new(Instant::now(), &Http::default());
        clock.request_complete();
        assert!(futures::poll!(std::future::poll_fn(|cx| clock.poll(cx))).is_pending());
        tokio::time::advance(limits::STREAM_IDLE - Duration::from_secs(1)).await;
        clock.touch();
        let (expired, elapsed) = expires(&mut clock).await;
        assert!(expired == Expired::Idle && close(elapsed, limits::STREAM_IDLE), "{expired:?} {elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_of_silence_only_the_life_ends() {
        let mut clock = Clock::new(Instant::now(), &Http::default());
        clock.limit_idle(None);
        let life = limits::STREAM_IDLE * 3;
        clock.limit_life(Some(life));
        clock.lift();
        let (expired, elapsed) = expires(&mut clock).await;
        assert!(expired == Expired::Stream && close(elapsed, life), "{expired:?} {elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_is_cut_at_the_limit() {
        let mut clock = Clock::new(Instant::now(), &Http::default());
        clock.limit_total(Some(Duration::from_millis(10)));
        clock.request_complete();
        assert_eq!(clock.run(std::future::pending::<()>()).await, Err(Expired::Total));
        assert_eq!(clock.run(std::future::ready(7)).await, Ok(7));
    }
}
