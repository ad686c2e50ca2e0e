//! Servers that stand between or behind gateways: one that reads PROXY headers, and an HTTP proxy that opens tunnels.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;

use crate::pki::Pair;

/// A server inside the test; stops when dropped.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A TLS server's side with this certificate.
#[must_use]
pub fn acceptor(pair: &Pair) -> tokio_rustls::TlsAcceptor {
    let (chain, key) = pair.rustls();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config).into()
}

/// Answers HTTP/1.1 requests by the source and the destination of the connection's PROXY header, and its number.
pub async fn proxied(ip: Ipv4Addr) -> Peer {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        for number in 0.. {
            let Ok((mut tcp, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let Some(said) = proxy_header(&mut tcp).await else { return };
                answer(&mut tcp, &format!("{said} #{number}")).await;
            });
        }
    });
    Peer { address, serving }
}

/// What a PROXY header says; anything that is none ends the connection.
async fn proxy_header(tcp: &mut TcpStream) -> Option<String> {
    let mut start = [0; 12];
    tcp.read_exact(&mut start).await.ok()?;
    if &start == b"\r\n\r\n\0\r\nQUIT\n" {
        let mut fixed = [0; 4];
        tcp.read_exact(&mut fixed).await.ok()?;
        let mut block = vec![0; usize::from(u16::from_be_bytes([fixed[2], fixed[3]]))];
        tcp.read_exact(&mut block).await.ok()?;
        return match fixed[..2] {
            [0x20, _] => Some("LOCAL".to_owned()),
            [0x21, 0x11] => {
                let ip = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&block[at..at + 4]).unwrap());
                let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
                Some(format!("v2 {}:{} {}:{}", ip(0), port(8), ip(4), port(10)))
            }
            _ => None,
        };
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        line.push(tcp.read_u8().await.ok()?);
    }
    let line = String::from_utf8(line).ok()?;
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    match words[..] {
        ["PROXY", "TCP4", from, to, from_port, to_port] => {
            Some(format!("v1 {from}:{from_port} {to}:{to_port}"))
        }
        _ => None,
    }
}

/// Answers requests without a body, one after the other.
async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), text: &str) {
    let mut heard = Vec::new();
    while matches!(stream.read_buf(&mut heard).await, Ok(1..)) {
        while let Some(at) = heard.windows(4).position(|window| window == b"\r\n\r\n") {
            heard.drain(..at + 4);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            if stream.write_all(head.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Answers HTTP/1.1 requests on a unix socket by `text`, over TLS if there is a certificate.
pub fn on_pipe(path: &std::path::Path, text: &'static str, pair: Option<&Pair>) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    let acceptor = pair.map(acceptor);
    tokio::spawn(async move {
        // They end with it.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut unix, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                match acceptor {
                    None => answer(&mut unix, text).await,
                    Some(acceptor) => {
                        if let Ok(mut stream) = acceptor.accept(unix).await {
                            answer(&mut stream, text).await;
                        }
                    }
                }
            });
        }
    })
}

/// An HTTP proxy that knows one host and one password.
pub struct ConnectProxy {
    /// Where it listens.
    pub peer: Peer,
    /// Targets that it was asked for.
    pub asked: Arc<Mutex<Vec<String>>>,
    /// Tunnels that it has opened.
    pub opened: Arc<AtomicUsize>,
}

/// Opens tunnels to `target`, whatever it is called, for those whose `proxy-authorization` is `password`.
pub async fn connect_proxy(
    ip: Ipv4Addr,
    target: SocketAddr,
    password: &'static str,
    pair: Option<&Pair>,
) -> ConnectProxy {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = pair.map(acceptor);
    let (asked, opened) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (seen, count) = (Arc::clone(&asked), Arc::clone(&opened));
    let serving = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, seen, count) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&count));
            tokio::spawn(async move {
                match acceptor {
                    None => tunnel(tcp, target, password, &seen, &count).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(tcp).await {
                            tunnel(stream, target, password, &seen, &count).await;
                        }
                    }
                }
            });
        }
    });
    ConnectProxy { peer: Peer { address, serving }, asked, opened }
}

async fn tunnel(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    target: SocketAddr,
    password: &str,
    seen: &Mutex<Vec<String>>,
    opened: &AtomicUsize,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let Some(host) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else { return };
    seen.lock().unwrap().push(host.to_owned());
    if !head.contains(&format!("\r\nproxy-authorization: {password}\r\n")) {
        let _ = client
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            .await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    opened.fetch_add(1, Ordering::Relaxed);
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
