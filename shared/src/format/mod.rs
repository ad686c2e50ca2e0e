//! Format operators in header values and access logs: `%DOWNSTREAM_REMOTE_ADDRESS%`, `%REQ(x-a?x-b):10%`, `%%`.
//!
//! Parsed once, when a configuration is read: control refuses what does not parse and the data plane renders what does,
//! with the very same code. The names and their meaning are Envoy's. Must not know where the values come from.

mod time;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::SystemTime;

pub use time::TimeFormat;

/// Why a format does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A lone percent sign, or an operator that does not end.
    #[error("a percent sign at position {0} begins no operator; write %% for a percent sign")]
    Unterminated(usize),
    /// Not an operator.
    #[error("unknown format operator %{0}%")]
    Unknown(String),
    /// An operator of Envoy's that is not there yet.
    #[error("format operator %{0}% is not supported yet")]
    Unsupported(String),
    /// An operator that wants a parameter.
    #[error("format operator %{0}% needs a parameter in parentheses")]
    MissingParameter(String),
    /// An operator that takes none.
    #[error("format operator %{0}% takes no parameter")]
    UnexpectedParameter(String),
    /// The length after the colon is not a number.
    #[error("format operator %{0}% has a bad length")]
    BadLength(String),
}

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// An operator without a parameter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Fact {
            $($(#[$doc])* $name,)*
        }

        /// Every operator without a parameter.
        pub const FACTS: &[(&str, Fact)] = &[$(($word, Fact::$name),)*];
    };
}

facts! {
    /// HTTP version, "HTTP/1.1".
    Protocol = "PROTOCOL",
    /// Status of the response.
    ResponseCode = "RESPONSE_CODE",
    /// Why a response was given.
    ResponseCodeDetails = "RESPONSE_CODE_DETAILS",
    /// Envoy's short flags.
    ResponseFlags = "RESPONSE_FLAGS",
    /// Bytes of the request's body.
    BytesReceived = "BYTES_RECEIVED",
    /// Bytes of the response's body.
    BytesSent = "BYTES_SENT",
    /// Milliseconds from the first byte in to the last byte out.
    Duration = "DURATION",
    /// Address of the endpoint.
    UpstreamHost = "UPSTREAM_HOST",
    /// Address of the endpoint; the same by another name.
    UpstreamRemoteAddress = "UPSTREAM_REMOTE_ADDRESS",
    /// Address of the endpoint without its port.
    UpstreamRemoteAddressWithoutPort = "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    /// Port of the endpoint.
    UpstreamRemotePort = "UPSTREAM_REMOTE_PORT",
    /// Name of the upstream.
    UpstreamCluster = "UPSTREAM_CLUSTER",
    /// Number of tries.
    UpstreamRequestAttemptCount = "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    /// Client with port.
    DownstreamRemoteAddress = "DOWNSTREAM_REMOTE_ADDRESS",
    /// Client.
    DownstreamRemoteAddressWithoutPort = "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    /// Port of the client.
    DownstreamRemotePort = "DOWNSTREAM_REMOTE_PORT",
    /// TCP peer with port.
    DownstreamDirectRemoteAddress = "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    /// TCP peer.
    DownstreamDirectRemoteAddressWithoutPort = "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    /// Port of the TCP peer.
    DownstreamDirectRemotePort = "DOWNSTREAM_DIRECT_REMOTE_PORT",
    /// Own address with port.
    DownstreamLocalAddress = "DOWNSTREAM_LOCAL_ADDRESS",
    /// Own address.
    DownstreamLocalAddressWithoutPort = "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    /// Own port.
    DownstreamLocalPort = "DOWNSTREAM_LOCAL_PORT",
    /// Subject of the client's certificate.
    DownstreamPeerSubject = "DOWNSTREAM_PEER_SUBJECT",
    /// Issuer of the client's certificate.
    DownstreamPeerIssuer = "DOWNSTREAM_PEER_ISSUER",
    /// Serial number of the client's certificate, in hex.
    DownstreamPeerSerial = "DOWNSTREAM_PEER_SERIAL",
    /// URI names of the client's certificate.
    DownstreamPeerUriSan = "DOWNSTREAM_PEER_URI_SAN",
    /// DNS names of the client's certificate.
    DownstreamPeerDnsSan = "DOWNSTREAM_PEER_DNS_SAN",
    /// "TLSv1.3".
    DownstreamTlsVersion = "DOWNSTREAM_TLS_VERSION",
    /// OpenSSL name of the cipher suite.
    DownstreamTlsCipher = "DOWNSTREAM_TLS_CIPHER",
    /// Server name of the handshake.
    RequestedServerName = "REQUESTED_SERVER_NAME",
    /// Name of the route.
    RouteName = "ROUTE_NAME",
    /// Name of the host that the gateway runs on.
    Hostname = "HOSTNAME",
    /// Milliseconds from the first byte of the request to its last.
    RequestDuration = "REQUEST_DURATION",
    /// Milliseconds from the first byte of the request to the first one of the upstream's response.
    ResponseDuration = "RESPONSE_DURATION",
    /// Milliseconds from the first byte of the upstream's response to the last one sent.
    ResponseTxDuration = "RESPONSE_TX_DURATION",
    /// Own address of the connection to the endpoint, with port.
    UpstreamLocalAddress = "UPSTREAM_LOCAL_ADDRESS",
    /// The same without its port.
    UpstreamLocalAddressWithoutPort = "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    /// Its port.
    UpstreamLocalPort = "UPSTREAM_LOCAL_PORT",
    /// Why there was no connection to the endpoint.
    UpstreamTransportFailureReason = "UPSTREAM_TRANSPORT_FAILURE_REASON",
    /// Why the handshake with the client failed.
    DownstreamTransportFailureReason = "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    /// Why the connection was closed.
    ConnectionTerminationDetails = "CONNECTION_TERMINATION_DETAILS",
    /// Number of the connection in this process.
    ConnectionId = "CONNECTION_ID",
    /// Id of the trace.
    TraceId = "TRACE_ID",
    /// Body of an answer of the gateway's own.
    LocalReplyBody = "LOCAL_REPLY_BODY",
    /// Name of the virtual cluster.
    VirtualClusterName = "VIRTUAL_CLUSTER_NAME",
    /// SHA-256 of the client's certificate, in hex.
    DownstreamPeerFingerprint256 = "DOWNSTREAM_PEER_FINGERPRINT_256",
}

impl Fact {
    /// Its value is a number, and is one in JSON.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(
            self,
            Self::ResponseCode
                | Self::BytesReceived
                | Self::BytesSent
                | Self::Duration
                | Self::RequestDuration
                | Self::ResponseDuration
                | Self::ResponseTxDuration
                | Self::UpstreamRequestAttemptCount
                | Self::UpstreamRemotePort
                | Self::UpstreamLocalPort
                | Self::DownstreamRemotePort
                | Self::DownstreamDirectRemotePort
                | Self::DownstreamLocalPort
                | Self::ConnectionId
        )
    }
}

/// Operators of Envoy's that this gateway knows by name only.
const UNSUPPORTED: &[&str] = &[
    "DOWNSTREAM_LOCAL_SUBJECT",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "DOWNSTREAM_PEER_CERT",
    "DOWNSTREAM_PEER_CERT_V_END",
    "DOWNSTREAM_PEER_CERT_V_START",
    "DOWNSTREAM_PEER_FINGERPRINT_1",
    "DOWNSTREAM_TLS_SESSION_ID",
    "CLUSTER_METADATA",
    "PATH",
    "PER_REQUEST_STATE",
    "QUERY_PARAM",
    "REQUEST_TX_DURATION",
    "STREAM_ID",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_FILTER_STATE",
    "UPSTREAM_METADATA",
    "UPSTREAM_TLS_CIPHER",
    "UPSTREAM_TLS_VERSION",
];

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// One without a parameter.
    Fact(Fact),
    /// `%REQ(name?alternative)%`
    RequestHeader(Names),
    /// `%REQ_WITHOUT_QUERY(name?alternative)%`
    RequestHeaderWithoutQuery(Names),
    /// `%RESP(name?alternative)%`
    ResponseHeader(Names),
    /// `%START_TIME(format)%`
    StartTime(TimeFormat),
    /// `%ENVIRONMENT(name)%`
    Environment(Box<str>),
    /// `%TRAILER(name?alternative)%`
    Trailer(Names),
    /// `%GRPC_STATUS(form)%`, `%GRPC_STATUS_NUMBER%`
    GrpcStatus(GrpcForm),
    /// `%DYNAMIC_METADATA(namespace:key:..)%`
    DynamicMetadata(Box<str>),
    /// `%FILTER_STATE(key:form)%`
    FilterState(Box<str>),
    /// `%METADATA(..)%`: nothing of what is kept here has any.
    Nothing,
}

/// How the status of a gRPC call is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcForm {
    /// `DeadlineExceeded`.
    Camel,
    /// `DEADLINE_EXCEEDED`.
    Snake,
    /// `4`.
    Number,
}

/// The codes of gRPC by number.
const GRPC_CODES: [(&str, &str); 17] = [
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
];

impl GrpcForm {
    fn show(self, code: u32) -> Cow<'static, str> {
        let known = usize::try_from(code).ok().and_then(|code| GRPC_CODES.get(code));
        match (self, known) {
            (Self::Camel, Some((camel, _))) => Cow::Borrowed(camel),
            (Self::Snake, Some((_, snake))) => Cow::Borrowed(snake),
            _ => Cow::Owned(code.to_string()),
        }
    }
}

/// A header and the one to take in its absence, lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Looked at first.
    pub name: Box<str>,
    /// Looked at in its absence.
    pub alternative: Option<Box<str>>,
}

impl Names {
    fn parse(text: &str) -> Self {
        let lower = |name: &str| name.trim().to_ascii_lowercase().into_boxed_str();
        match text.split_once('?') {
            Some((name, alternative)) => Self { name: lower(name), alternative: Some(lower(alternative)) },
            None => Self { name: lower(text), alternative: None },
        }
    }

    fn find<'a>(&self, mut value: impl FnMut(&str) -> Option<Cow<'a, str>>) -> Option<Cow<'a, str>> {
        value(&self.name).or_else(|| self.alternative.as_deref().and_then(value))
    }
}

/// Where an operator's value comes from.
pub trait Values {
    /// The value of an operator without a parameter.
    fn fact(&self, fact: Fact) -> Option<Cow<'_, str>>;
    /// First value of a request header; `:method`, `:path`, `:authority` and `:scheme` too.
    fn request_header(&self, name: &str) -> Option<Cow<'_, str>>;
    /// First value of a response header.
    fn response_header(&self, name: &str) -> Option<Cow<'_, str>>;
    /// When the request came.
    fn started(&self) -> SystemTime;
    /// First value of a response trailer.
    fn trailer(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }
    /// The status of a gRPC call that is over.
    fn grpc_status(&self) -> Option<u32> {
        None
    }
    /// What Envoy keeps as filter state, by its key.
    fn filter_state(&self, _key: &str) -> Option<Cow<'_, str>> {
        None
    }
    /// What policies noted, by `namespace:key:..`.
    fn dynamic_metadata(&self, _path: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// A value as JSON has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed<'a> {
    /// There is none.
    Absent,
    /// Digits.
    Number(Cow<'a, str>),
    /// Anything else.
    Text(Cow<'a, str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Operator { operator: Operator, limit: Option<usize> },
}

/// A text with operators in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Box<[Piece]>);

impl Format {
    /// Reads a text with operators.
    ///
    /// # Errors
    /// A lone percent sign, an unknown operator, a missing or needless parameter, a bad length.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            let position = text.len().saturating_sub(from.len());
            let body = from.get(1..).unwrap_or("");
            if let Some(after) = body.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let (piece, after) = operator(body, position)?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
            }
            pieces.push(piece);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into()));
        }
        Ok(Self(pieces.into()))
    }

    /// The text, when there is no operator in it.
    #[must_use]
    pub fn constant(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with values in it. A value that is not there becomes `absent`.
    #[must_use]
    pub fn render(&self, values: &dyn Values, absent: &str) -> String {
        let mut out = String::new();
        self.render_into(&mut out, values, absent);
        out
    }

    /// As [`Format::render`], to the end of `out`.
    pub fn render_into(&self, out: &mut String, values: &dyn Values, absent: &str) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Operator { operator, limit } => match operator.value(values) {
                    Some(value) => out.push_str(truncate(&value, *limit)),
                    None => out.push_str(absent),
                },
            }
        }
    }

    /// The text with values in it; the value itself where that is all. A value that is not there becomes `absent` inside
    /// a longer text.
    #[must_use]
    pub fn typed<'a>(&'a self, values: &'a dyn Values, absent: &str) -> Typed<'a> {
        let [Piece::Operator { operator, limit }] = &*self.0 else {
            return Typed::Text(self.render(values, absent).into());
        };
        let number = match operator {
            Operator::Fact(fact) => fact.is_number(),
            Operator::GrpcStatus(form) => *form == GrpcForm::Number,
            _ => false,
        };
        match operator.value(values) {
            None => Typed::Absent,
            Some(value) if number => Typed::Number(value),
            Some(Cow::Borrowed(text)) => Typed::Text(truncate(text, *limit).into()),
            Some(Cow::Owned(text)) => Typed::Text(truncate(&text, *limit).to_owned().into()),
        }
    }

    /// Whether an operator fits `test`, so that what it shows need not be kept for those that have none such.
    pub fn any(&self, mut test: impl FnMut(&Operator) -> bool) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Operator { operator, .. } if test(operator)))
    }
}

impl Operator {
    fn value<'a>(&self, values: &'a dyn Values) -> Option<Cow<'a, str>> {
        match self {
            Self::Fact(fact) => values.fact(*fact),
            Self::RequestHeader(names) => names.find(|name| values.request_header(name)),
            Self::RequestHeaderWithoutQuery(names) => {
                names.find(|name| values.request_header(name)).map(|value| match value.split_once('?') {
                    Some((path, _)) => Cow::Owned(path.to_owned()),
                    None => value,
                })
            }
            Self::ResponseHeader(names) => names.find(|name| values.response_header(name)),
            Self::StartTime(format) => {
                let mut out = String::new();
                // Writing to a String cannot fail.
                let _ = write!(out, "{}", format.display(values.started()));
                Some(Cow::Owned(out))
            }
            Self::Environment(name) => std::env::var(&**name).ok().map(Cow::Owned),
            Self::Trailer(names) => names.find(|name| values.trailer(name)),
            Self::GrpcStatus(form) => values.grpc_status().map(|code| form.show(code)),
            Self::DynamicMetadata(path) => values.dynamic_metadata(path),
            Self::FilterState(key) => values.filter_state(key),
            Self::Nothing => None,
        }
    }
}

fn truncate(text: &str, limit: Option<usize>) -> &str {
    let Some(limit) = limit.filter(|limit| *limit < text.len()) else { return text };
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

/// Reads `NAME`, `NAME(parameter)` or `NAME(parameter):length` up to its closing percent sign.
fn operator(body: &str, position: usize) -> Result<(Piece, &str), FormatError> {
    let unterminated = FormatError::Unterminated(position);
    let name_end = body
        .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|end| *end > 0)
        .ok_or_else(|| unterminated.clone())?;
    let (name, mut rest) = body.split_at(name_end);
    let mut parameter = None;
    if let Some(inner) = rest.strip_prefix('(') {
        let (text, after) = inner.split_once(')').ok_or_else(|| unterminated.clone())?;
        parameter = Some(text);
        rest = after;
    }
    let (tail, after) = rest.split_once('%').ok_or(unterminated)?;
    let limit = match tail.strip_prefix(':') {
        Some(length) => Some(length.parse().map_err(|_| FormatError::BadLength(name.to_owned()))?),
        None if tail.is_empty() => None,
        None => return Err(FormatError::Unterminated(position)),
    };
    Ok((Piece::Operator { operator: named(name, parameter)?, limit }, after))
}

fn named(name: &str, parameter: Option<&str>) -> Result<Operator, FormatError> {
    if let Some((_, fact)) = FACTS.iter().find(|(word, _)| *word == name) {
        return match parameter {
            None | Some("") => Ok(Operator::Fact(*fact)),
            Some(_) => Err(FormatError::UnexpectedParameter(name.to_owned())),
        };
    }
    let needed = || parameter.filter(|p| !p.is_empty()).ok_or(FormatError::MissingParameter(name.to_owned()));
    Ok(match name {
        "REQ" => Operator::RequestHeader(Names::parse(needed()?)),
        "REQ_WITHOUT_QUERY" => Operator::RequestHeaderWithoutQuery(Names::parse(needed()?)),
        "RESP" => Operator::ResponseHeader(Names::parse(needed()?)),
        "START_TIME" => Operator::StartTime(TimeFormat::parse(parameter.unwrap_or(""))),
        "ENVIRONMENT" => Operator::Environment(needed()?.into()),
        "TRAILER" => Operator::Trailer(Names::parse(needed()?)),
        "GRPC_STATUS" => Operator::GrpcStatus(match parameter.unwrap_or("") {
            "" | "CAMEL_STRING" => GrpcForm::Camel,
            "SNAKE_STRING" => GrpcForm::Snake,
            "NUMBER" => GrpcForm::Number,
            _ => return Err(FormatError::UnexpectedParameter(name.to_owned())),
        }),
        "GRPC_STATUS_NUMBER" => Operator::GrpcStatus(GrpcForm::Number),
        "DYNAMIC_METADATA" => Operator::DynamicMetadata(needed()?.into()),
        "FILTER_STATE" => {
            let parameter = needed()?;
            Operator::FilterState(parameter.split_once(':').map_or(parameter, |(key, _)| key).into())
        }
        "METADATA" => {
            needed()?;
            Operator::Nothing
        }
        _ if UNSUPPORTED.contains(&name) => return Err(FormatError::Unsupported(name.to_owned())),
        _ => return Err(FormatError::Unknown(name.to_owned())),
    })
}
