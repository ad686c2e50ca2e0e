//! Connections that are passed on, and those that share a port with HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::table::v1 as wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{connect, connect_tls, get};
use crate::control::Control;
use crate::pki::Ca;
use crate::process::Site;
use crate::table::{Table, answering, certificate, listener};
use crate::{PATIENCE, until};

/// An upstream that says its name, then says everything back, and goes when the client has said its last.
async fn echo(site: &Site, name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((site.address, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                tcp.write_all(name.as_bytes()).await.unwrap();
                let (mut reading, mut writing) = tcp.split();
                tokio::io::copy(&mut reading, &mut writing).await.unwrap();
                writing.shutdown().await.unwrap();
            });
        }
    });
    address
}

fn upstream(name: &str, addresses: &[SocketAddr]) -> Resource {
    let endpoint = |address: &SocketAddr| wire::Endpoint {
        address: address.ip().to_string(),
        port: address.port().into(),
        ..Default::default()
    };
    Resource::Upstream(wire::Upstream {
        name: name.into(),
        endpoints: addresses.iter().map(endpoint).collect(),
        ..Default::default()
    })
}

fn to(upstream: &str) -> wire::TcpProxy {
    let destination = wire::Destination { upstream: upstream.into(), weight: 1, ..Default::default() };
    let list = wire::Destinations { destinations: vec![destination] };
    wire::TcpProxy {
        name: format!("to-{upstream}"),
        target: Some(wire::tcp_proxy::Target::Destinations(list)),
        ..Default::default()
    }
}

struct Chain(wire::FilterChain);

impl Chain {
    fn tcp(proxy: wire::TcpProxy) -> Self {
        let name = proxy.name.clone();
        Self(wire::FilterChain {
            name,
            serve: Some(wire::filter_chain::Serve::Tcp(proxy)),
            ..Default::default()
        })
    }

    fn http() -> Self {
        let serve = wire::filter_chain::Serve::RouteConfig("main".into());
        Self(wire::FilterChain { name: "http".into(), serve: Some(serve), ..Default::default() })
    }

    fn names(mut self, names: &[&str]) -> Self {
        self.0.server_names = names.iter().map(|name| (*name).into()).collect();
        self
    }

    fn from(mut self, prefixes: &[&str]) -> Self {
        self.0.source_prefixes = prefixes.iter().map(|prefix| (*prefix).into()).collect();
        self.0.name += prefixes[0];
        self
    }

    fn certificate(mut self, name: &str) -> Self {
        self.0.tls = Some(wire::DownstreamTls { certificate: name.into(), ..Default::default() });
        self
    }
}

fn bound(site: &Site, port: u16, chains: Vec<Chain>) -> Resource {
    let Resource::Listener(mut listener) = listener(site.address, port) else { unreachable!() };
    listener.filter_chains = chains.into_iter().map(|Chain(chain)| chain).collect();
    Resource::Listener(listener)
}

/// Says something, says that it was all, and hears everything.
async fn exchange<S>(mut stream: S, say: &str) -> std::io::Result<String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(say.as_bytes()).await?;
    stream.shutdown().await?;
    let mut heard = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut heard)).await.expect("no end")?;
    Ok(heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_passed_on_both_ways_to_their_ends_and_logged() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let log = site.folder.path().join("access.log");
    let worker = site.worker_with(|command| {
        command.arg("--access-log").arg(&log);
    });
    let mut session = control.session().await;
    // The first endpoint refuses; there is a second try.
    let closed = TcpListener::bind((site.address, 0)).await.unwrap().local_addr().unwrap();
    let proxy = wire::TcpProxy { max_connect_attempts: 2, ..to("up") };
    let table = Table::default()
        .with(bound(&site, 21080, vec![Chain::tcp(proxy)]))
        .with(bound(&site, 21081, vec![Chain::tcp(to("gone"))]))
        .with(upstream("up", &[closed, echo(&site, "hello ").await]));
    assert_eq!(session.put(&table).await, []);
    for _ in 0..2 {
        // The upstream speaks first: nothing is waited for.
        let mut client = TcpStream::connect(site.at(21080)).await.unwrap();
        let mut word = [0; 6];
        tokio::time::timeout(PATIENCE, client.read_exact(&mut word)).await.unwrap().unwrap();
        assert_eq!(&word, b"hello ");
        assert_eq!(exchange(client, "world").await.unwrap(), "world");
    }
    let nobody = TcpStream::connect(site.at(21081)).await.unwrap();
    assert_eq!(exchange(nobody, "").await.unwrap_or_default(), "");
    worker.counts("envoy_tcp_downstream_cx_total{envoy_tcp_prefix=\"tcp\"} 3").await;
    worker.counts("envoy_tcp_downstream_cx_rx_bytes_total{envoy_tcp_prefix=\"tcp\"} 10").await;
    worker.counts("envoy_tcp_downstream_cx_no_route_total{envoy_tcp_prefix=\"tcp\"} 1").await;
    worker.counts("envoy_cluster_upstream_cx_total{envoy_cluster_name=\"up\"} 2").await;
    let lines = until("three lines", || async {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() == 3).then_some(lines)
    })
    .await;
    assert_eq!(lines[0]["protocol"], "TCP");
    assert_eq!((&lines[0]["tcp_host"], &lines[0]["upstream"]), (&"to-up".into(), &"up".into()));
    assert_eq!((&lines[0]["bytes_received"], &lines[0]["bytes_sent"]), (&5.into(), &11.into()));
    assert_eq!((&lines[0]["flags"], lines[0].get("reason")), (&"-".into(), None));
    assert_eq!((&lines[2]["flags"], &lines[2]["reason"]), (&"NC".into(), &"no_cluster".into()));
    let attempts: Vec<_> = lines[..2].iter().map(|line| line["attempts"].as_u64().unwrap()).collect();
    assert!(attempts.contains(&2), "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_tls_that_ends_here_and_tls_that_is_passed_on_share_a_port() {
    let site = Site::new();
    let ca = Ca::new("ca");
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    // A TLS server of its own behind the gateway, with a certificate that the gateway does not have.
    let own = ca.issue(&["own.test"]);
    let config = std::sync::Arc::new(
        rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.certificate.clone()], own.private_key())
        .unwrap(),
    );
    let behind = TcpListener::bind((site.address, 0)).await.unwrap();
    let behind_address = behind.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = behind.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                let mut heard = String::new();
                let _ = stream.read_to_string(&mut heard).await;
                let _ = stream.write_all(format!("own {heard}").as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let mut by_name = to("unused");
    by_name.name = "by-name".into();
    by_name.target = Some(wire::tcp_proxy::Target::SniUpstream(true));
    let table = Table::default()
        .with(bound(
            &site,
            21443,
            vec![
                Chain::tcp(to("own")).names(&["own.test", "*.own.test"]),
                Chain::tcp(to("echo")).names(&["ends.test"]).certificate("cert"),
                Chain::tcp(by_name).names(&["echo_up.test"]).certificate("cert"),
                Chain::http(),
            ],
        ))
        .with(upstream("own", &[behind_address]))
        .with(upstream("echo", &[echo(&site, "echo ").await]))
        .with(upstream("echo_up.test", &[echo(&site, "by name ").await]))
        .with(certificate("cert", &ca.issue(&["ends.test", "echo_up.test"]), None))
        .with(answering("any", "*", "web"));
    assert_eq!(session.put(&table).await, []);

    let tls = ca.client(None, &[]);
    let over = async |name: &str| {
        let client = connect_tls(site.at(21443), &tls, name).await?;
        exchange(client.stream, "hi").await
    };
    assert_eq!(over("own.test").await.unwrap(), "own hi");
    assert_eq!(over("ends.test").await.unwrap(), "echo hi");
    assert_eq!(over("echo_up.test").await.unwrap(), "by name hi");
    // No chain for TLS with another name, so it is HTTP's to make sense of.
    assert!(over("other.test").await.is_err());
    assert_eq!(get(site.at(21443), "a.test").await.unwrap().body, "web");
    // A hello that never becomes whole holds nobody else up.
    let mut half = TcpStream::connect(site.at(21443)).await.unwrap();
    half.write_all(b"\x16\x03\x01").await.unwrap();
    assert_eq!(over("ends.test").await.unwrap(), "echo hi");
    half.shutdown().await.unwrap();
    worker.counts("portcullis_downstream_connections_refused_total{").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_address_chooses_among_the_chains_of_a_name() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default()
        .with(bound(
            &site,
            21080,
            vec![Chain::http().from(&["127.0.0.0/8"]), Chain::tcp(to("echo")).from(&["127.0.0.3/32"])],
        ))
        .with(bound(&site, 21081, vec![Chain::tcp(to("echo")).from(&["10.0.0.0/8", "fd00::/8"])]))
        .with(upstream("echo", &[echo(&site, "echo ").await]))
        .with(answering("any", "*", "web"));
    assert_eq!(session.put(&table).await, []);
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "web");
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
    let client = socket.connect(site.at(21080)).await.unwrap();
    assert_eq!(exchange(client, "x").await.unwrap(), "echo x");
    let nobody = TcpStream::connect(site.at(21081)).await.unwrap();
    assert_eq!(exchange(nobody, "").await.unwrap_or_default(), "");
    worker.counts("reason=\"no_filter_chain\"} 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_a_connection_and_a_listener_that_goes_lets_it_finish() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    let quiet = wire::TcpProxy { idle_timeout_ms: 100, ..to("echo") };
    let table = Table::default()
        .with(bound(&site, 21080, vec![Chain::tcp(quiet)]))
        .with(bound(&site, 21081, vec![Chain::tcp(to("echo"))]))
        .with(upstream("echo", &[echo(&site, "echo ").await]));
    assert_eq!(session.put(&table).await, []);
    let mut silent = connect(site.at(21080)).await.unwrap();
    silent.closed().await;
    worker.counts("envoy_tcp_idle_timeout_total{envoy_tcp_prefix=\"tcp\"} 1").await;

    let client = TcpStream::connect(site.at(21081)).await.unwrap();
    // Passed on before the listener goes.
    worker.counts("envoy_tcp_downstream_cx_total{envoy_tcp_prefix=\"tcp\"} 2").await;
    assert_eq!(session.put(&table.without(&format!("listener-{}-21081", site.address))).await, []);
    until("the port to be closed", || async { TcpStream::connect(site.at(21081)).await.err() }).await;
    let heard = tokio::time::timeout(Duration::from_secs(10), exchange(client, "last")).await.unwrap();
    assert_eq!(heard.unwrap(), "echo last");
}
