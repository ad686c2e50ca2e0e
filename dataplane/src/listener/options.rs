//! Sets options of a socket, as far as the system's libraries offer a safe call.

use std::io;
use std::time::Duration;

use portcullis_shared::table::{KnownOption, SocketOption, SocketState, SocketValue};
use rustix::net::sockopt;
use socket2::Socket;

/// Sets those that belong to `state`, in order.
///
/// # Errors
/// The system's, for the first one that it does not take; the option is named.
pub fn apply(socket: &Socket, options: &[SocketOption], state: SocketState) -> io::Result<()> {
    for option in options.iter().filter(|option| option.state == state) {
        set(socket, option).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot set {}: {error}", option.option.as_str()))
        })?;
    }
    Ok(())
}

fn set(socket: &Socket, option: &SocketOption) -> io::Result<()> {
    match &option.value {
        SocketValue::Number(number) => set_number(socket, option.option, *number),
        SocketValue::Text(text) => match option.option {
            KnownOption::BindToDevice => socket.bind_device(Some(text)),
            KnownOption::Congestion => socket.set_tcp_congestion(text),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        },
        SocketValue::Linger(wait) => {
            socket.set_linger(wait.map(|seconds| Duration::from_secs(seconds.into())))
        }
    }
}

fn set_number(socket: &Socket, option: KnownOption, number: i32) -> io::Result<()> {
    use KnownOption as Known;
    let on = number != 0;
    // Numbers that have no sign: what is below zero is refused by us instead of being taken for a large one.
    let count = || u32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let size = || usize::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let seconds = || count().map(|seconds| Duration::from_secs(seconds.into()));
    match option {
        Known::ReuseAddr => socket.set_reuse_address(on),
        Known::SendBuffer => socket.set_send_buffer_size(size()?),
        Known::ReceiveBuffer => socket.set_recv_buffer_size(size()?),
        Known::KeepAlive => socket.set_keepalive(on),
        Known::OutOfBandInline => socket.set_out_of_band_inline(on),
        Known::Priority => socket.set_priority(count()?),
        Known::ReusePort => socket.set_reuse_port(on),
        Known::SendBufferForce => Ok(sockopt::set_socket_send_buffer_size_force(socket, size()?)?),
        Known::ReceiveBufferForce => Ok(sockopt::set_socket_recv_buffer_size_force(socket, size()?)?),
        Known::Mark => socket.set_mark(count()?),
        Known::BusyPoll => socket.set_busy_poll(count()?),
        Known::IncomingCpu => Ok(sockopt::set_socket_incoming_cpu(socket, count()?)?),
        Known::Tos => socket.set_tos_v4(count()?),
        Known::Ttl => socket.set_ttl_v4(count()?),
        Known::FreeBind => socket.set_freebind_v4(on),
        Known::Transparent => socket.set_ip_transparent_v4(on),
        Known::NoDelay => socket.set_tcp_nodelay(on),
        Known::MaxSegment => socket.set_tcp_mss(count()?),
        Known::Cork => socket.set_tcp_cork(on),
        Known::KeepIdle => Ok(sockopt::set_tcp_keepidle(socket, seconds()?)?),
        Known::KeepInterval => Ok(sockopt::set_tcp_keepintvl(socket, seconds()?)?),
        Known::KeepCount => Ok(sockopt::set_tcp_keepcnt(socket, count()?)?),
        Known::QuickAck => socket.set_tcp_quickack(on),
        Known::UserTimeout => socket.set_tcp_user_timeout(Some(Duration::from_millis(count()?.into()))),
        Known::NotSentLowAt => socket.set_tcp_notsent_lowat(count()?),
        Known::UnicastHops => socket.set_unicast_hops_v6(count()?),
        Known::V6Only => socket.set_only_v6(on),
        Known::TrafficClass => socket.set_tclass_v6(count()?),
        Known::TransparentV6 => socket.set_ip_transparent_v6(on),
        Known::FreeBindV6 => socket.set_freebind_v6(on),
        // Their values are no numbers.
        Known::Linger | Known::BindToDevice | Known::Congestion => Err(io::ErrorKind::InvalidInput.into()),
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    fn number(option: KnownOption, number: i32) -> SocketOption {
        SocketOption { option, value: SocketValue::Number(number), state: SocketState::Prebind }
    }

    #[test]
    fn options_are_set_in_their_state() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let options = [
            number(KnownOption::KeepAlive, 1),
            number(KnownOption::KeepIdle, 77),
            number(KnownOption::KeepInterval, 7),
            number(KnownOption::KeepCount, 5),
            number(KnownOption::UserTimeout, 1500),
            number(KnownOption::NoDelay, 1),
            number(KnownOption::Tos, 16),
            number(KnownOption::Ttl, 33),
            number(KnownOption::NotSentLowAt, 4096),
            SocketOption {
                option: KnownOption::Linger,
                value: SocketValue::Linger(Some(3)),
                state: SocketState::Prebind,
            },
            SocketOption {
                option: KnownOption::Congestion,
                value: SocketValue::Text(b"reno"[..].into()),
                state: SocketState::Prebind,
            },
            SocketOption { state: SocketState::Bound, ..number(KnownOption::OutOfBandInline, 1) },
        ];
        apply(&socket, &options, SocketState::Prebind).unwrap();
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(sockopt::tcp_keepidle(&socket).unwrap().as_secs(), 77);
        assert_eq!(sockopt::tcp_keepintvl(&socket).unwrap().as_secs(), 7);
        assert_eq!(sockopt::tcp_keepcnt(&socket).unwrap(), 5);
        assert_eq!(sockopt::tcp_user_timeout(&socket).unwrap(), 1500);
        assert_eq!((socket.tos_v4().unwrap(), socket.ttl_v4().unwrap()), (16, 33));
        assert_eq!(socket.linger().unwrap(), Some(Duration::from_secs(3)));
        assert_eq!(sockopt::tcp_congestion(&socket).unwrap(), "reno");
        assert!(!socket.out_of_band_inline().unwrap());
        apply(&socket, &options, SocketState::Bound).unwrap();
        assert!(socket.out_of_band_inline().unwrap());
    }

    #[test]
    fn what_the_system_refuses_is_named() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let error = apply(&socket, &[number(KnownOption::KeepCount, -1)], SocketState::Prebind).unwrap_err();
        assert!(error.to_string().contains("TCP_KEEPCNT"), "{error}");
        let error = apply(&socket, &[number(KnownOption::KeepCount, 999)], SocketState::Prebind).unwrap_err();
        assert!(error.to_string().contains("TCP_KEEPCNT"), "{error}");
    }
}
