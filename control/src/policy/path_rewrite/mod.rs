//! `prefixRewrite` and `regexRewrite`: the path towards the upstream.

use portcullis_proto::policy::v1 as wire;
use wire::path_rewrite::Rewrite;

use super::{ActionKind, Fit, Levels, Policy, regex};
use crate::ir;
use crate::translate::{Notes, path_problem};

/// The policy.
pub struct PathRewrite;

impl Policy for PathRewrite {
    fn option(&self) -> &'static str {
        "prefixRewrite"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        action.only_forward()
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        // An empty text changes nothing; it is only a way not to take over the delegating route's.
        let prefix = levels
            .in_route("prefixRewrite", |options| options.prefix_rewrite.as_ref())
            .filter(|found| !found.value.is_empty());
        let pattern = levels.in_route("regexRewrite", |options| options.regex_rewrite.as_ref());
        let rewrite = match (prefix, pattern) {
            (None, None) => return None,
            (Some(prefix), Some(_)) => {
                prefix.error(notes, "", "prefixRewrite and regexRewrite exclude each other");
                return None;
            }
            (Some(prefix), None) => {
                let path = prefix.value.split('?').next().unwrap_or_default();
                if let Some(problem) = path_problem(path) {
                    prefix.error(notes, "", problem);
                    return None;
                }
                Rewrite::Prefix(prefix.value.clone())
            }
            (None, Some(found)) => Rewrite::Regex(regex::lower(&found, found.value, notes)?),
        };
        Some(super::wire(&wire::PathRewrite { rewrite: Some(rewrite) }))
    }
}
