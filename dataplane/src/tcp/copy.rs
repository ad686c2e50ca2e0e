//! Moves bytes between two streams, both ways at once, until both have ended.
//!
//! A side that does not take stops the other side from being read; a side that ends is told to the other, whose own bytes
//! go on. An idle connection holds no buffer: bytes are read into one that the thread's connections share, and only
//! what the other side does not take at once is kept. Must not look at the bytes.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes read at once, and the most that is kept for one direction.
const PIECE: usize = 64 * 1024;
/// Pieces moved in one direction before others have their turn.
const TURNS: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both sides have said their last.
    Done,
    /// Nothing moved for too long.
    Idle,
    /// The client's side broke.
    Client(io::Error),
    /// The upstream's side broke.
    Upstream(io::Error),
}

/// Bytes moved so far. Written by one task alone; others of its thread may look.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// From the client.
    received: AtomicU64,
    /// To the client.
    sent: AtomicU64,
}

impl Moved {
    /// From the client and to it.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.received.load(Relaxed), self.sent.load(Relaxed))
    }
}

/// Bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How long no byte may move; none = for ever.
    pub(super) idle: Option<Duration>,
    /// Most bytes that are read at once, and so kept for one direction.
    pub(super) piece: usize,
}

/// Moves bytes until the end.
pub(super) async fn both<C, U>(client: &mut C, upstream: &mut U, limits: Limits, moved: &Moved) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let piece = limits.piece.clamp(1, PIECE);
    let (mut up, mut down) = (Half::new(piece), Half::new(piece));
    let mut silence = limits.idle.map(Silence::new);
    std::future::poll_fn(move |cx| {
        let before = moved.bytes();
        let sent = up.poll(cx, client, upstream, &moved.received);
        let received = down.poll(cx, upstream, client, &moved.sent);
        match (sent, received) {
            (Poll::Ready(Err(Broken::Reading(error))), _) | (_, Poll::Ready(Err(Broken::Writing(error)))) => {
                return Poll::Ready(End::Client(error));
            }
            (_, Poll::Ready(Err(Broken::Reading(error)))) | (Poll::Ready(Err(Broken::Writing(error))), _) => {
                return Poll::Ready(End::Upstream(error));
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Done),
            _ => {}
        }
        let Some(silence) = &mut silence else { return Poll::Pending };
        if before != moved.bytes() {
            silence.since = Instant::now();
        }
        silence.poll(cx).map(|()| End::Idle)
    })
    .await
}

enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

/// One direction.
#[derive(Default)]
struct Half {
    /// Most bytes read at once.
    piece: usize,
    /// Read and not yet taken, from `sent` on.
    kept: Vec<u8>,
    sent: usize,
    /// Written since the last flush.
    unflushed: bool,
    ended: bool,
    done: bool,
}

impl Half {
    fn new(piece: usize) -> Self {
        Half { piece, ..Half::default() }
    }

    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        moved: &AtomicU64,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..TURNS {
            if self.done {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_kept(cx, to)).map_err(Broken::Writing)?;
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Broken::Writing)?;
                self.done = true;
                continue;
            }
            match self.poll_piece(cx, from, to)? {
                Poll::Ready(0) => self.ended = true,
                Poll::Ready(count) => {
                    moved.fetch_add(count as u64, Relaxed);
                }
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Broken::Writing)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is kept.
    fn poll_kept<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        while let Some(rest) = self.kept.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *to).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        (self.kept, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Reads a piece and writes of it what is taken; the rest is kept. 0 = the end.
    fn poll_piece<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Result<Poll<usize>, Broken>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        SCRATCH.with_borrow_mut(|scratch| {
            let room = self.piece.min(scratch.len());
            let mut piece = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
            match Pin::new(from).poll_read(cx, &mut piece) {
                Poll::Pending => return Ok(Poll::Pending),
                // A TLS peer that leaves without saying so has left all the same.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Poll::Ready(read) => read.map_err(Broken::Reading)?,
            }
            let mut rest = piece.filled();
            let count = rest.len();
            while !rest.is_empty() {
                match Pin::new(&mut *to).poll_write(cx, rest).map_err(Broken::Writing)? {
                    Poll::Ready(0) => return Err(Broken::Writing(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(taken) => {
                        self.unflushed = true;
                        rest = rest.get(taken..).unwrap_or_default();
                    }
                    Poll::Pending => {
                        self.kept = rest.to_vec();
                        break;
                    }
                }
            }
            Ok(Poll::Ready(count))
        })
    }
}

/// How long nothing has moved. Its timer is looked at when it fires, not whenever something moves.
struct Silence {
    since: Instant,
    allowed: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(allowed: Duration) -> Self {
        Self { since: Instant::now(), allowed, timer: Box::pin(tokio::time::sleep(allowed)) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let until = self.since + self.allowed;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A client, an upstream, and what runs between them. The pipes hold little, so that writing has to wait.
    fn between(
        idle: Option<Duration>,
    ) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<(End, Moved)>) {
        let ((client, mut near), (upstream, mut far)) = (duplex(1000), duplex(100));
        let running = tokio::spawn(async move {
            let moved = Moved::default();
            (both(&mut near, &mut far, Limits { idle, piece: 333 }, &moved).await, moved)
        });
        (client, upstream, running)
    }

    #[tokio::test]
    async fn much_arrives_whole_both_ways_though_the_readers_are_slow() {
        let (client, upstream, running) = between(None);
        let text =
            |seed: u32, length: u32| (0..length).map(|n| (n * seed).to_le_bytes()[1]).collect::<Vec<u8>>();
        let (question, answer) = (text(7, 300_000), text(11, 200_000));
        let side = async |stream: DuplexStream, say: &[u8], hear: usize| {
            let (mut reading, mut writing) = tokio::io::split(stream);
            let mut heard = Vec::new();
            let write = async {
                writing.write_all(say).await.unwrap();
                writing.shutdown().await.unwrap();
            };
            let _ = tokio::join!(write, reading.read_to_end(&mut heard));
            assert_eq!(heard.len(), hear);
            heard
        };
        let (at_client, at_upstream) =
            tokio::join!(side(client, &question, answer.len()), side(upstream, &answer, question.len()));
        assert!(at_client == answer && at_upstream == question);
        let (end, moved) = running.await.unwrap();
        assert!(matches!(end, End::Done), "{end:?}");
        assert_eq!(moved.bytes(), (300_000, 200_000));
    }

    #[tokio::test]
    async fn a_side_that_has_ended_still_hears_the_other() {
        let (mut client, mut upstream, running) = between(None);
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        upstream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        upstream.write_all(b"answer").await.unwrap();
        drop(upstream);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
        assert!(matches!(running.await.unwrap().0, End::Done));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_any_byte_breaks_the_silence() {
        let (mut client, mut upstream, running) = between(Some(Duration::from_secs(60)));
        let begun = Instant::now();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            upstream.write_all(b"x").await.unwrap();
            client.read_u8().await.unwrap();
        }
        assert!(matches!(running.await.unwrap().0, End::Idle));
        assert_eq!(begun.elapsed().as_secs(), 210);
    }
}
