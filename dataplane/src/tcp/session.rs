//! What is known of a passed-on connection while it lasts, and said of it at its end, however that comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::copy::{End, Moved};
use crate::proxy::access_log::ConnectionLine;
use crate::proxy::{ConnInfo, Reason, Shared};

/// See the module.
pub(super) struct Session {
    shared: Arc<Shared>,
    pub(super) info: Arc<ConnInfo>,
    host: Arc<str>,
    pub(super) upstream: Option<Arc<str>>,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) attempts: u32,
    moved: Moved,
    reason: Option<Reason>,
    detail: Option<Box<str>>,
    started: Instant,
    started_at: SystemTime,
}

impl Session {
    pub(super) fn begin(shared: &Arc<Shared>, info: Arc<ConnInfo>, host: &Arc<str>) -> Self {
        shared.tcp().connections.inc();
        Self {
            shared: Arc::clone(shared),
            info,
            host: Arc::clone(host),
            upstream: None,
            endpoint: None,
            attempts: 0,
            moved: Moved::default(),
            reason: None,
            detail: None,
            started: Instant::now(),
            started_at: SystemTime::now(),
        }
    }

    /// Where bytes are counted.
    pub(super) fn moved(&mut self) -> &mut Moved {
        &mut self.moved
    }

    /// There is no connection to an upstream.
    pub(super) fn failed<T>(&mut self, reason: Reason, detail: Option<Box<str>>) -> Option<T> {
        if reason == Reason::NoCluster {
            self.shared.tcp().no_route.inc();
        }
        (self.reason, self.detail) = (Some(reason), detail);
        None
    }

    /// The bytes have ended.
    pub(super) fn ended(&mut self, end: End) {
        let (reason, detail) = match end {
            End::Done => return,
            End::Drained => (Reason::Drained, None),
            End::Idle => {
                self.shared.tcp().idle_timeouts.inc();
                (Reason::IdleTimeout, None)
            }
            End::Client(error) => (Reason::ClientGone, Some(error.to_string().into())),
            End::Upstream(error) => (Reason::UpstreamReset, Some(error.to_string().into())),
        };
        (self.reason, self.detail) = (Some(reason), detail);
    }

    /// Envoy's flags. An idle connection has none there, and one that was tried as often as allowed has two.
    fn flags(&self) -> &'static str {
        match self.reason {
            None | Some(Reason::IdleTimeout) => "-",
            Some(Reason::ConnectFailed | Reason::ConnectTimeout) => "UF,URX",
            Some(reason) => reason.flag(),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let metrics = self.shared.tcp();
        metrics.received.inc_by(self.moved.received);
        metrics.sent.inc_by(self.moved.sent);
        let line = ConnectionLine {
            time: self.started_at,
            listener: &self.info.listener,
            client: self.info.client,
            sni: self.info.sni.as_deref(),
            tls: self.info.tls.as_ref().map(|tls| tls.version),
            host: &self.host,
            reason: self.reason.map(Reason::as_str),
            detail: self.detail.as_deref(),
            flags: self.flags(),
            upstream: self.upstream.as_deref(),
            endpoint: self.endpoint,
            attempts: self.attempts,
            duration: self.started.elapsed(),
            received: self.moved.received,
            sent: self.moved.sent,
        };
        self.shared.log(&line);
    }
}
