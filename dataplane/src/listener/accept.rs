//! The accept loop of one socket.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use portcullis_shared::actor::Backoff;

/// Waiting clients that are turned away at once when there are no file descriptors.
const TURNED_AWAY: usize = 256;

/// Accepts until `stop`, handing every connection to `serve`. `failed` is told why that is not possible at the moment,
/// and how many clients were turned away therefore.
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
                    () = tokio::time::sleep(backoff.next()) => {}
                }
            }
        }
    }
    // The kernel has told these clients that they are connected; closing the socket would reset them.
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

    #[tokio::test]
    async fn what_the_kernel_accepted_before_the_stop_is_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let stop = CancellationToken::new();
        stop.cancel();
        let mut served = Vec::new();
        // The readiness of the socket has to reach the runtime first.
        while served.len() < clients.len() {
            let one = TcpListener::from_std(listener_clone(&listener)).unwrap();
            tokio::task::yield_now().await;
            accept(one, stop.clone(), |_, _| {}, |_, peer| served.push(peer)).await;
        }
        assert_eq!(served.len(), 2);
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

    fn listener_clone(listener: &TcpListener) -> std::net::TcpListener {
        use std::os::fd::AsFd as _;
        listener.as_fd().try_clone_to_owned().unwrap().into()
    }
}
