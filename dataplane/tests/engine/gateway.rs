//! An engine on a port, with a table made for the test.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use opentelemetry_sdk::trace::SdkTracer;
use portcullis_dataplane::proxy::callout::Caller;
use portcullis_dataplane::proxy::{AccessLog, Conn, ConnInfo, Engine, Shared, Socket};
use portcullis_dataplane::runtime::{Held, Http, Runtime};
use portcullis_dataplane::upstream::care;
use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as table;
use portcullis_shared::table::upsert;
use portcullis_shared::telemetry::{LogFormat, Telemetry};
use prometheus_client::registry::Registry;
use prost::Name;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::{Peer, Wire};

/// A table with one virtual host, `*`, and whatever else a test adds.
#[derive(Default)]
pub struct Table {
    pub routes: Vec<table::Route>,
    pub resources: Vec<Resource>,
    pub require_tls: bool,
    pub domains: Vec<String>,
    pub tracer: Option<SdkTracer>,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub http: table::HttpSettings,
}

pub fn any<M: Name>(message: &M) -> prost_types::Any {
    prost_types::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

pub fn endpoint(address: SocketAddr) -> table::Endpoint {
    table::Endpoint { address: address.ip().to_string(), port: address.port().into(), ..Default::default() }
}

pub fn to(upstream: &str) -> table::route::Action {
    destinations(&[(upstream, 1)])
}

pub fn destinations(list: &[(&str, u32)]) -> table::route::Action {
    let destinations = list
        .iter()
        .map(|(upstream, weight)| table::Destination {
            upstream: (*upstream).into(),
            weight: *weight,
            policies: vec![],
            subset: vec![],
        })
        .collect();
    let target = table::forward::Target::Destinations(table::Destinations { destinations });
    table::route::Action::Forward(table::Forward { target: Some(target) })
}

pub fn prefix(text: &str) -> table::Match {
    table::Match { path: Some(table::r#match::Path::Prefix(text.into())), ..Default::default() }
}

impl Table {
    /// Everything to one HTTP/1 upstream.
    pub fn to(address: SocketAddr) -> Self {
        Table::default().upstream("up", &[address], false).route("/", to("up"), &[])
    }

    /// Everything to one HTTP/2 upstream.
    pub fn to_h2(address: SocketAddr) -> Self {
        Table::default().upstream("up", &[address], true).route("/", to("up"), &[])
    }

    pub fn upstream(self, name: &str, addresses: &[SocketAddr], http2: bool) -> Self {
        self.add_upstream(table::Upstream {
            name: name.into(),
            endpoints: addresses.iter().copied().map(endpoint).collect(),
            http2,
            connect_timeout_ms: 2000,
            ..Default::default()
        })
    }

    pub fn add_upstream(mut self, upstream: table::Upstream) -> Self {
        self.resources.push(Resource::Upstream(upstream));
        self
    }

    pub fn route(self, path: &str, action: table::route::Action, policies: &[prost_types::Any]) -> Self {
        self.match_route(prefix(path), action, policies)
    }

    pub fn match_route(
        mut self,
        matcher: table::Match,
        action: table::route::Action,
        policies: &[prost_types::Any],
    ) -> Self {
        self.routes.push(table::Route {
            name: format!("host-route-{}", self.routes.len()),
            r#match: Some(matcher),
            action: Some(action),
            policies: policies.to_vec(),
            ..Default::default()
        });
        self
    }

    /// Replaces the policies of the last route.
    pub fn with(mut self, policies: &[prost_types::Any]) -> Self {
        self.routes.last_mut().unwrap().policies = policies.to_vec();
        self
    }

    /// HTTP/1.0 is served.
    pub fn http_1_0(mut self) -> Self {
        self.http.http1.get_or_insert_default().accept_http10 = true;
        self
    }

    /// Connections may change to this protocol.
    pub fn upgrades_to(mut self, protocol: &str) -> Self {
        self.http.upgrades.push(table::Upgrade { protocol: protocol.into(), enabled: true });
        self
    }

    fn runtime(&self) -> Arc<Runtime> {
        let mut held = Held::default();
        let domains = if self.domains.is_empty() { vec!["*".into()] } else { self.domains.clone() };
        let host = table::VirtualHost {
            name: "host".into(),
            route_configs: vec!["rc".into()],
            domains,
            routes: self.routes.clone(),
            require_tls: self.require_tls,
            ..Default::default()
        };
        for resource in self.resources.iter().cloned().chain([Resource::VirtualHost(host)]) {
            held.upsert(upsert(resource)).unwrap();
        }
        let (runtime, rejections) = Runtime::build(&held, None);
        assert!(rejections.is_empty() || !self.domains.is_empty(), "{rejections:?}");
        runtime
    }
}

pub fn timeout(total_ms: u64) -> prost_types::Any {
    any(&policy::Timeout { total_ms })
}

pub fn retry(words: &[&str], retries: u32, per_try_timeout_ms: u64) -> prost_types::Any {
    any(&policy::Retry {
        retry_on: words.iter().map(|word| (*word).into()).collect(),
        num_retries: retries,
        per_try_timeout_ms,
        base_interval_ms: 1,
        ..Default::default()
    })
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub struct Gateway {
    pub address: SocketAddr,
    pub drain: watch::Sender<bool>,
    pub runtime: Arc<ArcSwap<Runtime>>,
    pub caller: Caller,
    registry: Registry,
    log: Sink,
}

impl Gateway {
    pub async fn start(table: Table) -> Gateway {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let telemetry = Telemetry::init("test", LogFormat::Text).unwrap();
        let runtime = Arc::new(ArcSwap::new(table.runtime()));
        for upstream in runtime.load().upstreams().filter(|upstream| upstream.needs_care()) {
            tokio::spawn(care::of(upstream.clone()));
        }
        let mut registry = Registry::default();
        let log = Sink::default();
        let shared = Shared::new(runtime.clone(), &telemetry, &mut registry)
            .with_access_log(Some(AccessLog::to(Box::new(log.clone())).unwrap()))
            .with_tracer(table.tracer.clone());
        let engine = Arc::new(Engine::new(Arc::new(shared)));
        let caller = engine.caller();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (drain, watch) = watch::channel(false);
        let http = Http::build(&table.http.clone().try_into().unwrap()).unwrap();
        tokio::spawn(async move {
            loop {
                let (tcp, peer) = listener.accept().await.unwrap();
                let (engine, watch, tls) = (engine.clone(), watch.clone(), table.tls.clone());
                let http = http.clone();
                tokio::spawn(async move {
                    tcp.set_nodelay(true).unwrap();
                    let info = ConnInfo {
                        listener: "test".into(),
                        route_config: "rc".into(),
                        client: peer,
                        direct: peer,
                        local: address,
                        sni: None,
                        tls: None,
                        buckets: Default::default(),
                        http: http.clone(),
                        id: ConnInfo::next_id(),
                        metadata: None,
                    };
                    let conn = match tls {
                        None => Conn::plain(tcp, Vec::new(), info),
                        Some(config) => {
                            let acceptor = tokio_rustls::TlsAcceptor::from(config);
                            let Ok(stream) = acceptor.accept(Socket::new(tcp, Vec::new())).await else {
                                return;
                            };
                            Conn::tls(stream, info)
                        }
                    };
                    engine.serve(conn, &watch).await;
                });
            }
        });
        Gateway { address, drain, runtime, caller, registry, log }
    }

    /// A client's connection with this request on it, the connection to `peer` that it is forwarded on, and the head that
    /// came there.
    pub async fn forwarded(&self, peer: &Peer, request: impl AsRef<[u8]>) -> (Wire, Wire, String) {
        let mut client = Wire::connect(self.address).await;
        client.send(request).await;
        let mut upstream = peer.accept().await;
        let head = upstream.head().await;
        (client, upstream, head)
    }

    /// The access log line of the only request so far; waits for it.
    pub async fn line(&self) -> serde_json::Value {
        self.lines(1).await.pop().unwrap()
    }

    /// Waits until `count` requests are logged.
    pub async fn lines(&self, count: usize) -> Vec<serde_json::Value> {
        let wait = async {
            loop {
                let bytes = self.log.0.lock().unwrap().clone();
                let lines: Vec<_> = bytes
                    .split_inclusive(|byte| *byte == b'\n')
                    .filter(|line| line.ends_with(b"\n"))
                    .map(|line| serde_json::from_slice(line).unwrap())
                    .collect();
                if lines.len() >= count {
                    return lines;
                }
                // The writer is a thread of its own, which cannot be awaited.
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.expect("no log line")
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}
