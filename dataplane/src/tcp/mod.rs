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

use tokio::io::{AsyncRead, AsyncWrite};

pub use hello::{Hello, parse};
pub use metrics::Metrics;

use crate::proxy::{ConnInfo, Shared};
use crate::runtime::TcpRoute;
use copy::End;
use session::Session;

/// Serves a connection to its end, or until it is `over`: only its two ends know when it may end, so that a worker that
/// goes down can but cut it.
pub async fn serve<S>(
    shared: &Arc<Shared>,
    mut client: S,
    info: Arc<ConnInfo>,
    route: &TcpRoute,
    over: impl Future<Output = ()>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session::begin(shared, info, &route.name);
    // What connecting takes is not kept for the life of the connection.
    let connected = Box::pin(connect::connect(shared, route, &mut session)).await;
    let Some((mut upstream, _open, _picked)) = connected else { return };
    let end = tokio::select! {
        end = copy::both(&mut client, &mut upstream, route.idle_timeout, session.moved()) => end,
        () = over => End::Drained,
    };
    session.ended(end);
}
