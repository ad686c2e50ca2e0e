//! Chooses an upstream for a connection, and an endpoint of it that can be connected to.

use std::sync::Arc;

use portcullis_shared::table::Place;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite};

use super::session::Session;
use crate::proxy::{Raw, Reason};
use crate::runtime::{Runtime, TcpRoute, TcpTarget};
use crate::upstream::{Picked, Upstream};

/// The connection, and what counts it on its endpoint. `None` = `session` says why there is none.
pub(super) async fn connect(
    route: &TcpRoute,
    session: &mut Session<'_>,
) -> Option<(Raw<impl AsyncRead + AsyncWrite + Unpin + use<>>, Picked)> {
    let engine = Arc::clone(&session.engine);
    let Some(upstream) = choose(&engine.shared().runtime(), route, session) else {
        return session.failed(Reason::NoCluster, None);
    };
    session.upstream = Some(Arc::clone(&upstream.name));
    upstream.wait_ready().await;
    let mut tried: SmallVec<[Place; 4]> = SmallVec::new();
    for left in (0..route.max_connect_attempts).rev() {
        let Some(picked) = upstream.pick(&tried) else {
            return session.failed(Reason::UpstreamUnhealthy, None);
        };
        session.attempts += 1;
        session.endpoint = Some(picked.endpoint.address.clone());
        let known = session.known(None);
        match engine.dial_raw(&upstream, &picked.endpoint, route.tunnel.as_ref(), &known).await {
            Ok(raw) => {
                session.local = raw.local;
                return Some((raw, picked));
            }
            Err((Reason::Overflow, detail)) => return session.failed(Reason::Overflow, Some(detail)),
            Err((reason, detail)) => {
                upstream.stats.connect_failures.inc();
                if left == 0 {
                    return session.failed(reason, Some(detail));
                }
            }
        }
        tried.push(picked.endpoint.address.clone());
    }
    None
}

/// The upstream, if it is in the table.
fn choose(runtime: &Runtime, route: &TcpRoute, session: &mut Session<'_>) -> Option<Arc<Upstream>> {
    let point = fastrand::u64(..);
    let name = match &route.target {
        TcpTarget::Destinations(list) => Arc::clone(&list.pick(point)?.upstream),
        TcpTarget::Split(name) => {
            session.upstream = Some(Arc::clone(name));
            Arc::clone(&runtime.split(name)?.destinations.pick(point)?.upstream)
        }
        TcpTarget::Sni => Arc::clone(session.info.sni.as_ref()?),
    };
    session.upstream = Some(Arc::clone(&name));
    runtime.upstream(&name).cloned()
}
