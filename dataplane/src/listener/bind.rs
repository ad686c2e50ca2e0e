//! Opens a listening socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use portcullis_shared::table::{SocketOption, SocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::options::apply;

/// Connections that the kernel keeps until we take them.
const BACKLOG: i32 = 4096;

/// Binds `address` so that other threads and workers may do the same, with these options beside our own. `::` takes IPv4 as well, and becomes `0.0.0.0`
/// on a machine without IPv6: the default Gateway binds `::`, and containers without IPv6 are common.
///
/// # Errors
/// The system's: the port is in use by another program, needs a privilege, the address is not ours, or an option
/// is not for this system.
pub fn bind(address: SocketAddr, options: &[SocketOption]) -> io::Result<TcpListener> {
    match open(address, options) {
        Err(error) if without_ipv6(&error) && address.ip().is_unspecified() && address.is_ipv6() => {
            let fallback = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
            tracing::info!(%address, %fallback, "no IPv6 on this machine");
            open(fallback, options)
        }
        result => result,
    }
}

fn without_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error();
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|known| errno == Some(known.raw_os_error()))
}

fn open(address: SocketAddr, options: &[SocketOption]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    apply(&socket, options, SocketState::Prebind)?;
    socket.bind(&address.into())?;
    apply(&socket, options, SocketState::Bound)?;
    socket.listen(BACKLOG)?;
    apply(&socket, options, SocketState::Listening)?;
    TcpListener::from_std(socket.into())
}

/// What went wrong, for a person.
pub fn explain(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{address} is in use by another program"),
        io::ErrorKind::PermissionDenied => {
            format!("no permission to bind {address}: ports below 1024 need CAP_NET_BIND_SERVICE")
        }
        io::ErrorKind::AddrNotAvailable => format!("{address} is not an address of this machine"),
        _ => format!("cannot bind {address}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn two_sockets_share_a_port_and_a_stranger_does_not() {
        let first = bind("127.0.0.1:0".parse().unwrap(), &[]).unwrap();
        let address = first.local_addr().unwrap();
        bind(address, &[]).unwrap();
        let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = bind(stranger.local_addr().unwrap(), &[]).unwrap_err();
        assert!(explain(address, &error).contains("in use"), "{error}");
    }

    #[tokio::test]
    async fn the_unspecified_ipv6_address_takes_ipv4() {
        let listener = bind("[::]:0".parse().unwrap(), &[]).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    }
}
