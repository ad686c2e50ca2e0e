//! A socket with its two buffers: what was read and not yet understood, and what is to be written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::queue::Queue;

/// Room for a read at first. A head and a small body fit; what is larger grows it.
const SMALL: usize = 4 * 1024;
/// With less room than this the buffer is taken back to its beginning before a read: one that fills its room must be
/// followed by another, to see whether there is more.
const LEAST: usize = 2 * 1024;
/// Room for a read while a large body comes.
const LARGE: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Link<T> {
    pub(super) io: T,
    /// Read, and not yet taken.
    pub(super) buf: BytesMut,
    pub(super) queue: Queue,
    room: usize,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Link<T> {
    pub(super) fn new(io: T) -> Self {
        Link { io, buf: BytesMut::new(), queue: Queue::default(), room: SMALL }
    }

    /// One more read; 0 at the end of the connection.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = if self.room == SMALL { LEAST } else { self.room };
        if self.buf.capacity() - self.buf.len() < wanted && !self.buf.try_reclaim(wanted) {
            self.buf.reserve(self.room);
        }
        let room = self.buf.capacity() - self.buf.len();
        let got = ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.buf))?;
        if got == room {
            self.room = (self.room * 4).min(LARGE);
        }
        Poll::Ready(Ok(got))
    }

    /// Moves queued bytes to the socket.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.poll_drain(&mut self.io, cx)
    }

    /// Says that nothing more comes, after everything that waits.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Nothing is expected for a while: empty buffers are given back.
    pub(super) fn release(&mut self) {
        if self.buf.is_empty() {
            self.buf = BytesMut::new();
        }
        self.queue.release();
    }

    /// A message is over: what a large one needed is given back.
    pub(super) fn rest(&mut self) {
        if self.room > SMALL {
            self.room = SMALL;
            if self.buf.is_empty() {
                self.buf = BytesMut::new();
            }
        }
    }
}
