//! The path towards the upstream. A setting of the engine: it applies when the request header is written, so that
//! routing and the other policies see the original path.

use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::PathMatcher;
use portcullis_shared::table::{RegexSubstitution, rewrite_prefix};

use super::{PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.PathRewrite";

/// How a path becomes another one.
#[derive(Debug, Clone)]
pub enum PathRewrite {
    /// Replaces the matched prefix, or the whole path of an exact or regex matcher.
    Prefix(Box<str>),
    /// Replaces every match in the path; the query is not looked at.
    Regex(Box<RegexSubstitution>),
}

impl PathRewrite {
    /// The new path with query, which may be the old one; none where there is nothing to rewrite to. `path_and_query` is
    /// the target that `matched` matched.
    #[must_use]
    pub fn apply(&self, matched: &PathMatcher, path_and_query: &str) -> Option<String> {
        let (path, query) = match path_and_query.find('?') {
            Some(at) => path_and_query.split_at(at),
            None => (path_and_query, ""),
        };
        let new = match self {
            Self::Prefix(new) if new.is_empty() => return None,
            Self::Prefix(new) => rewrite_prefix(path, matched, new),
            Self::Regex(substitution) => substitution.replace_all(path),
        };
        Some([&*new, query].concat())
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::PathRewrite = registry::decode(bytes)?;
    builder.path_rewrite(match wire.rewrite {
        Some(proto::path_rewrite::Rewrite::Prefix(prefix)) => PathRewrite::Prefix(prefix.into()),
        Some(proto::path_rewrite::Rewrite::Regex(regex)) => {
            let substitution = RegexSubstitution::try_from(regex).map_err(|e| e.under("regex"))?;
            PathRewrite::Regex(Box::new(substitution))
        }
        None => return Err(Invalid::new("rewrite", "is missing")),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> PathMatcher {
        PathMatcher::Prefix { text: text.into(), ignore_case: false }
    }

    fn exact(text: &str) -> PathMatcher {
        PathMatcher::Exact { text: text.into(), ignore_case: false }
    }

    #[test]
    fn a_prefix_is_replaced_textually_and_the_query_kept() {
        let to_root = PathRewrite::Prefix("/".into());
        assert_eq!(to_root.apply(&prefix("/foo"), "/foo/x?a=/foo").as_deref(), Some("//x?a=/foo"));
        assert_eq!(to_root.apply(&prefix("/foo/"), "/foo/x").as_deref(), Some("/x"));
        assert_eq!(to_root.apply(&prefix("/"), "/same").as_deref(), Some("/same"));
        assert_eq!(PathRewrite::Prefix("".into()).apply(&prefix("/a"), "/a/b"), None);
    }

    #[test]
    fn an_exact_match_is_replaced_whole() {
        let new = PathRewrite::Prefix("/bar".into());
        assert_eq!(new.apply(&exact("/foo"), "/foo?x=1").as_deref(), Some("/bar?x=1"));
    }

    #[test]
    fn an_empty_prefix_changes_nothing() {
        assert_eq!(PathRewrite::Prefix("".into()).apply(&prefix("/foo"), "/foo/x"), None);
    }

    #[test]
    fn a_regex_replaces_every_match_of_the_path_only() {
        let swap = PathRewrite::Regex(RegexSubstitution::new("o(.)", r"0\1").expect("valid").into());
        assert_eq!(swap.apply(&prefix("/"), "/foo/box?q=oo").as_deref(), Some("/f0o/b0x?q=oo"));
    }
}
