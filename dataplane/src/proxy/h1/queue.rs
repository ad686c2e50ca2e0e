//! A byte queue in front of a socket: writes never wait, the owner moves the bytes when it likes.
//!
//! So that reading and writing one connection at once needs no two tasks, and a header and its body leave in one write.
//! Owns the queued bytes; must not decide when to stop reading the other side (the pump does, by [`Queue::len`]).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// A buffer larger than this is given back to the allocator once it is empty.
const KEEP: usize = 64 * 1024;

/// Bytes that the socket has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    sent: usize,
    /// Bytes went into a TLS session since its last flush.
    dirty: bool,
}

impl Queue {
    /// Where to append.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Nothing of what was appended since the queue was last empty has gone out.
    pub(super) fn untouched(&self) -> bool {
        self.sent == 0 && !self.bytes.is_empty()
    }

    /// Gives the room back, if nothing waits.
    pub(super) fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Moves bytes into `io` until the queue is empty and `io` is flushed, or `io` takes no more.
    pub(super) fn poll_drain<W>(&mut self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
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
    fn what_is_appended_comes_out_in_order_and_nothing_is_written_twice() {
        let mut queue = Queue::default();
        queue.tail().extend_from_slice(b"one ");
        queue.tail().extend_from_slice(b"two");
        assert_eq!(queue.len(), 7);
        assert!(queue.untouched());
        let mut sink = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(queue.poll_drain(&mut sink, &mut cx).is_ready());
        assert!(queue.poll_drain(&mut sink, &mut cx).is_ready());
        assert_eq!(sink, b"one two");
        assert_eq!(queue.len(), 0);
        queue.release();
        assert_eq!(queue.bytes.capacity(), 0);
    }
}
