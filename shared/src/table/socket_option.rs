//! Options of listening sockets by Linux's numbers, as far as they can be set without unsafe code.
//!
//! There is no safe call that takes any level and name, so that what is known is a list; control refuses the rest by
//! name. Must not touch a socket: a worker does.

use portcullis_proto::table::v1 as wire;

use crate::Invalid;

/// An option of a socket, with a value that it can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOption {
    /// Which.
    pub option: KnownOption,
    /// Its value.
    pub value: SocketValue,
    /// When it is set.
    pub state: SocketState,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketValue {
    /// A number, or a truth.
    Number(i32),
    /// A name.
    Text(Box<[u8]>),
    /// Whether closing waits, and for so many seconds.
    Linger(Option<u16>),
}

/// When an option is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// Before the address is bound.
    Prebind,
    /// When it is.
    Bound,
    /// When it listens.
    Listening,
}

/// What the value of an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Number,
    Text,
    Linger,
}

macro_rules! options {
    ($($name:ident = $word:literal, $level:literal, $number:literal, $form:ident;)*) => {
        /// An option that can be set.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "named as in socket(7), ip(7), ipv6(7) and tcp(7)")]
        pub enum KnownOption {
            $($name,)*
        }

        impl KnownOption {
            /// The option of that level and name.
            #[must_use]
            pub fn find(level: i64, name: i64) -> Option<Self> {
                match (level, name) {
                    $(($level, $number) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// What people call it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            fn form(self) -> Form {
                match self {
                    $(Self::$name => Form::$form,)*
                }
            }
        }
    };
}

options! {
    ReuseAddr = "SO_REUSEADDR", 1, 2, Number;
    SendBuffer = "SO_SNDBUF", 1, 7, Number;
    ReceiveBuffer = "SO_RCVBUF", 1, 8, Number;
    KeepAlive = "SO_KEEPALIVE", 1, 9, Number;
    OutOfBandInline = "SO_OOBINLINE", 1, 10, Number;
    Priority = "SO_PRIORITY", 1, 12, Number;
    Linger = "SO_LINGER", 1, 13, Linger;
    ReusePort = "SO_REUSEPORT", 1, 15, Number;
    BindToDevice = "SO_BINDTODEVICE", 1, 25, Text;
    SendBufferForce = "SO_SNDBUFFORCE", 1, 32, Number;
    ReceiveBufferForce = "SO_RCVBUFFORCE", 1, 33, Number;
    Mark = "SO_MARK", 1, 36, Number;
    BusyPoll = "SO_BUSY_POLL", 1, 46, Number;
    IncomingCpu = "SO_INCOMING_CPU", 1, 49, Number;
    Tos = "IP_TOS", 0, 1, Number;
    Ttl = "IP_TTL", 0, 2, Number;
    FreeBind = "IP_FREEBIND", 0, 15, Number;
    Transparent = "IP_TRANSPARENT", 0, 19, Number;
    NoDelay = "TCP_NODELAY", 6, 1, Number;
    MaxSegment = "TCP_MAXSEG", 6, 2, Number;
    Cork = "TCP_CORK", 6, 3, Number;
    KeepIdle = "TCP_KEEPIDLE", 6, 4, Number;
    KeepInterval = "TCP_KEEPINTVL", 6, 5, Number;
    KeepCount = "TCP_KEEPCNT", 6, 6, Number;
    QuickAck = "TCP_QUICKACK", 6, 12, Number;
    Congestion = "TCP_CONGESTION", 6, 13, Text;
    UserTimeout = "TCP_USER_TIMEOUT", 6, 18, Number;
    NotSentLowAt = "TCP_NOTSENT_LOWAT", 6, 25, Number;
    UnicastHops = "IPV6_UNICAST_HOPS", 41, 16, Number;
    V6Only = "IPV6_V6ONLY", 41, 26, Number;
    TrafficClass = "IPV6_TCLASS", 41, 67, Number;
    TransparentV6 = "IPV6_TRANSPARENT", 41, 75, Number;
    FreeBindV6 = "IPV6_FREEBIND", 41, 78, Number;
}

/// Options that Linux has and that cannot be set here, so that they can be refused by name.
const OTHERS: &[(i64, i64, &str)] = &[
    (1, 18, "SO_RCVLOWAT"),
    (1, 26, "SO_ATTACH_FILTER"),
    (1, 51, "SO_ATTACH_REUSEPORT_CBPF"),
    (1, 52, "SO_ATTACH_REUSEPORT_EBPF"),
    (0, 24, "IP_BIND_ADDRESS_NO_PORT"),
    (6, 9, "TCP_DEFER_ACCEPT"),
    (6, 10, "TCP_WINDOW_CLAMP"),
    (6, 23, "TCP_FASTOPEN"),
    (6, 30, "TCP_FASTOPEN_CONNECT"),
];

impl TryFrom<wire::SocketOption> for SocketOption {
    type Error = Invalid;

    fn try_from(wire: wire::SocketOption) -> Result<Self, Invalid> {
        let (level, name) = (wire.level, wire.name);
        let Some(option) = KnownOption::find(level, name) else {
            let known = OTHERS.iter().find(|other| (other.0, other.1) == (level, name));
            let word = known.map_or_else(|| format!("option {name} of level {level}"), |it| it.2.to_owned());
            return Err(Invalid::new("name", format!("{word} cannot be set")));
        };
        let value = match wire.value.ok_or_else(|| Invalid::new("value", "a value is needed"))? {
            wire::socket_option::Value::Number(number) => number_value(option, number),
            wire::socket_option::Value::Buffer(bytes) => buffer(option, &bytes),
        };
        let value =
            value.map_err(|problem| Invalid::new("value", format!("{}: {problem}", option.as_str())))?;
        let state = match wire::SocketState::try_from(wire.state) {
            Ok(wire::SocketState::Prebind) => SocketState::Prebind,
            Ok(wire::SocketState::Bound) => SocketState::Bound,
            Ok(wire::SocketState::Listening) => SocketState::Listening,
            Err(_) => return Err(Invalid::new("state", format!("{} is unknown", wire.state))),
        };
        Ok(Self { option, value, state })
    }
}

fn number_value(option: KnownOption, number: i64) -> Result<SocketValue, String> {
    if option.form() != Form::Number {
        return Err("its value is a buffer".to_owned());
    }
    if option == KnownOption::ReusePort && number == 0 {
        return Err("workers share their ports by it".to_owned());
    }
    i32::try_from(number).map(SocketValue::Number).map_err(|_| format!("{number} is out of range"))
}

/// Bytes as setsockopt takes them.
fn buffer(option: KnownOption, bytes: &[u8]) -> Result<SocketValue, String> {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(i32::from_ne_bytes);
    match option.form() {
        Form::Text => {
            // C ends a text by a zero.
            let text = bytes.strip_suffix(b"\0").unwrap_or(bytes);
            match text.is_empty() || text.contains(&0) {
                true => Err("a name is needed".to_owned()),
                false => Ok(SocketValue::Text(text.into())),
            }
        }
        Form::Number => {
            let value = number(bytes).ok_or_else(|| format!("4 bytes are needed, found {}", bytes.len()))?;
            number_value(option, value.into())
        }
        Form::Linger => {
            let wrong = || "a struct linger of 8 bytes is needed".to_owned();
            let (on, seconds) = bytes.split_at_checked(4).ok_or_else(wrong)?;
            let (on, seconds) = number(on).zip(number(seconds)).ok_or_else(wrong)?;
            let seconds =
                u16::try_from(seconds).map_err(|_| format!("{seconds} seconds are out of range"))?;
            Ok(SocketValue::Linger((on != 0).then_some(seconds)))
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::socket_option::Value;

    use super::*;

    fn read(level: i64, name: i64, value: Value) -> Result<SocketOption, Invalid> {
        SocketOption::try_from(wire::SocketOption { level, name, value: Some(value), state: 1 })
    }

    #[test]
    fn known_options_are_read_in_both_forms() {
        let keep = read(1, 9, Value::Number(1)).unwrap();
        assert_eq!((keep.option, keep.value), (KnownOption::KeepAlive, SocketValue::Number(1)));
        assert_eq!(keep.state, SocketState::Bound);
        let bytes = 7i32.to_ne_bytes().to_vec();
        assert_eq!(read(6, 4, Value::Buffer(bytes.into())).unwrap().value, SocketValue::Number(7));
        let name = read(6, 13, Value::Buffer(b"cubic\0".to_vec().into())).unwrap();
        assert_eq!(name.value, SocketValue::Text(b"cubic"[..].into()));
        let linger = [1i32.to_ne_bytes(), 5i32.to_ne_bytes()].concat();
        assert_eq!(read(1, 13, Value::Buffer(linger.into())).unwrap().value, SocketValue::Linger(Some(5)));
    }

    #[test]
    fn what_cannot_be_set_is_refused_by_name() {
        let refused = |level, name, value| read(level, name, value).unwrap_err().to_string();
        assert_eq!(refused(6, 23, Value::Number(5)), "name: TCP_FASTOPEN cannot be set");
        assert_eq!(refused(6, 99, Value::Number(5)), "name: option 99 of level 6 cannot be set");
        assert!(refused(1, 15, Value::Number(0)).contains("share"));
        assert!(refused(1, 9, Value::Number(1 << 40)).contains("out of range"));
        assert!(refused(1, 25, Value::Number(1)).contains("buffer"));
        assert!(refused(1, 9, Value::Buffer(b"ab".to_vec().into())).contains("4 bytes"));
        assert!(refused(1, 13, Value::Buffer(b"ab".to_vec().into())).contains("8 bytes"));
        assert!(refused(1, 25, Value::Buffer(Vec::new().into())).contains("name"));
    }
}
