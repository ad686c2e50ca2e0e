//! `hostRewrite`, `autoHostRewrite`, `hostRewritePathRegex`, `hostRewriteHeader`, `appendXForwardedHost`: the Host
//! towards the upstream.

use http::HeaderName;
use portcullis_proto::policy::v1 as wire;
use wire::host_rewrite::Rewrite;

use super::{ActionKind, Fit, Levels, Policy, regex};
use crate::ir;
use crate::resource::{RegexMatchAndSubstitute, RouteOptions};
use crate::translate::{Notes, host_problem};

/// The policy.
pub struct HostRewrite;

/// The four exclude each other; the one that stands later in this list wins inside one block.
enum Kind<'s> {
    Literal(&'s str),
    Auto(bool),
    PathRegex(&'s RegexMatchAndSubstitute),
    Header(&'s str),
}

fn kind(options: &RouteOptions) -> Option<(&'static str, Kind<'_>)> {
    if let Some(header) = &options.host_rewrite_header {
        return Some(("hostRewriteHeader", Kind::Header(header)));
    }
    if let Some(pattern) = &options.host_rewrite_path_regex {
        return Some(("hostRewritePathRegex", Kind::PathRegex(pattern)));
    }
    if let Some(auto) = options.auto_host_rewrite {
        return Some(("autoHostRewrite", Kind::Auto(auto)));
    }
    options.host_rewrite.as_ref().map(|host| ("hostRewrite", Kind::Literal(host)))
}

impl Policy for HostRewrite {
    fn option(&self) -> &'static str {
        "hostRewrite"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        action.only_forward()
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let (found, kind) = levels.route_layer(kind)?;
        let rewrite = match kind {
            Kind::Auto(false) => return None,
            Kind::Auto(true) => Rewrite::Auto(true),
            Kind::Header("") => return None,
            Kind::Literal(host) => {
                if let Some(problem) = host_problem(host) {
                    found.error(notes, "", format!("hostRewrite: {problem}"));
                    return None;
                }
                Rewrite::Literal(host.to_owned())
            }
            Kind::Header(name) => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => Rewrite::Header(name.to_string()),
                Err(_) => {
                    found.error(notes, "", format!("hostRewriteHeader: [{name}] is not a header name"));
                    return None;
                }
            },
            Kind::PathRegex(pattern) => Rewrite::PathRegex(regex::lower(&found, pattern, notes)?),
        };
        let append = levels
            .in_route("appendXForwardedHost", |options| options.append_x_forwarded_host.as_ref())
            .is_some_and(|found| *found.value);
        Some(super::wire(&wire::HostRewrite { rewrite: Some(rewrite), append_x_forwarded_host: append }))
    }
}
