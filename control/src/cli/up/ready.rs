//! Asks a process's admin address whether it is ready.
//!
//! One small HTTP/1.1 exchange written out by hand: a client library would be larger than what it is needed for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(25);
const MAX_ANSWER: u64 = 16 << 10;

/// Returns once `/readyz` answers 200. Never gives up: the caller decides how long to wait.
pub async fn wait(admin: SocketAddr) {
    while probe(admin).await.is_err() {
        tokio::time::sleep(POLL).await;
    }
}

/// `Err` says why not.
pub async fn probe(admin: SocketAddr) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, exchange(admin)).await {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

async fn exchange(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(reachable(admin)).await?;
    let request = format!("GET /readyz?verbose HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn judge(answer: &str) -> Result<(), String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).unwrap_or("");
    match (status, body.trim()) {
        ("200", _) => Ok(()),
        (status, "") => Err(format!("/readyz answers {status}")),
        (_, body) => Err(body.lines().map(str::trim).collect::<Vec<_>>().join("; ")),
    }
}

/// The address to connect to when a process listens on "any".
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_the_status_and_keeps_the_reason() {
        assert_eq!(judge("HTTP/1.1 200 OK\r\n\r\nok\n"), Ok(()));
        assert_eq!(
            judge("HTTP/1.1 503 X\r\n\r\nlink: down\ncache: none\n"),
            Err("link: down; cache: none".into())
        );
        assert_eq!(judge("HTTP/1.1 503 X\r\n\r\n"), Err("/readyz answers 503".into()));
    }

    #[test]
    fn any_is_reached_by_loopback() {
        assert_eq!(reachable("0.0.0.0:1".parse().unwrap()), "127.0.0.1:1".parse().unwrap());
        assert_eq!(reachable("[::]:1".parse().unwrap()), "[::1]:1".parse().unwrap());
        assert_eq!(reachable("10.1.2.3:1".parse().unwrap()), "10.1.2.3:1".parse().unwrap());
    }
}
