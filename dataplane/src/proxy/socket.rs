//! A TCP socket into which bytes can be put back, and out of which bytes can be held back.
//!
//! What was read to find out how to go on (a PROXY header's rest, a ClientHello, an HTTP/2 preface) is read once more by
//! whoever goes on. What a TLS handshake writes waits until there is nothing to read: the session tickets of TLS 1.3 leave
//! with the first answer instead of in a packet of their own. Must not interpret either.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::limits;

/// A TCP socket with bytes that were read from it too early, and bytes that it has not been given yet.
#[derive(Debug)]
pub struct Socket {
    pub(super) tcp: TcpStream,
    put_back: Vec<u8>,
    taken: usize,
    held: Vec<u8>,
    sent: usize,
    holding: bool,
}

impl Socket {
    /// `put_back` is read before anything from `tcp`.
    pub fn new(tcp: TcpStream, put_back: Vec<u8>) -> Self {
        Socket { tcp, put_back, taken: 0, held: Vec::new(), sent: 0, holding: false }
    }

    /// Puts `bytes` in front of everything that is still to be read.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        let mut front = bytes.to_vec();
        front.extend_from_slice(self.put_back.get(self.taken..).unwrap_or_default());
        self.put_back = front;
        self.taken = 0;
    }

    /// From now on what is written is kept until a read has to wait.
    pub fn hold(&mut self) {
        self.holding = true;
    }

    /// What is held goes out with the next write, or when a read has to wait, whichever comes first.
    pub fn release(&mut self) {
        self.holding = false;
    }

    /// Gives the socket what is held.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let taken = ready!(Pin::new(&mut self.tcp).poll_write(cx, rest))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += taken;
        }
        self.held = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes behind what is held, together with it.
    fn poll_behind(&mut self, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // Behind a handshake's last words, not behind a peer that does not read.
        if !self.holding && (self.sent > 0 || self.held.len() >= limits::QUEUE) {
            ready!(self.poll_held(cx))?;
        }
        bufs.iter().for_each(|buf| self.held.extend_from_slice(buf));
        if !self.holding {
            // What the socket does not take now is written before anything else.
            let _ = self.poll_held(cx)?;
        }
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn holds(&self) -> bool {
        self.holding || !self.held.is_empty()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // An alert, which says why the handshake ends here.
        if let Some(rest) = self.held.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let _ = self.tcp.try_write(rest);
        }
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
        let read = Pin::new(&mut me.tcp).poll_read(cx, buf);
        if read.is_pending() && me.holds() {
            // The peer may be waiting for it. When the socket takes no more, its readiness wakes the same task.
            let _ = me.poll_held(cx)?;
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if me.holds() {
            return me.poll_behind(cx, &[io::IoSlice::new(bytes)]);
        }
        Pin::new(&mut me.tcp).poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if me.holds() {
            return me.poll_behind(cx, bufs);
        }
        Pin::new(&mut me.tcp).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.holding {
            return Poll::Ready(Ok(()));
        }
        ready!(me.poll_held(cx))?;
        Pin::new(&mut me.tcp).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        ready!(me.poll_held(cx))?;
        Pin::new(&mut me.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Socket::new(near, Vec::new()), listener.accept().await.unwrap().0)
    }

    async fn read(peer: &mut TcpStream) -> Vec<u8> {
        let mut buf = vec![0; 64];
        let got = peer.read(&mut buf).await.unwrap();
        buf.truncate(got);
        buf
    }

    #[tokio::test]
    async fn what_is_held_leaves_with_the_next_write() {
        let (mut socket, mut peer) = pair().await;
        socket.hold();
        socket.write_all(b"tickets ").await.unwrap();
        socket.flush().await.unwrap();
        socket.release();
        socket.write_all(b"answer").await.unwrap();
        assert_eq!(read(&mut peer).await, b"tickets answer");
    }

    #[tokio::test]
    async fn what_is_held_leaves_before_a_read_waits_and_never_later_than_the_socket() {
        let (mut socket, mut peer) = pair().await;
        socket.hold();
        socket.write_all(b"hello").await.unwrap();
        let (got, answered) = tokio::join!(
            async {
                let mut buf = [0; 3];
                socket.read_exact(&mut buf).await.unwrap();
                buf
            },
            async {
                let seen = read(&mut peer).await;
                peer.write_all(b"yes").await.unwrap();
                seen
            }
        );
        assert_eq!((&got, &answered[..]), (b"yes", &b"hello"[..]));
        socket.write_all(b"alert").await.unwrap();
        drop(socket);
        assert_eq!(read(&mut peer).await, b"alert");
    }

    #[tokio::test]
    async fn much_that_is_written_behind_it_arrives_whole_and_in_order() {
        let (mut socket, mut peer) = pair().await;
        socket.hold();
        socket.write_all(b"first").await.unwrap();
        socket.release();
        let body: Vec<u8> = (0..8_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let write = async {
            socket.write_all(&body).await.unwrap();
            socket.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(write, peer.read_to_end(&mut got));
        read.unwrap();
        assert!(got.strip_prefix(b"first").is_some_and(|rest| rest == body));
    }
}
