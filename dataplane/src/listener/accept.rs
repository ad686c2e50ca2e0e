//! The accept loop of one socket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use portcullis_shared::actor::Backoff;

/// Accepts until `stop`, handing every connection to `serve`.
pub async fn accept(
    listener: TcpListener,
    stop: CancellationToken,
    mut failed: impl FnMut(&io::Error),
    mut serve: impl FnMut(TcpStream, SocketAddr),
) {
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
                failed(&error);
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
            accept(one, stop.clone(), |_| {}, |_, peer| served.push(peer)).await;
        }
        assert_eq!(served.len(), 2);
    }

    fn listener_clone(listener: &TcpListener) -> std::net::TcpListener {
        use std::os::fd::AsFd as _;
        listener.as_fd().try_clone_to_owned().unwrap().into()
    }
}
