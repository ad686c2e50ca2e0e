//! A byte queue in front of a socket: writes never wait, the owner moves the bytes when it likes.
//!
//! An HTTP/1 session writes through `&mut self` with futures that lose bytes when dropped half way, so reading and
//! writing one session at once would be impossible. With this queue under it every write is done at the first poll, and
//! the pump drains the queue by `poll_drain` while it reads. Owns the queued bytes; must not decide when to stop
//! reading the other side (the pump does, by [`Queue::len`]).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// A buffer larger than this is given back to the allocator once it is empty.
const KEEP: usize = 64 * 1024;

/// Bytes accepted from a writer and not yet taken by the socket.
#[derive(Debug, Default)]
pub struct Queue {
    bytes: Vec<u8>,
    sent: usize,
    /// Bytes went into a TLS session since its last flush.
    dirty: bool,
}

impl Queue {
    /// Takes all of `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Nothing of what was pushed since the queue was last empty has gone out.
    pub fn untouched(&self) -> bool {
        self.sent == 0 && !self.bytes.is_empty()
    }

    /// Moves bytes into `io` until the queue is empty and `io` is flushed, or `io` takes no more.
    pub fn poll_drain<W>(&mut self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let taken = ready!(Pin::new(&mut *io).poll_write(cx, rest))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.dirty = true;
            self.sent += taken;
        }
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.sent = 0;
        if self.dirty {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn what_is_pushed_comes_out_in_order_and_nothing_is_written_twice() {
        let mut queue = Queue::default();
        queue.push(b"one ");
        queue.push(b"two");
        assert_eq!(queue.len(), 7);
        let mut sink = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(queue.poll_drain(&mut sink, &mut cx).is_ready());
        assert!(queue.poll_drain(&mut sink, &mut cx).is_ready());
        assert_eq!(sink, b"one two");
        assert_eq!(queue.len(), 0);
    }
}
