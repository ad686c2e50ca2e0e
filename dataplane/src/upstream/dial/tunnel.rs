//! The client's end of a tunnel through an HTTP proxy (RFC 9110 section 9.3.6, RFC 9112 section 3.2.3): asks by CONNECT,
//! reads the head of the answer, and leaves the connection as if it had been made to the target.
//!
//! Works on any stream. Must not connect, set deadlines or do TLS: who has the stream does. What it sends may hold
//! credentials, so that none of it is ever told.

use std::fmt;
use std::io;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};
use portcullis_shared::sensitive::Sensitive;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes of an answer's head, informational ones before it included. A proxy that has more to say is none.
const LONGEST: usize = 16 * 1024;

/// See the module.
pub struct Tunnel {
    target: Box<str>,
    request: Sensitive<Vec<u8>>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The proxy says no.
    #[error("the proxy answers CONNECT by {0}")]
    Status(u16),
    /// What comes back is no answer to it.
    #[error("the proxy's answer to CONNECT is malformed")]
    Malformed,
    /// The connection to the proxy ended.
    #[error("the proxy: {0}")]
    Io(#[from] io::Error),
}

impl Tunnel {
    /// A tunnel to `target` (host and port), which is asked for with these fields. Both are written as they are: they must
    /// not hold line ends.
    pub fn new<'a>(
        target: &str,
        fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    ) -> Self {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        for (name, value) in fields {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                request.extend_from_slice(part);
            }
        }
        request.extend_from_slice(b"\r\n");
        Self { target: target.into(), request: Sensitive::new(request) }
    }

    /// Asks for the tunnel on a connection to the proxy. What has come through the tunnel already is given back.
    ///
    /// # Errors
    /// There is no tunnel, and the connection is of no use.
    pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(&self, proxy: &mut S) -> Result<Bytes, Refused> {
        proxy.write_all(self.request.expose()).await?;
        proxy.flush().await?;
        let mut come = BytesMut::new();
        let mut passed = 0;
        loop {
            while let Some(end) = head_end(&come) {
                let head = come.split_to(end);
                passed += end;
                match status(&head).ok_or(Refused::Malformed)? {
                    // RFC 9110 section 9.3.6: whatever the head says, no content belongs to it.
                    200..=299 => return Ok(come.freeze()),
                    // Not an upgrade, which was not asked for.
                    100 | 102..=199 => {}
                    other => return Err(Refused::Status(other)),
                }
            }
            if passed + come.len() > LONGEST {
                return Err(Refused::Malformed);
            }
            if proxy.read_buf(&mut come).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// Length of the head at the front of `bytes`, the empty line included.
fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.1 ").or_else(|| head.strip_prefix(b"HTTP/1.0 "))?;
    let (code, after) = rest.split_at_checked(3)?;
    let ends = matches!(after.first(), Some(b' ' | b'\r'));
    let code =
        std::str::from_utf8(code).ok().filter(|code| ends && code.bytes().all(|b| b.is_ascii_digit()))?;
    code.parse().ok().filter(|code| (100..=599).contains(code))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What a proxy that answers so is asked, and what comes of it.
    async fn asked(pieces: &[&[u8]]) -> (String, Result<Bytes, Refused>) {
        let (mut near, mut far) = duplex(64 * 1024);
        let secret = HeaderValue::from_static("Basic c2VjcmV0");
        let tunnel = Tunnel::new("inside.test:443", [(&http::header::PROXY_AUTHORIZATION, &secret)]);
        assert!(!format!("{tunnel:?}").contains("c2VjcmV0"));
        let answer = async {
            let mut heard = vec![0; 1024];
            let got = far.read(&mut heard).await.unwrap();
            for piece in pieces {
                far.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(far);
            String::from_utf8_lossy(&heard[..got]).into_owned()
        };
        let (result, heard) = tokio::join!(tunnel.open(&mut near), answer);
        (heard, result)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_and_what_comes_through_it_is_kept() {
        let (heard, opened) =
            asked(&[b"HTTP/1.1 200 Connection", b" established\r\n\r", b"\n220 hello"]).await;
        assert_eq!(
            heard,
            "CONNECT inside.test:443 HTTP/1.1\r\nHost: inside.test:443\r\nproxy-authorization: Basic c2VjcmV0\r\n\r\n"
        );
        assert_eq!(&opened.unwrap()[..], b"220 hello");
        // A length that a proxy must not give.
        let (_, opened) = asked(&[b"HTTP/1.1 204\r\nContent-Length: 9\r\n\r\nx"]).await;
        assert_eq!(&opened.unwrap()[..], b"x");
        let (_, opened) = asked(&[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 299 fine\r\n\r\n"]).await;
        assert!(opened.unwrap().is_empty());
    }

    #[tokio::test]
    async fn everything_else_is_a_refusal() {
        let refused = async |answer: &[u8]| asked(&[answer]).await.1.unwrap_err().to_string();
        assert_eq!(refused(b"HTTP/1.1 407 Who\r\n\r\n").await, "the proxy answers CONNECT by 407");
        assert_eq!(refused(b"HTTP/1.1 101 Up\r\n\r\n").await, "the proxy answers CONNECT by 101");
        for answer in [&b"HTTP/2 200 OK\r\n\r\n"[..], b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2000\r\n\r\n"] {
            assert!(refused(answer).await.ends_with("malformed"), "{answer:?}");
        }
        assert!(refused(b"HTTP/1.1 200 OK\r\n").await.contains("the proxy: "));
        let long = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'a'; 2 * LONGEST]].concat();
        assert!(refused(&long).await.ends_with("malformed"));
    }
}
