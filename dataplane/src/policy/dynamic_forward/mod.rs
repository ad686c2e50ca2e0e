//! Requests that go to the host which they name.
//!
//! Two policies: a route's says that its requests are such and may put another host in the place of theirs; the
//! listener's looks the host up, waiting for DNS at the first request only, and leaves the upstream for the engine.

mod hosts;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::dns::{Family, Servers};
use portcullis_shared::invalid::Invalid;

use super::chain::Resume;
use super::{LocalReply, PlanBuilder, Policy, RequestCx, Verdict, registry};
use crate::upstream::Upstream;
use hosts::{Failure, Found, Hosts, Name, Settings};

pub(super) const HOST: &str = "/portcullis.policy.v1.DynamicHost";
pub(super) const PROXY: &str = "/portcullis.policy.v1.DynamicForwardProxy";

/// The upstream that was looked up for a request.
#[derive(Debug, Clone)]
pub struct Dynamic(pub Arc<Upstream>);

/// The request is to be looked up.
struct Wanted;

#[derive(Debug)]
enum Host {
    Own,
    Rewrite(Box<str>),
    Header(HeaderName),
}

impl Policy for Host {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        let host = match self {
            Host::Own => None,
            Host::Rewrite(host) => Some(host.clone()),
            Host::Header(name) => {
                cx.headers.map().get(name).and_then(|value| value.to_str().ok()).map(Box::from)
            }
        };
        if host.is_some() {
            cx.line.authority = host;
        }
        cx.slots.put(Wanted);
        Verdict::Continue
    }
}

/// The address that a request goes to may be asked for as filter state.
pub struct SavedAddress;

#[derive(Debug)]
struct Proxy {
    hosts: Arc<Hosts>,
    /// What all hosts are like, in the table.
    like: Option<Arc<str>>,
    save: bool,
}

impl Policy for Proxy {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        if cx.slots.get::<Wanted>().is_none() {
            return Verdict::Continue;
        }
        let like = match &self.like {
            None => None,
            Some(name) => match cx.runtime().upstream(name) {
                Some(like) => Some(like.clone()),
                // Without its TLS nothing is sent.
                None => return refused(&Failure::Lookup),
            },
        };
        let usual = if like.as_ref().is_some_and(|like| like.tls.is_some()) { 443 } else { 80 };
        let Some(name) = Name::parse(cx.authority(), usual) else { return refused(&Failure::Name) };
        if self.save {
            cx.slots.put(SavedAddress);
        }
        match self.hosts.find(&name, &like) {
            Found::Ready(upstream) => {
                cx.slots.put(Dynamic(upstream));
                Verdict::Continue
            }
            Found::Full => refused(&Failure::Full),
            Found::Absent => refused(&Failure::Lookup),
            Found::Looking(lookup) => Verdict::Wait(Box::pin(async move {
                let found = lookup.await;
                let resume: Resume = Box::new(move |cx| match found {
                    Ok(upstream) => {
                        cx.slots.put(Dynamic(upstream));
                        Verdict::Continue
                    }
                    Err(failure) => refused(&failure),
                });
                resume
            })),
        }
    }
}

fn refused(failure: &Failure) -> Verdict {
    let (reason, flag, text): (_, _, &'static str) = match failure {
        Failure::Name | Failure::Lookup => ("dns_resolution_failure", "DF", "DNS resolution failure"),
        Failure::Full => ("dns_cache_overflow", "DO", "DNS cache overflow"),
    };
    Verdict::Reply(LocalReply {
        status: StatusCode::SERVICE_UNAVAILABLE,
        reason,
        flag,
        headers: Vec::new(),
        body: Bytes::from_static(text.as_bytes()),
    })
}

pub(super) fn install_host(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::DynamicHost = registry::decode(bytes)?;
    let host = match wire.host {
        None => Host::Own,
        Some(proto::dynamic_host::Host::Rewrite(host)) => Host::Rewrite(host.into()),
        Some(proto::dynamic_host::Host::RewriteHeader(name)) => Host::Header(
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Invalid::new("rewrite_header", format!("bad header name \"{name}\"")))?,
        ),
    };
    builder.push(HOST, Arc::new(host));
    Ok(())
}

pub(super) fn install_proxy(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::DynamicForwardProxy = registry::decode(bytes)?;
    let millis = |ms: u64, usual: u64| Duration::from_millis(if ms == 0 { usual } else { ms });
    let count = |count: u32| usize::try_from(count).ok().filter(|count| *count > 0).unwrap_or(1024);
    let settings = Settings {
        family: match wire.family() {
            proto::DnsFamily::V4Preferred => Family::V4First,
            proto::DnsFamily::V4Only => Family::V4,
            proto::DnsFamily::V6Only => Family::V6,
            proto::DnsFamily::V6Preferred => Family::V6First,
            proto::DnsFamily::All => Family::All,
        },
        refresh: millis(wire.refresh_ms, 60_000),
        host_ttl: millis(wire.host_ttl_ms, 300_000),
        query_timeout: millis(wire.query_timeout_ms, 5_000),
        max_hosts: count(wire.max_hosts),
        max_pending: count(wire.max_pending),
        failure: (wire.failure_base_ms > 0).then(|| {
            let most = match wire.failure_max_ms {
                0 => wire.failure_base_ms.saturating_mul(10),
                most => most,
            };
            (Duration::from_millis(wire.failure_base_ms), Duration::from_millis(most))
        }),
        servers: servers(wire.servers.unwrap_or_default())?,
    };
    let names = wire.preresolve.iter().enumerate().map(|(at, text)| {
        Name::parse(text, 80)
            .ok_or_else(|| Invalid::new(format!("preresolve[{at}]"), format!("\"{text}\" is no host")))
    });
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let like = (!wire.upstream.is_empty()).then(|| wire.upstream.as_str().into());
    // What they are like is not known before there is a request.
    let names = if like.is_some() { Vec::new() } else { names };
    let proxy = Proxy { hosts: Hosts::new(settings, &names), like, save: wire.save_address };
    builder.push(PROXY, Arc::new(proxy));
    Ok(())
}

fn servers(wire: proto::DnsServers) -> Result<Servers, Invalid> {
    let address = |(at, text): (usize, &String)| {
        let not = || Invalid::new(format!("servers.addresses[{at}]"), format!("\"{text}\" is no address"));
        text.parse().map_err(|_| not())
    };
    Ok(Servers {
        addresses: wire.addresses.iter().enumerate().map(address).collect::<Result<_, _>>()?,
        tcp: wire.tcp,
        no_search: wire.no_search,
    })
}
