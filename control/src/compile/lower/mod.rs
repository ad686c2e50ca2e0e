//! Each type of the model as its wire message, field by field. Nothing is decided here.

mod host;
mod listener;
mod upstream;

pub use host::{matcher, split, virtual_host};
pub use listener::listener;
pub use upstream::upstream;

use portcullis_proto::table::v1 as wire;

use crate::ir::{Origin, Policy, TlsVersion};

/// The name by which a policy message travels in `google.protobuf.Any`.
pub fn type_url<M: prost::Name>() -> String {
    M::type_url()
}

fn origin(origin: &Origin) -> Option<wire::Origin> {
    Some(wire::Origin {
        kind: origin.kind.to_owned(),
        namespace: origin.namespace.to_string(),
        name: origin.name.to_string(),
    })
}

fn tls_version(version: TlsVersion) -> i32 {
    let version = match version {
        TlsVersion::Auto => wire::TlsVersion::Auto,
        TlsVersion::V1_2 => wire::TlsVersion::TlsVersion12,
        TlsVersion::V1_3 => wire::TlsVersion::TlsVersion13,
    };
    version as i32
}

fn policies(list: &[Policy]) -> Vec<prost_types::Any> {
    list.iter()
        .map(|policy| prost_types::Any {
            type_url: policy.type_url.to_string(),
            value: policy.value.to_vec(),
        })
        .collect()
}

/// Labels as they travel: in order of their keys.
pub fn labels(labels: &crate::ir::Labels) -> Vec<wire::Label> {
    labels.iter().map(|(key, value)| wire::Label { key: key.to_string(), value: value.to_string() }).collect()
}

fn strings(list: &[std::sync::Arc<str>]) -> Vec<String> {
    list.iter().map(|text| text.to_string()).collect()
}

fn text(option: &Option<std::sync::Arc<str>>) -> String {
    option.as_deref().unwrap_or_default().to_owned()
}

fn millis(option: Option<std::time::Duration>) -> u64 {
    option.map_or(0, |duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
