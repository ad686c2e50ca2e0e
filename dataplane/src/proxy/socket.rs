//! A TCP socket into which bytes can be put back: what was read to find out how to go on (a PROXY header's rest, a
//! ClientHello, an HTTP/2 preface) is read once more by whoever goes on. Must not interpret them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP socket with bytes that were read from it too early.
#[derive(Debug)]
pub struct Socket {
    pub(super) tcp: TcpStream,
    put_back: Vec<u8>,
    taken: usize,
}

impl Socket {
    /// `put_back` is read before anything from `tcp`.
    pub fn new(tcp: TcpStream, put_back: Vec<u8>) -> Self {
        Socket { tcp, put_back, taken: 0 }
    }

    /// Puts `bytes` in front of everything that is still to be read.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        let mut front = bytes.to_vec();
        front.extend_from_slice(self.put_back.get(self.taken..).unwrap_or_default());
        self.put_back = front;
        self.taken = 0;
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if let Some(rest) = me.put_back.get(me.taken..).filter(|rest| !rest.is_empty()) {
            let take = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..take).unwrap_or_default());
            me.taken += take;
            if me.taken == me.put_back.len() {
                me.put_back = Vec::new();
                me.taken = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut me.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
