//! The actor that owns the connection to control: one session after the other, for as long as the process lives.
//!
//! Control may be absent at any time, also at the start: that costs log lines and nothing else.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use portcullis_proto::link::v1 as pb;
use portcullis_proto::link::v1::link_client::LinkClient;
use portcullis_proto::link::v1::worker_frame::Frame as WorkerFrame;
use portcullis_shared::actor::{Backoff, BoxError};
use portcullis_shared::transport::{self, Target};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::session::{self, PROTOCOL_MINOR, Session, Step, Violation};
use super::{Status, Transaction};
use crate::listener::Board;
use crate::loader::{self, Endpoints, Loaded};

/// A frame holds about 1 MiB, or one resource of at most 16 MiB.
const LARGEST_FRAME: usize = 20 * 1024 * 1024;
/// How long control may take to answer the opening: it waits for its own sources first.
const WELCOME: Duration = Duration::from_secs(30);
/// How long control may take to read an answer.
const SEND: Duration = Duration::from_secs(10);
/// Beats that may be missed before control counts as gone.
const MISSED: u32 = 3;
/// The wait before looking again for the socket of a control on this host: that costs next to nothing, and at a cold
/// start the worker is ready so much earlier.
const ABSENT: Duration = Duration::from_millis(50);
/// Frames on their way out.
const QUEUE: usize = 16;

/// What a session needs. Everything in it is shared and outlives restarts of the actor.
pub struct Link {
    /// Where control is.
    pub target: Target,
    /// Who we are.
    pub worker_id: String,
    /// Which proxy we are part of.
    pub proxy_name: String,
    /// Where our admin server is, once it is bound.
    pub admin: watch::Receiver<Option<SocketAddr>>,
    /// Takes tables.
    pub loader: loader::Client,
    /// Takes endpoints.
    pub endpoints: Arc<Endpoints>,
    /// What runs.
    pub loaded: Arc<watch::Sender<Loaded>>,
    /// State of the listeners.
    pub board: Arc<Board>,
    /// Whether the worker is going down.
    pub drain: watch::Receiver<bool>,
    /// What the rest of the worker may know.
    pub status: watch::Sender<Status>,
}

/// How a session ended.
enum Ended {
    /// Control asked for it.
    Goodbye { reason: String, retry_after: Duration },
    /// Nobody listens on the socket.
    Absent(String),
    /// It could not begin or broke.
    Failed(String),
}

impl<E: std::error::Error> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Goodbye { reason, .. } => write!(f, "control ended the session: {reason}"),
            Self::Absent(reason) | Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// The actor's body.
///
/// # Errors
/// None: it runs until it is dropped. The supervisor's signature asks for the type.
pub async fn run(link: Arc<Link>) -> Result<(), BoxError> {
    let mut backoff = Backoff::standard();
    let mut last = String::new();
    loop {
        let Err(ended) = link.session(&mut backoff).await;
        let was_connected = link.status.borrow().connected;
        let reason = ended.to_string();
        // A control that is away for an hour is one line, not seven hundred.
        if was_connected || reason != last {
            tracing::warn!(control = %link.target, reason, "no link to control; serving what is there");
        } else {
            tracing::debug!(control = %link.target, reason, "still no link to control");
        }
        link.status.send_modify(|status| {
            if status.connected || status.since.is_none() {
                status.since = Some(Instant::now());
            }
            status.connected = false;
            status.synced = false;
            status.problem = Some(reason.clone());
        });
        last = reason;
        let wait = match ended {
            Ended::Goodbye { retry_after, .. } if !retry_after.is_zero() => retry_after,
            Ended::Absent(_) => ABSENT,
            _ => backoff.next(),
        };
        // Workers that lost the same control must not come back in step.
        sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
    }
}

impl Link {
    /// One session, from the connect to its end.
    async fn session(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, Ended> {
        let channel = transport::connect(&self.target).await.map_err(|error| match self.target {
            Target::Unix(_) => Ended::Absent(error.to_string()),
            Target::Tls { .. } => error.into(),
        })?;
        let mut client = LinkClient::new(channel)
            .max_decoding_message_size(LARGEST_FRAME)
            .max_encoding_message_size(LARGEST_FRAME);
        let opening = session::opening(self.hello(), self.loader.have().await?);
        let (out, rest) = mpsc::channel(QUEUE);
        let frames = futures::stream::iter(opening).chain(ReceiverStream::new(rest));
        let answered = timeout(WELCOME, client.stream(frames)).await;
        let mut frames =
            answered.map_err(|_| Ended::Failed("control does not answer".to_owned()))??.into_inner();

        let mut drain = self.drain.clone();
        let mut session = Session::default();
        let mut heard = Instant::now();
        let mut patience = WELCOME;
        let mut ticks: Option<Interval> = None;
        loop {
            let received = tokio::select! {
                received = frames.message() => received?,
                () = sleep_until(heard + patience) => return Err(Ended::Failed("control is silent".to_owned())),
                () = tick(&mut ticks) => {
                    self.beat(&out);
                    continue;
                }
                Ok(()) = drain.changed() => {
                    self.beat(&out);
                    continue;
                }
            };
            let frame = received.ok_or_else(|| Ended::Failed("control closed the link".to_owned()))?;
            match session
                .receive(frame)
                .map_err(|violation: Violation| Ended::Failed(violation.to_string()))?
            {
                Step::Nothing => {}
                Step::Welcome { session_id, beat } => {
                    tracing::info!(control = %self.target, session = session_id, "linked to control");
                    backoff.reset();
                    self.endpoints.begin_session();
                    patience = beat * MISSED;
                    let mut interval = interval_at(Instant::now() + beat, beat);
                    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    ticks = Some(interval);
                    self.status.send_replace(Status {
                        connected: true,
                        synced: false,
                        since: Some(Instant::now()),
                        problem: None,
                    });
                }
                Step::Apply(transaction) => self.apply(transaction, &out, &mut ticks).await?,
                Step::Endpoints(set) => self.endpoints.give(set),
                Step::Synced => {
                    self.status.send_modify(|status| status.synced = true);
                    self.loaded.send_modify(|loaded| {
                        loaded.complete = true;
                        loaded.confirmed = true;
                    });
                }
                Step::Goodbye { reason, retry_after } => return Err(Ended::Goodbye { reason, retry_after }),
            }
            // Only now: control is not to blame for the time that we took.
            heard = Instant::now();
        }
    }

    /// Has a transaction applied, saying meanwhile that we are alive, and answers it.
    async fn apply(
        &self,
        transaction: Transaction,
        out: &mpsc::Sender<pb::WorkerFrame>,
        ticks: &mut Option<Interval>,
    ) -> Result<(), Ended> {
        let version = transaction.version;
        let mut applying = std::pin::pin!(self.loader.apply(transaction));
        let outcome = loop {
            tokio::select! {
                outcome = &mut applying => break outcome?,
                () = tick(ticks) => self.beat(out),
            }
        };
        let answer = session::answer(version, outcome).map_err(Ended::Failed)?;
        match timeout(SEND, out.send(answer)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Failed("control closed the link".to_owned())),
            Err(_) => Err(Ended::Failed("control does not read".to_owned())),
        }
    }

    fn hello(&self) -> pb::Hello {
        pb::Hello {
            worker_id: self.worker_id.clone(),
            proxy_name: self.proxy_name.clone(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_minor: PROTOCOL_MINOR,
            policy_types: crate::policy::registry::type_urls().map(str::to_owned).collect(),
            pid: std::process::id(),
            admin_address: self.admin.borrow().map(|address| address.to_string()).unwrap_or_default(),
        }
    }

    /// Says that we are alive. One that finds no room is left out: there are others in the queue.
    fn beat(&self, out: &mpsc::Sender<pb::WorkerFrame>) {
        let beat = pb::WorkerBeat {
            table_digest: self.loaded.borrow().table_digest.to_bytes(),
            draining: *self.drain.borrow(),
            listener_errors: self
                .board
                .problems()
                .into_iter()
                .map(|(listener, reason)| pb::ListenerError { listener: listener.to_string(), reason })
                .collect(),
            active_connections: self.board.active_connections(),
        };
        let _ = out.try_send(session::frame(WorkerFrame::Beat(beat)));
    }
}

/// The next tick; never, before there is a beat.
async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}
