//! `shadowing`: copies of a route's requests to another upstream.

use http::uri::Authority;
use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Found, Levels, Policy};
use crate::ir;
use crate::resource::{Kind, ObjectRef, RouteShadowing};
use crate::translate::{Notes, wire_name};

/// The policy.
pub struct Shadowing;

impl Policy for Shadowing {
    fn option(&self) -> &'static str {
        "shadowing"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        match action {
            ActionKind::Forward | ActionKind::ForwardByHeader => Fit::Works,
            ActionKind::Redirect | ActionKind::DirectResponse => Fit::Refused,
        }
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let (found, upstream) = upstream(levels)?;
        let value = found.value;
        let Some(upstream) = upstream else {
            found.error(notes, ".upstream", "shadowing: the upstream is needed: `name` and `namespace`");
            return None;
        };
        if !(0.0..=100.0).contains(&value.percentage) {
            let text = format!("shadowing: {} is not a percentage from 0 to 100", value.percentage);
            found.error(notes, ".percentage", text);
            return None;
        }
        let host = value.host_rewrite_literal.as_str();
        if !host.is_empty() && host.parse::<Authority>().is_err() {
            found.error(notes, ".hostRewriteLiteral", format!("shadowing: [{host}] is not a host"));
            return None;
        }
        // Of a million, as Envoy counts.
        let per_million = (f64::from(value.percentage) * 10_000.0).round() as u32;
        (per_million > 0).then(|| {
            super::wire(&wire::Shadow {
                upstream: wire_name(&upstream).to_string(),
                per_million,
                keep_host: value.disable_shadow_host_suffix_append == Some(true),
                host: host.to_owned(),
            })
        })
    }
}

/// Where copies go, as far as it is said.
pub fn upstream<'s>(levels: &Levels<'_, 's>) -> Option<(Found<'s, RouteShadowing>, Option<ObjectRef>)> {
    let found = levels.in_route("shadowing", |options| options.shadowing.as_ref())?;
    let reference = found.value.upstream.as_ref();
    let reference = reference.filter(|it| !it.name.is_empty() && !it.namespace.is_empty());
    let id = reference.map(|it| ObjectRef::new(Kind::Upstream, it.namespace.as_str(), it.name.as_str()));
    Some((found, id))
}
