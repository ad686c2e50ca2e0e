//! Options of listeners that act on connections and sockets: limits, tunnels, logs, what a PROXY header says.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, Response};
use portcullis_proto::envoy::service::accesslog::v3 as als;
use portcullis_tests::backend::{Scripted, body, hello, scripted, upstream};
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::wait::{PATIENCE, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status, Streaming};

use crate::virtual_service;

/// A server that says everything back.
async fn echo(gateway: &Gateway) -> SocketAddr {
    let listener = TcpListener::bind((gateway.ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut reading, mut writing) = tcp.split();
                let _ = tokio::io::copy(&mut reading, &mut writing).await;
                let _ = writing.shutdown().await;
            });
        }
    });
    address
}

/// A TCP gateway on a port, with `spec` below its own fields.
fn tcp(gateway: &Gateway, name: &str, port: u16, spec: &str) -> String {
    format!(
        "---\napiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec:\n  bindAddress: {}\n  bindPort: {port}\n{spec}",
        gateway.ip
    )
}

fn to(upstream: &str, options: &str) -> String {
    format!(
        "  tcpGateway:\n    tcpHosts:\n    - name: host\n      \
         destination: {{single: {{upstream: {{name: {upstream}, namespace: gloo-system}}}}}}\n    options: {options}\n"
    )
}

/// Whether the connection is passed on: a byte comes back.
async fn lives(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").await.is_ok()
        && tokio::time::timeout(PATIENCE, stream.read_exact(&mut byte)).await.expect("no end").is_ok()
}

async fn once(at: SocketAddr) -> bool {
    match TcpStream::connect(at).await {
        Ok(mut stream) => lives(&mut stream).await,
        Err(_) => false,
    }
}

/// A value of a worker's metrics.
async fn metric(gateway: &Gateway, line: &str) {
    until(&format!("{line} in the metrics"), async || {
        let text = client::get(gateway.admin(1), "/metrics").await.ok()?.text();
        text.contains(line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_beyond_a_limit_or_without_a_token_are_closed() {
    let gateway = Gateway::new();
    let up = echo(&gateway).await;
    let web = hello(SocketAddr::from((gateway.ip, 9001)), "v1").await;
    gateway.write("upstreams.yaml", &(upstream("echo", up, "") + &upstream("v1", web.address, "")));
    gateway.write("vs.yaml", &virtual_service("main", "['*']", &crate::forward("/", "v1")));
    let limited = "{connectionLimit: {maxActiveConnections: 1, delayBeforeClose: 300ms}}";
    let rated = "{localRatelimit: {maxTokens: 2, fillInterval: 1h}}";
    let both = tcp(&gateway, "limited", 9400, &to("echo", limited))
        + &tcp(&gateway, "rated", 9401, &to("echo", rated));
    gateway.write("tcp.yaml", &both);
    let listeners = gateway.listeners().replace(
        "httpGateway: {}",
        "httpGateway: {options: {connectionLimit: {maxActiveConnections: 1}, networkLocalRatelimit: {maxTokens: 1000}}}",
    );
    gateway.write("gateways.yaml", &listeners);
    let gateway = gateway.start().await;
    let at = |port| SocketAddr::from((gateway.ip, port));

    let mut first = TcpStream::connect(at(9400)).await.unwrap();
    assert!(lives(&mut first).await);
    let begun = std::time::Instant::now();
    assert!(!once(at(9400)).await);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert!(lives(&mut first).await);
    metric(
        &gateway,
        "envoy_connection_limit_limited_connections{envoy_connection_limit_prefix=\"gloo-system.limited\"} 1",
    )
    .await;
    metric(
        &gateway,
        "envoy_connection_limit_active_connections{envoy_connection_limit_prefix=\"gloo-system.limited\"} 1",
    )
    .await;
    drop(first);
    until("the place to be free", async || once(at(9400)).await.then_some(())).await;

    // Readiness does not connect to it: both tokens are there.
    assert!(once(at(9401)).await && once(at(9401)).await);
    assert!(!once(at(9401)).await);
    metric(
        &gateway,
        "envoy_local_rate_limit_rate_limited{envoy_local_network_ratelimit_prefix=\"gloo-system.rated\"} 1",
    )
    .await;

    // A kept connection is one, however many requests it carries.
    until("a request", async || client::get(gateway.http(), "/").await.ok()).await;
    let kept = until("the former connection to be gone", async || {
        let mut fresh = TcpStream::connect(gateway.http()).await.ok()?;
        fresh.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.ok()?;
        let mut head = [0; 12];
        fresh.read_exact(&mut head).await.ok()?;
        (&head == b"HTTP/1.1 200").then_some(fresh)
    })
    .await;
    let refused = client::get(gateway.http(), "/").await;
    assert!(refused.is_err(), "{refused:?}");
    drop(kept);
}

/// What the proxy tells next.
async fn next(told: &mut mpsc::UnboundedReceiver<String>) -> String {
    tokio::time::timeout(PATIENCE, told.recv()).await.expect("no request").unwrap()
}

/// A proxy that does what CONNECT asks for, over either version of HTTP, and tells of the requests.
async fn connect_proxy(gateway: &Gateway) -> (Scripted, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let proxy = scripted(gateway.ip, move |request| {
        let tell = tell.clone();
        async move {
            let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let field = request.headers().get("x-client").map(|value| value.to_str().unwrap().to_owned());
            tell.send(format!("{} {host} {}", request.method(), field.unwrap_or_default())).unwrap();
            let refused = request.method() != Method::CONNECT || host.starts_with("forbidden");
            if refused {
                return Response::builder().status(403).body(body("no")).unwrap();
            }
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(request).await.unwrap();
                let mut near = hyper_util::rt::TokioIo::new(upgraded);
                let mut far = TcpStream::connect(&host).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
            Response::new(body(""))
        }
    })
    .await;
    (proxy, told)
}

#[tokio::test]
async fn connections_go_through_a_tunnel_over_both_versions_of_http() {
    let gateway = Gateway::new();
    let behind = echo(&gateway).await;
    let (proxy, mut told) = connect_proxy(&gateway).await;
    gateway.write(
        "upstreams.yaml",
        &(upstream("one", proxy.address, "") + &upstream("two", proxy.address, "  useHttp2: true\n")),
    );
    let tunnel = |host: &str| {
        let client = "{header: {key: X-Client, value: 'from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}";
        format!("{{tcpProxySettings: {{tunnelingConfig: {{hostname: '{host}', headersToAdd: [{client}]}}}}}}")
    };
    let all = tcp(&gateway, "one", 9400, &to("one", &tunnel(&behind.to_string())))
        + &tcp(&gateway, "two", 9401, &to("two", &tunnel(&behind.to_string())))
        + &tcp(&gateway, "refused", 9402, &to("one", &tunnel("forbidden.test:%DOWNSTREAM_LOCAL_PORT%")));
    gateway.write("tcp.yaml", &all);
    let gateway = gateway.start().await;
    let ours = TcpStream::connect(behind).await.unwrap().local_addr().unwrap().ip();
    for port in [9400, 9401] {
        let at = SocketAddr::from((gateway.ip, port));
        until("the port", async || once(at).await.then_some(())).await;
        assert_eq!(next(&mut told).await, format!("CONNECT {behind} from {ours}"));
        // Much of it, both ways at once, to its end.
        let (mut reading, mut writing) = TcpStream::connect(at).await.unwrap().into_split();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let write = async {
            writing.write_all(&sent).await.unwrap();
            writing.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let reading = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut heard));
        let (_, read) = tokio::join!(write, reading);
        read.expect("no end").unwrap();
        assert!(heard == sent, "{} of {} bytes over {port}", heard.len(), sent.len());
        assert!(next(&mut told).await.starts_with("CONNECT"));
    }
    assert!(!once(SocketAddr::from((gateway.ip, 9402))).await);
    assert!(next(&mut told).await.starts_with("CONNECT forbidden.test:9402"));
}

/// Passes on what it is sent.
struct Logs(mpsc::UnboundedSender<als::StreamAccessLogsMessage>);

#[tonic::async_trait]
impl als::access_log_service_server::AccessLogService for Logs {
    async fn stream_access_logs(
        &self,
        request: Request<Streaming<als::StreamAccessLogsMessage>>,
    ) -> Result<tonic::Response<als::StreamAccessLogsResponse>, Status> {
        let mut stream = request.into_inner();
        while let Some(message) = stream.message().await? {
            let _ = self.0.send(message);
        }
        Ok(tonic::Response::new(als::StreamAccessLogsResponse {}))
    }
}

async fn log_server() -> (SocketAddr, mpsc::UnboundedReceiver<als::StreamAccessLogsMessage>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = als::access_log_service_server::AccessLogServiceServer::new(Logs(sender));
    let router = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, receiver)
}

#[tokio::test]
async fn connections_are_logged_with_what_their_proxy_header_said() {
    let gateway = Gateway::new();
    let up = echo(&gateway).await;
    let (server, mut messages) = log_server().await;
    gateway.write(
        "upstreams.yaml",
        &(upstream("echo", up, "") + &upstream("logs", server, "  useHttp2: true\n")),
    );
    let log = gateway.data.path().join("tcp.log");
    let format = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DYNAMIC_METADATA(balancer:zone)% %BYTES_RECEIVED% %BYTES_SENT% \
         %UPSTREAM_CLUSTER% %RESPONSE_FLAGS% %REQ(:PATH)% %PROTOCOL%";
    let options = format!(
        "  options:\n    proxyProtocol:\n      rules: [{{tlvType: 234, onTlvPresent: {{metadataNamespace: balancer, key: zone}}}}]\n    \
         accessLoggingService:\n      accessLog:\n      - fileSink: {{path: {}, stringFormat: \"{format}\\n\"}}\n      \
         - grpcService: {{logName: tcp, staticClusterName: logs_gloo-system}}\n",
        log.display()
    );
    let flush = "{tcpProxySettings: {accessLogFlushInterval: 100ms}}";
    gateway.write("tcp.yaml", &tcp(&gateway, "logged", 9400, &(to("echo", flush) + &options)));
    let gateway = gateway.start().await;
    let at = SocketAddr::from((gateway.ip, 9400));
    let mut stream = until("the port", async || TcpStream::connect(at).await.ok()).await;
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13".to_vec();
    header.extend([198, 51, 100, 7, 192, 0, 2, 1, 0x10, 0x01, 0, 80]);
    header.extend(b"\xea\x00\x04west");
    stream.write_all(&header).await.unwrap();
    assert!(lives(&mut stream).await);
    // While it lasts.
    let line = "198.51.100.7:4097 192.0.2.1:80 west 1 1 echo_gloo-system - - -";
    until("a line in the log", async || {
        std::fs::read_to_string(&log).ok()?.lines().any(|it| it == line).then_some(())
    })
    .await;
    drop(stream);
    let mut entries = Vec::new();
    let ended = async {
        loop {
            let message = messages.recv().await.unwrap();
            let Some(als::stream_access_logs_message::LogEntries::TcpLogs(logs)) = message.log_entries else {
                panic!("{message:?}")
            };
            entries.extend(logs.log_entry);
            let last = entries.last().and_then(|entry| entry.common_properties.as_ref()).unwrap();
            if !last.intermediate_log_entry {
                return last.clone();
            }
        }
    };
    let last = tokio::time::timeout(PATIENCE, ended).await.expect("no last entry");
    assert_eq!((last.upstream_cluster.as_str(), last.access_log_type), ("echo_gloo-system", 3));
    let client = last.downstream_remote_address.unwrap().socket_address.unwrap();
    assert_eq!(client.address, "198.51.100.7");
    assert_eq!(
        last.upstream_remote_address.unwrap().socket_address.unwrap().port_value,
        u32::from(up.port())
    );
    let lasting =
        entries.iter().filter(|entry| entry.common_properties.as_ref().unwrap().intermediate_log_entry);
    let mut moved = lasting.map(|entry| entry.connection_properties.unwrap());
    assert!(moved.any(|moved| (moved.received_bytes, moved.sent_bytes) == (1, 1)));
}

#[tokio::test]
async fn what_a_proxy_header_says_is_there_for_requests_and_a_buffer_has_its_bound() {
    let gateway = Gateway::new();
    let web = hello(SocketAddr::from((gateway.ip, 9001)), "v1").await;
    gateway.write("upstreams.yaml", &upstream("v1", web.address, ""));
    let routes = "    - matchers: [{prefix: /}]
      options:
        headerManipulation:
          requestHeadersToAdd: [{header: {key: x-zone, value: '%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol:zone)%'}}]
        stagedTransformations:
          regular:
            requestTransforms: [{requestTransformation: {transformationTemplate: {parseBodyBehavior: DontParse, body: {text: '{{ body() }}'}}}}]
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
";
    gateway.write("vs.yaml", &virtual_service("main", "['*']", routes));
    let keep_alive = "{level: 1, name: 9, intValue: 1}, {level: 6, name: 4, intValue: 600}";
    let options = format!(
        "  options:\n    perConnectionBufferLimitBytes: 1000\n    socketOptions: [{keep_alive}]\n    \
         proxyProtocol: {{rules: [{{tlvType: 234, onTlvPresent: {{key: zone}}}}]}}\n"
    );
    let listeners =
        gateway.listeners().replacen("  httpGateway: {}\n", &format!("  httpGateway: {{}}\n{options}"), 1);
    gateway.write("gateways.yaml", &listeners);
    let gateway = gateway.start().await;
    let ask = async |body: &str| {
        let mut stream = TcpStream::connect(gateway.http()).await.unwrap();
        let kept_alive = is_kept_alive(stream.peer_addr().unwrap(), stream.local_addr().unwrap());
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13".to_vec();
        bytes.extend([198, 51, 100, 7, 192, 0, 2, 1, 0x10, 0x01, 0, 80]);
        bytes.extend(b"\xea\x00\x04west");
        bytes.extend(
            format!(
                "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .bytes(),
        );
        stream.write_all(&bytes).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("no end").unwrap();
        (answer, kept_alive)
    };
    let (answer, kept_alive) = ask(&"x".repeat(1000)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"x-zone\":\"west\""), "{answer}");
    assert!(kept_alive, "the socket option is not in force");
    let (answer, _) = ask(&"x".repeat(1001)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    // Without the options there is another socket, and nobody notices.
    gateway.write("gateways.yaml", &listeners.replace(&format!("    socketOptions: [{keep_alive}]\n"), ""));
    until("a connection without the option", async || {
        let (answer, kept_alive) = ask("x").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        (!kept_alive).then_some(())
    })
    .await;
}

/// Whether the system has a timer for keeping the connection alive at the end of the gateway.
fn is_kept_alive(gateway: SocketAddr, client: SocketAddr) -> bool {
    let hex = |address: SocketAddr| {
        let SocketAddr::V4(address) = address else { panic!("{address}") };
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
    };
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut rows = connections.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1) == Some(&&*hex(gateway)) && row.get(2) == Some(&&*hex(client)));
    row.is_some_and(|row| row[5].starts_with("02:"))
}
