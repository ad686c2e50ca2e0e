//! Connections whose bytes are passed on without being understood.
//!
//! [`hello`] reads the server name out of a TLS client's first message, [`peek`] collects that message from a socket
//! without taking it away from who goes on. [`serve`] is the life of a passed-on connection: an upstream is chosen, connected
//! to ([`connect`]), and bytes are moved ([`copy`]) until both sides have said their last; [`session`] is what is known
//! of it meanwhile, and becomes its line in the access log. Must not interpret bytes beyond the hello, nor choose
//! filter chains: that is the listener's doing.

mod connect;
mod copy;
mod hello;
pub mod metrics;
pub mod peek;
mod session;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use hello::{Hello, parse};
pub use metrics::Metrics;

use crate::proxy::{ConnInfo, Engine};
use crate::runtime::TcpRoute;
use session::Session;

/// Serves a connection to its end. It is not drained: only its two ends know when it may end.
pub async fn serve<S>(engine: &Arc<Engine>, mut client: S, info: Arc<ConnInfo>, route: &TcpRoute)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session::begin(engine, info, route);
    // What connecting takes is not kept for the life of the connection.
    let connected = Box::pin(connect::connect(route, &mut session)).await;
    let Some((mut upstream, _picked)) = connected else { return };
    let limits = copy::Limits { idle: route.idle_timeout, piece: route.buffer_limit };
    let end = {
        let copying = copy::both(&mut client, &mut upstream.io, limits, session.moved());
        match route.log_interval {
            None => copying.await,
            Some(interval) => Box::pin(logging(copying, interval, &session)).await,
        }
    };
    session.ended(end);
}

/// Logs the connection again and again while it lasts.
async fn logging(
    copying: impl Future<Output = copy::End>,
    interval: Duration,
    session: &Session<'_>,
) -> copy::End {
    let mut copying = std::pin::pin!(copying);
    loop {
        match tokio::time::timeout(interval, copying.as_mut()).await {
            Ok(end) => return end,
            Err(_) => session.lasts(),
        }
    }
}
