//! The pattern with substitution that path and host rewrites share.

use portcullis_proto::policy::v1 as wire;
use portcullis_shared::table::RegexSubstitution;

use super::Found;
use crate::resource::RegexMatchAndSubstitute;
use crate::translate::Notes;

/// Checks it and makes it the wire form; a finding names the virtual service's field when it does not compile.
pub fn lower<T>(
    found: &Found<'_, T>,
    value: &RegexMatchAndSubstitute,
    notes: &mut Notes,
) -> Option<wire::RegexSubstitution> {
    let Some(pattern) = &value.pattern else {
        found.error(notes, ".pattern", "a regex rewrite needs a pattern");
        return None;
    };
    if let Err(invalid) = RegexSubstitution::new(&pattern.regex, &value.substitution) {
        found.error(
            notes,
            ".pattern.regex",
            format!("{} has an invalid regex [{}]: {}", found.owner, pattern.regex, invalid.reason),
        );
        return None;
    }
    Some(wire::RegexSubstitution { pattern: pattern.regex.clone(), substitution: value.substitution.clone() })
}
