//! What is known of a passed-on connection while it lasts, and said of it at its end, however that comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use portcullis_shared::table::Place;

use super::copy::{End, Moved};
use crate::proxy::access_log::ConnectionLine;
use crate::proxy::{ConnInfo, Connection, Engine, Passed, Reason};
use crate::runtime::TcpRoute;

/// See the module.
pub(super) struct Session<'r> {
    pub(super) engine: Arc<Engine>,
    pub(super) info: Arc<ConnInfo>,
    route: &'r TcpRoute,
    pub(super) upstream: Option<Arc<str>>,
    pub(super) endpoint: Option<Place>,
    /// The gateway's own end of the connection there.
    pub(super) local: Option<SocketAddr>,
    pub(super) attempts: u32,
    moved: Moved,
    reason: Option<Reason>,
    detail: Option<Box<str>>,
    started: Instant,
    started_at: SystemTime,
}

impl<'r> Session<'r> {
    pub(super) fn begin(engine: &Arc<Engine>, info: Arc<ConnInfo>, route: &'r TcpRoute) -> Self {
        engine.shared().tcp().connections.inc();
        Self {
            engine: Arc::clone(engine),
            info,
            route,
            upstream: None,
            endpoint: None,
            local: None,
            attempts: 0,
            moved: Moved::default(),
            reason: None,
            detail: None,
            started: Instant::now(),
            started_at: SystemTime::now(),
        }
    }

    /// Where bytes are counted.
    pub(super) fn moved(&self) -> &Moved {
        &self.moved
    }

    /// There is no connection to an upstream.
    pub(super) fn failed<T>(&mut self, reason: Reason, detail: Option<Box<str>>) -> Option<T> {
        if reason == Reason::NoCluster {
            self.engine.shared().tcp().no_route.inc();
        }
        (self.reason, self.detail) = (Some(reason), detail);
        None
    }

    /// The bytes have ended.
    pub(super) fn ended(&mut self, end: End) {
        let (reason, detail) = match end {
            End::Done => return,
            End::Idle => {
                self.engine.shared().tcp().idle_timeouts.inc();
                (Reason::IdleTimeout, None)
            }
            End::Client(error) => (Reason::ClientGone, Some(error.to_string().into())),
            End::Upstream(error) => (Reason::UpstreamReset, Some(error.to_string().into())),
        };
        (self.reason, self.detail) = (Some(reason), detail);
    }

    /// It is logged, and goes on.
    pub(super) fn lasts(&self) {
        if let Some(logs) = &self.route.access_logs {
            self.engine.log_connection(logs, &self.known(Some(self.passed(true))));
        }
    }

    /// What there is to say of it now.
    pub(super) fn known<'a>(&'a self, passed: Option<Passed<'a>>) -> Connection<'a> {
        Connection {
            info: &self.info,
            started: self.started_at,
            took: self.started.elapsed(),
            failure: None,
            passed,
        }
    }

    fn passed(&self, lasts: bool) -> Passed<'_> {
        let no_connection = matches!(self.reason, Some(Reason::ConnectFailed | Reason::ConnectTimeout));
        Passed {
            upstream: self.upstream.as_deref(),
            endpoint: self.endpoint.as_ref(),
            local: self.local,
            attempts: self.attempts,
            flags: self.flags(),
            no_connection: self.detail.as_deref().filter(|_| no_connection),
            termination: None,
            bytes: self.moved.bytes(),
            lasts,
        }
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

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let metrics = self.engine.shared().tcp();
        let (received, sent) = self.moved.bytes();
        metrics.received.inc_by(received);
        metrics.sent.inc_by(sent);
        if let Some(logs) = &self.route.access_logs {
            return self.engine.log_connection(logs, &self.known(Some(self.passed(false))));
        }
        let line = ConnectionLine {
            time: self.started_at,
            listener: &self.info.listener,
            client: self.info.client,
            sni: self.info.sni.as_deref(),
            tls: self.info.tls.as_ref().map(|tls| tls.version),
            host: &self.route.name,
            reason: self.reason.map(Reason::as_str),
            detail: self.detail.as_deref(),
            flags: self.flags(),
            upstream: self.upstream.as_deref(),
            endpoint: self.endpoint.as_ref(),
            attempts: self.attempts,
            duration: self.started.elapsed(),
            received,
            sent,
        };
        self.engine.shared().log(&line);
    }
}
