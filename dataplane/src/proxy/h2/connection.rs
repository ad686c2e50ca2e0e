//! One HTTP/2 connection of a client, from its preface to its last stream.
//!
//! Owns the loop that drives the connection, a task for each stream, and how it ends: idle, told to drain, or broken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::{Builder, Connection};
use pingora_core::server::ShutdownWatch;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::Stream;
use crate::proxy::conn::{Conn, ConnInfo};
use crate::proxy::downstream::Downstream;
use crate::proxy::h1::ServerIo as Io;
use crate::proxy::timer::Timer;
use crate::proxy::{Engine, limits};
use crate::runtime::Http;

/// Serves `conn` to its end. `drain` becomes true when it shall end; `end` tells it so itself.
pub(in crate::proxy) async fn serve(
    engine: &Arc<Engine>,
    conn: Conn,
    drain: &ShutdownWatch,
    end: Option<watch::Sender<bool>>,
) {
    let Conn { io, info } = conn;
    let first = info.http.idle.unwrap_or(limits::FIRST_BYTE).min(limits::FIRST_BYTE);
    // A client that went away, or speaks something else: nobody is left to be told.
    let Ok(Ok(h2)) = timeout(first, options(&info.http).handshake::<_, Bytes>(io)).await else { return };
    Serving { engine, info, drain, end, running: Arc::default(), served: 0 }.run(h2).await;
}

/// The streams that are being served.
#[derive(Default)]
struct Running {
    count: AtomicUsize,
    /// Told when there is none any more.
    none: Notify,
}

/// One of them.
struct Guard(Arc<Running>);

impl Guard {
    fn on(running: &Arc<Running>) -> Self {
        running.count.fetch_add(1, Ordering::Relaxed);
        Guard(Arc::clone(running))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.none.notify_one();
        }
    }
}

struct Serving<'a> {
    engine: &'a Arc<Engine>,
    info: Arc<ConnInfo>,
    drain: &'a ShutdownWatch,
    /// Where the connection has an end of its own.
    end: Option<watch::Sender<bool>>,
    running: Arc<Running>,
    /// Requests so far.
    served: u32,
}

impl Serving<'_> {
    async fn run(mut self, mut h2: Connection<Io, Bytes>) {
        let mut watch = self.drain.clone();
        let mut told = std::pin::pin!(async move {
            // An error means that the sender is gone: the process is going down.
            let _ = watch.wait_for(|draining| *draining).await;
        });
        let (mut timer, mut draining) = (Timer::default(), false);
        let running = Arc::clone(&self.running);
        let mut none = std::pin::pin!(running.none.notified());
        // Set while no stream is served.
        let mut expires = Some(Instant::now() + self.info.http.idle.unwrap_or(limits::FOREVER));
        std::future::poll_fn(|cx| {
            if !draining && told.as_mut().poll(cx).is_ready() {
                draining = true;
                h2.graceful_shutdown();
            }
            loop {
                match h2.poll_accept(cx) {
                    // Broken, or over: streams that are served learn it by themselves.
                    Poll::Ready(None | Some(Err(_))) => return Poll::Ready(()),
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        expires = None;
                        let stream = Stream::new(request, respond, &self.info.http);
                        self.begin(stream);
                    }
                    Poll::Pending => break,
                }
            }
            while none.as_mut().poll(cx).is_ready() {
                none.set(running.none.notified());
                expires = Some(Instant::now() + self.info.http.idle.unwrap_or(limits::FOREVER));
            }
            ready!(self.poll_idle(&mut expires, &mut timer, cx));
            if draining {
                return Poll::Ready(());
            }
            // A moment to say so, also to a client that does not answer any more.
            draining = true;
            h2.graceful_shutdown();
            expires = Some(Instant::now() + limits::LINGER);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Ready when nothing was served for too long.
    fn poll_idle(&self, expires: &mut Option<Instant>, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<()> {
        if self.running.count.load(Ordering::Relaxed) > 0 {
            *expires = None;
        }
        match expires {
            Some(expires) => timer.poll(*expires, cx),
            None => Poll::Pending,
        }
    }

    /// A task of its own for each stream, so that a panic in one is not the others' end.
    fn begin(&mut self, stream: Stream) {
        self.served = self.served.saturating_add(1);
        let most = self.info.http.settings.requests_per_connection;
        if let Some(end) = self.end.as_ref().filter(|_| most.is_some_and(|most| self.served >= most)) {
            end.send_replace(true);
        }
        let (engine, info, drain) = (Arc::clone(self.engine), Arc::clone(&self.info), self.drain.clone());
        let guard = Guard::on(&self.running);
        tokio::spawn(async move {
            let _guard = guard;
            engine.request(Downstream::H2(Box::new(stream)), &info, &drain).await;
        });
    }
}

/// What the protocol library is told.
fn options(http: &Http) -> Builder {
    let http2 = &http.settings.http2;
    let bytes = u32::try_from(http.header_bytes.saturating_add(32 * http.header_fields.saturating_add(4)));
    let mut options = Builder::new();
    options
        .initial_window_size(http2.stream_window.unwrap_or(limits::H2_DOWNSTREAM_STREAM_WINDOW))
        .initial_connection_window_size(
            http2.connection_window.unwrap_or(limits::H2_DOWNSTREAM_CONNECTION_WINDOW),
        )
        .max_header_list_size(bytes.unwrap_or(u32::MAX))
        .max_concurrent_streams(http2.max_concurrent_streams.unwrap_or(limits::H2_DOWNSTREAM_STREAMS))
        .max_send_buffer_size(limits::H2_SEND_BUFFER);
    if http.allows_upgrade("websocket") {
        // RFC 8441: clients that know it do not open a connection for each WebSocket.
        options.enable_connect_protocol();
    }
    options
}
