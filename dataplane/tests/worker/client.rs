//! An HTTP/1.1 client that sees everything: one connection, one request at a time, over any stream.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A connection.
pub struct Client<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, host: &str, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await
    }

    pub async fn get(&mut self, host: &str) -> io::Result<Answer> {
        self.send(host, "/").await?;
        self.answer().await
    }

    pub async fn answer(&mut self) -> io::Result<Answer> {
        tokio::time::timeout(PATIENCE, self.read_answer()).await.expect("no answer")
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: String::new() };
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            self.more().await?;
        }
        answer.body = String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
        Ok(answer)
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Waits until the other side ends the connection.
    pub async fn closed(&mut self) {
        let mut sink = [0; 1024];
        let reading = async { while self.stream.read(&mut sink).await.is_ok_and(|n| n > 0) {} };
        tokio::time::timeout(PATIENCE, reading).await.expect("the connection stays open");
    }
}

pub async fn connect(address: impl Into<SocketAddr>) -> io::Result<Client<TcpStream>> {
    TcpStream::connect(address.into()).await.map(Client::over)
}

/// One request over a connection of its own.
pub async fn get(address: impl Into<SocketAddr>, host: &str) -> io::Result<Answer> {
    connect(address).await?.get(host).await
}

pub async fn connect_tls(
    address: impl Into<SocketAddr>,
    config: &Arc<rustls::ClientConfig>,
    name: &str,
) -> io::Result<Client<TlsStream<TcpStream>>> {
    let tcp = TcpStream::connect(address.into()).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map(Client::over)
}
