//! Copies of requests to another upstream. Their answers are dropped, and nothing waits for them.
//!
//! Owns the copy of a body, which is made while the body passes, and the bound of copies under way. A body that is longer
//! than what is kept for retries is not copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

use super::body::Body;
use super::callout::{Call, Caller};
use super::forward::Sealed;
use super::limits;
use super::phases::Serving;
use super::pool::Pool;
use super::strict::Head;
use crate::policy::{BodyError, BodyFilter, DEFAULT_TOTAL_TIMEOUT, Filters, Plan, Shadow};
use crate::upstream::Upstream;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A request that will be sent when its body is here.
struct Copy {
    pool: Arc<Pool>,
    upstream: Arc<Upstream>,
    call: Option<Call>,
    body: BytesMut,
    limit: usize,
}

/// Counts a copy under way.
struct Running(Arc<Pool>);

impl Running {
    fn on(pool: &Arc<Pool>) -> Option<Self> {
        let below = |running: u32| (running < limits::SHADOWS).then_some(running.saturating_add(1));
        pool.shadows.fetch_update(Relaxed, Relaxed, below).is_ok().then(|| Running(pool.clone()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.shadows.fetch_sub(1, Relaxed);
    }
}

/// How many are under way on one data thread.
#[derive(Default)]
pub(super) struct Count(AtomicU32);

impl std::ops::Deref for Count {
    type Target = AtomicU32;
    fn deref(&self) -> &AtomicU32 {
        &self.0
    }
}

impl Copy {
    fn send(&mut self) {
        let (Some(mut call), Some(running)) = (self.call.take(), Running::on(&self.pool)) else { return };
        call.body = std::mem::take(&mut self.body).freeze();
        let calling = Caller::new(self.pool.clone()).call(self.upstream.clone(), call);
        tokio::spawn(async move {
            // The upstream's own counts say how it went.
            let _ = calling.await;
            drop(running);
        });
    }
}

impl BodyFilter for Copy {
    fn data(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        if self.body.len().saturating_add(piece.len()) > self.limit {
            self.call = None;
            self.body = BytesMut::new();
        }
        if self.call.is_some() {
            self.body.extend_from_slice(&piece);
        }
        out.push(piece);
        Ok(())
    }

    fn end(
        &mut self,
        trailers: Option<HeaderMap>,
        _out: &mut Vec<Bytes>,
    ) -> Result<Option<HeaderMap>, BodyError> {
        self.send();
        Ok(trailers)
    }
}

impl Serving<'_> {
    /// Sends a copy of the request, if its route wants one of this one. `header` is what the first try sends.
    pub(super) fn shadow(&mut self, head: &Head, plan: &Plan, header: &Sealed<'_>, body: &mut Body) {
        let Some(shadow) = plan.shadow.as_deref() else { return };
        if head.upgrade || head.connect.is_some() || fastrand::u32(..1_000_000) >= shadow.per_million {
            return;
        }
        let Some(upstream) = self.exchange.runtime.upstream(&shadow.upstream).cloned() else { return };
        let Some(mut call) = copied(header, shadow) else { return };
        // A copy does not come from the client.
        let here = self.exchange.info.local.ip().to_canonical();
        let hops = match call.headers.get(X_FORWARDED_FOR).and_then(|hops| hops.to_str().ok()) {
            Some(hops) => format!("{hops},{here}"),
            None => here.to_string(),
        };
        if let Ok(hops) = HeaderValue::try_from(hops) {
            call.headers.insert(X_FORWARDED_FOR, hops);
        }
        call.timeout = plan.total_timeout.unwrap_or(DEFAULT_TOTAL_TIMEOUT);
        let limit = self.exchange.info.http.buffer_limit;
        let (pool, body_copy) = (self.pool.clone(), BytesMut::new());
        let mut copy = Copy { pool, upstream, call: Some(call), body: body_copy, limit };
        if !body.expected {
            return copy.send();
        }
        let mut filters = Filters::default();
        filters.push(Box::new(copy));
        // It refuses nothing.
        let _ = body.filter(filters);
    }
}

/// The request as it is sent, with the host of a copy.
fn copied(header: &Sealed<'_>, shadow: &Shadow) -> Option<Call> {
    let (method, target, host, headers): (Method, PathAndQuery, String, HeaderMap) = match header {
        Sealed::Nothing => return None,
        Sealed::H1(outgoing) => {
            let (method, target, host) = outgoing.line();
            let mut headers = HeaderMap::new();
            for (name, value) in outgoing.fields() {
                headers.append(name, value.clone());
            }
            let host = String::from_utf8_lossy(host).into_owned();
            (method.clone(), PathAndQuery::try_from(target).ok()?, host, headers)
        }
        Sealed::H2(header) => {
            let target = header.uri.path_and_query()?.clone();
            let host = header.uri.authority()?.to_string();
            (header.method.clone(), target, host, header.headers.clone())
        }
    };
    let mut headers = headers;
    headers.remove(CONNECTION);
    Some(Call {
        method,
        target,
        authority: Some(shadow.host(&host).into()),
        headers,
        body: Bytes::new(),
        timeout: DEFAULT_TOTAL_TIMEOUT,
        answer_limit: 0,
        discard: true,
    })
}
