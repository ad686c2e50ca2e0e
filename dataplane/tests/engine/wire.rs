//! A socket that a test writes and reads by hand. Every read has a deadline, so that a test that waits for nothing fails
//! instead of hanging.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

pub struct Wire {
    pub tcp: TcpStream,
    buf: Vec<u8>,
}

impl Wire {
    pub fn new(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        Wire { tcp, buf: Vec::new() }
    }

    pub async fn connect(address: SocketAddr) -> Self {
        Wire::new(TcpStream::connect(address).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tcp.write_all(bytes.as_ref()).await.unwrap();
    }

    /// One more read; false at the end.
    async fn more(&mut self) -> bool {
        let mut piece = [0; 65536];
        let got = timeout(PATIENCE, self.tcp.read(&mut piece)).await.expect("nothing came").unwrap_or(0);
        self.buf.extend_from_slice(&piece[..got]);
        got > 0
    }

    /// Up to and with the empty line.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.buf.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = self.buf.split_off(at + 4);
                return String::from_utf8(std::mem::replace(&mut self.buf, rest)).unwrap();
            }
            assert!(self.more().await, "the connection ended after {:?}", String::from_utf8_lossy(&self.buf));
        }
    }

    /// As [`Wire::head`], or nothing at the end of the connection. Waits for as long as it takes.
    pub async fn next_head(&mut self) -> Option<String> {
        while !self.buf.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut piece = [0; 65536];
            let got = self.tcp.read(&mut piece).await.unwrap_or(0);
            if got == 0 {
                return None;
            }
            self.buf.extend_from_slice(&piece[..got]);
        }
        Some(self.head().await)
    }

    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buf.len() < count {
            assert!(self.more().await, "the connection ended after {} of {count} bytes", self.buf.len());
        }
        let rest = self.buf.split_off(count);
        std::mem::replace(&mut self.buf, rest)
    }

    /// As [`Wire::take`], or nothing at the end of the connection.
    pub async fn some(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buf.len() < count {
            if !self.more().await {
                return None;
            }
        }
        Some(self.take(count).await)
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buf)
    }

    /// Waits for the end; nothing else may come.
    pub async fn ends(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "unexpected {:?}", String::from_utf8_lossy(&rest));
    }

    /// A chunked body up to its end.
    pub async fn chunked(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let at = loop {
                match self.buf.windows(2).position(|window| window == b"\r\n") {
                    Some(at) => break at,
                    None => assert!(self.more().await, "the connection ended in a chunk"),
                }
            };
            let size = usize::from_str_radix(std::str::from_utf8(&self.buf[..at]).unwrap(), 16).unwrap();
            self.take(at + 2).await;
            body.extend(self.take(size).await);
            assert_eq!(self.take(2).await, b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    /// Sends a request and reads an answer with a content-length.
    pub async fn ask(&mut self, request: &str) -> (String, String) {
        self.send(request).await;
        self.answer().await
    }

    /// An answer with a content-length.
    pub async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = header(&head, "content-length").unwrap_or_else(|| panic!("no length in {head}"));
        let body = self.take(length.parse().unwrap()).await;
        (head, String::from_utf8(body).unwrap())
    }

    /// Answers a request without a body.
    pub async fn serve(&mut self, body: &str) -> String {
        let head = self.head().await;
        self.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        head
    }
}

/// The value of a field in a header block.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

pub fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// An upstream that a test plays itself.
pub struct Peer {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Peer {
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Peer { listener, address }
    }

    pub async fn accept(&self) -> Wire {
        Wire::new(timeout(PATIENCE, self.listener.accept()).await.expect("nobody connected").unwrap().0)
    }

    /// Nobody is connecting now.
    pub fn is_quiet(&self) -> bool {
        let accepting = std::pin::pin!(self.listener.accept());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        std::future::Future::poll(accepting, &mut cx).is_pending()
    }

    /// Answers every request by `body`, for the rest of the test.
    pub async fn always(body: &'static str) -> SocketAddr {
        let peer = Peer::bind().await;
        let address = peer.address;
        tokio::spawn(async move {
            loop {
                let (tcp, _) = peer.listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut wire = Wire::new(tcp);
                    while wire.more().await {
                        while wire.buf.windows(4).any(|window| window == b"\r\n\r\n") {
                            wire.serve(body).await;
                        }
                    }
                });
            }
        });
        address
    }

    /// An address on which nothing listens, and nothing else will: it stays bound as long as the tests run.
    pub async fn nowhere() -> SocketAddr {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        std::mem::forget(socket);
        address
    }
}
