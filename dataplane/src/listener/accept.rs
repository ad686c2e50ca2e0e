//! The accept loop of one socket.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt as _;
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use portcullis_shared::actor::Backoff;

/// Waiting clients that are turned away at once when there are no file descriptors.
const TURNED_AWAY: usize = 256;
/// How long a handshake that has begun may take to end before its socket is closed: longer than the round trip to nearly
/// every client.
const HANDSHAKES: Duration = Duration::from_millis(250);
/// Between tries to accept when the system has nothing to give, while a socket is about to be closed.
const AGAIN: Duration = Duration::from_millis(10);

/// Drops the first packet of every new connection and lets all others through: load byte 13 of the TCP header, keep SYN
/// and ACK, drop when there is SYN alone.
const NO_NEW_ONES: [SockFilter; 5] = [
    SockFilter::new(0x30, 0, 0, 13),
    SockFilter::new(0x54, 0, 0, 0x12),
    SockFilter::new(0x15, 0, 1, 0x02),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Accepts until `stop`, handing every connection to `serve`. `failed` is told why that is not possible at the moment, and
/// how many clients were turned away therefore. Then takes what the kernel has begun, and closes the
/// socket only when nothing is left in it: a client whose handshake the kernel has done, or is doing, would be reset.
///
/// Another socket of the port takes new clients meanwhile. Those that the kernel had chosen this one for are not
/// answered, and try again a second later, as after a lost packet.
pub async fn accept(
    listener: TcpListener,
    stop: CancellationToken,
    mut failed: impl FnMut(&io::Error, usize),
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
    let mut reserve = Reserve::new();
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_secs(1));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                backoff.reset();
                serve(stream, peer);
            }
            // The client's doing; the next one may be fine.
            Err(error) if of_the_connection(&error) => {}
            // Out of file descriptors or memory: trying at once would burn the CPU that could free some.
            Err(error) => {
                let away = if no_descriptors(&error) { reserve.turn_away(&listener) } else { 0 };
                failed(&error, away);
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(backoff.next()) => {}
                }
            }
        }
    }
    // A kernel that cannot do this leaves a moment in which a client is lost.
    if let Err(error) = SockRef::from(&listener).attach_filter(&NO_NEW_ONES) {
        tracing::debug!(%error, "a socket that is closed cannot turn clients away");
    }
    let end = Instant::now() + HANDSHAKES;
    while let Ok(accepted) = timeout_at(end, listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => serve(stream, peer),
            Err(error) if of_the_connection(&error) => {}
            Err(_) => sleep(AGAIN).await,
        }
    }
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        serve(stream, peer);
    }
}

/// A file descriptor that is kept for the moment when there are no others: with it, clients that would wait in vain are
/// taken and closed, so that they know, and may find another worker.
struct Reserve(Option<File>);

impl Reserve {
    fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Closes what waits, up to a bound.
    fn turn_away(&mut self, listener: &TcpListener) -> usize {
        if self.0.take().is_none() {
            *self = Self::new();
            return 0;
        }
        let waiting = std::iter::repeat_with(|| listener.accept().now_or_never());
        let away = waiting.take(TURNED_AWAY).take_while(|accepted| matches!(accepted, Some(Ok(_)))).count();
        *self = Self::new();
        away
    }
}

fn no_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|known| errno == Some(known.raw_os_error()))
}

/// Errors of accept(2) that are about the connection that was to be accepted.
fn of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_the_kernel_accepted_before_the_stop_is_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let stop = CancellationToken::new();
        stop.cancel();
        let mut served = Vec::new();
        accept(listener, stop, |_, _| {}, |_, peer| served.push(peer)).await;
        assert_eq!(served.len(), 2);
        assert!(TcpStream::connect(address).await.is_err(), "the socket is closed");
    }

    #[tokio::test]
    async fn clients_that_would_wait_in_vain_are_turned_away() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut reserve = Reserve::new();
        let mut away = 0;
        while away < 3 {
            away += reserve.turn_away(&listener);
            assert!(reserve.0.is_some(), "there are descriptors again");
            tokio::task::yield_now().await;
        }
        for mut client in clients {
            let end = tokio::io::AsyncReadExt::read(&mut client, &mut [0; 8]).await;
            assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        }
    }

    /// Echoes one byte to each client.
    fn serve(mut stream: TcpStream, _: SocketAddr) {
        tokio::spawn(async move {
            let mut byte = [0];
            if stream.read_exact(&mut byte).await.is_ok() {
                let _ = stream.write_all(&byte).await;
            }
        });
    }

    async fn ask(address: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"x").await?;
        stream.read_exact(&mut [0]).await.map(drop)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sockets_of_one_port_come_and_go_and_no_client_is_lost() {
        let first = super::super::bind::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
                tokio::spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        ask(address).await?;
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        let mut stop = CancellationToken::new();
        let mut running = tokio::spawn(accept(first, stop.clone(), |_, _| {}, serve));
        for _ in 0..8 {
            let next = CancellationToken::new();
            let socket = super::super::bind::bind(address).unwrap();
            let successor = tokio::spawn(accept(socket, next.clone(), |_, _| {}, serve));
            let before = asked.load(Ordering::Relaxed);
            while asked.load(Ordering::Relaxed) < before + 64 {
                tokio::task::yield_now().await;
            }
            std::mem::replace(&mut stop, next).cancel();
            std::mem::replace(&mut running, successor).await.unwrap();
        }
        over.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap().unwrap();
        }
    }
}
