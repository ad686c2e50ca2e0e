//! What a listener's connections and sockets are subject to: limits, socket options, what is kept of a PROXY header.

use bytes::Bytes;
use portcullis_proto::table::v1 as wire;
use portcullis_shared::table;
use prost::Message as _;

use super::About;
use crate::policy::{Layer, rate_limit};
use crate::resource::{
    ConnectionLimit, Kind, ListenerOptions, ProxyProtocol, SocketOption, SocketState, TokenBucket,
};
use crate::translate::Notes;

/// Where Envoy's filter puts extensions when the user says nothing.
const NAMESPACE: &str = "envoy.filters.listener.proxy_protocol";

/// Which connections are let in, encoded; empty = all. `bucket` is the field of a token bucket.
pub(super) fn admission<O>(
    options: &Layer<'_, O>,
    limit: Option<&ConnectionLimit>,
    bucket: (&str, Option<&TokenBucket>),
    notes: &mut Notes,
) -> Bytes {
    let connections = limit.and_then(|limit| {
        connection_limit(
            limit,
            &format!("{}.connectionLimit", options.path),
            &mut About::of(options.owner, notes),
        )
    });
    let (field, bucket) = bucket;
    let of = Layer { options: &bucket, owner: options.owner, path: options.path.clone(), depth: 0 };
    let rate = of.field(field, |bucket| *bucket).and_then(|found| rate_limit::bucket(&found, notes));
    if connections.is_none() && rate.is_none() {
        return Bytes::new();
    }
    wire::Admission { scope: scope(options), connections, rate }.encode_to_vec().into()
}

/// The Gateway, and which part of it where it has several; or the resource that holds a part.
fn scope<O>(options: &Layer<'_, O>) -> String {
    let (owner, path) = (options.owner, &*options.path);
    if owner.kind != Kind::Gateway {
        return owner.to_string();
    }
    match path {
        "spec.httpGateway.options" | "spec.tcpGateway.options" => {
            format!("{}.{}", owner.namespace, owner.name)
        }
        part => format!("{}.{} {part}", owner.namespace, owner.name),
    }
}

fn connection_limit(
    limit: &ConnectionLimit,
    path: &str,
    about: &mut About<'_>,
) -> Option<wire::ConnectionLimit> {
    let delay_ms = match limit.delay_before_close {
        None => 0,
        Some(delay) => delay.to_millis().unwrap_or_else(|| {
            about.error(format!("{path}.delayBeforeClose"), format!("{delay} is negative"));
            0
        }),
    };
    let Some(max_active) = limit.max_active_connections else {
        about.warning(path, "has no effect without maxActiveConnections");
        return None;
    };
    if max_active == 0 {
        let text = "maxActiveConnections must be greater than or equal to 1, current value: 0";
        about.error(format!("{path}.maxActiveConnections"), text);
        return None;
    }
    Some(wire::ConnectionLimit { max_active, delay_ms })
}

/// What the listener as a whole has, encoded: a `Listener` with nothing else in it.
pub(super) fn listener(options: Option<&ListenerOptions>, about: &mut About<'_>) -> Bytes {
    let Some(options) = options else { return Bytes::new() };
    if let Some(balance) = &options.connection_balance_config {
        let path = "spec.options.connectionBalanceConfig";
        match balance.exact_balance {
            None => about.error(path, "connection balancer does not specify balancer type"),
            Some(_) => about.warning(
                format!("{path}.exactBalance"),
                "makes no difference here: each worker has a socket of its own, and the system spreads connections \
                 among them",
            ),
        }
    }
    wire::Listener {
        tlvs: options.proxy_protocol.as_ref().map(|it| tlvs(it, about)).unwrap_or_default(),
        socket_options: socket_options(&options.socket_options, about),
        ..Default::default()
    }
    .encode_to_vec()
    .into()
}

fn tlvs(proxy_protocol: &ProxyProtocol, about: &mut About<'_>) -> Vec<wire::ProxyProtocolTlv> {
    let mut tlvs = Vec::new();
    for (at, rule) in proxy_protocol.rules.iter().enumerate() {
        let path = format!("spec.options.proxyProtocol.rules[{at}]");
        if rule.tlv_type > 255 {
            let text = format!("a type from 0 to 255 is needed, found {}", rule.tlv_type);
            about.error(format!("{path}.tlvType"), text);
        }
        // A rule that keeps nothing.
        let Some(kept) = &rule.on_tlv_present else { continue };
        if kept.key.is_empty() {
            about.error(format!("{path}.onTlvPresent.key"), "a key is needed");
            continue;
        }
        let namespace = match kept.metadata_namespace.as_str() {
            "" => NAMESPACE,
            namespace => namespace,
        };
        tlvs.push(wire::ProxyProtocolTlv {
            r#type: rule.tlv_type,
            namespace: namespace.to_owned(),
            key: kept.key.clone(),
        });
    }
    tlvs
}

fn socket_options(options: &[SocketOption], about: &mut About<'_>) -> Vec<wire::SocketOption> {
    use wire::socket_option::Value;
    let mut lowered = Vec::new();
    for (at, option) in options.iter().enumerate() {
        let path = format!("spec.options.socketOptions[{at}]");
        let value = match (&option.buf_value, option.int_value) {
            (Some(text), _) => match crate::resource::decode_base64(text) {
                Some(bytes) => Value::Buffer(bytes.into()),
                None => {
                    about.error(format!("{path}.bufValue"), "the value is not base64");
                    continue;
                }
            },
            (None, Some(number)) => Value::Number(number),
            // Envoy takes the zero of a number that is not there.
            (None, None) => Value::Number(0),
        };
        let wire = wire::SocketOption {
            level: option.level,
            name: option.name,
            value: Some(value),
            state: match option.state {
                SocketState::StatePrebind => wire::SocketState::Prebind,
                SocketState::StateBound => wire::SocketState::Bound,
                SocketState::StateListening => wire::SocketState::Listening,
            } as i32,
        };
        match table::SocketOption::try_from(wire.clone()) {
            Ok(_) => lowered.push(wire),
            Err(invalid) => {
                let field = match &*invalid.path {
                    "value" if option.buf_value.is_some() => "bufValue",
                    "value" => "intValue",
                    field => field,
                };
                about.error(format!("{path}.{field}"), invalid.reason);
            }
        }
    }
    lowered
}

/// `perConnectionBufferLimitBytes`; 0 = the worker's default.
pub(super) fn buffer_limit(options: Option<&ListenerOptions>, about: &mut About<'_>) -> u32 {
    let limit = options.and_then(|options| options.per_connection_buffer_limit_bytes);
    if limit == Some(0) {
        let text = "a number of at least 1 is needed: every buffer has a bound here";
        about.error("spec.options.perConnectionBufferLimitBytes", text);
    }
    limit.unwrap_or(0)
}
