//! `csrf`: the most specific level replaces the others.

use portcullis_proto::policy::v1 as wire;
use portcullis_shared::routing::pattern;
use wire::text_match::How;

use super::{Found, Layer, Levels, Policy};
use crate::ir;
use crate::resource::{CsrfPolicy, HttpListenerOptions, RuntimeFractionalPercent, StringMatcher};
use crate::translate::{Globals, Notes};

/// The policy.
pub struct Csrf;

impl Policy for Csrf {
    fn option(&self) -> &'static str {
        "csrf"
    }

    fn on_destinations(&self) -> bool {
        true
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let found = levels.most_specific(
            "csrf",
            |options| options.csrf.as_ref(),
            |options| options.csrf.as_ref(),
            |options| options.csrf.as_ref(),
        )?;
        Some(message(&found, notes))
    }

    fn lower_listener(
        &self,
        options: &Layer<'_, HttpListenerOptions>,
        _globals: &Globals,
        notes: &mut Notes,
    ) -> Option<ir::Policy> {
        Some(message(&options.field("csrf", |options| options.csrf.as_ref())?, notes))
    }
}

fn message(csrf: &Found<'_, CsrfPolicy>, notes: &mut Notes) -> ir::Policy {
    let part = |part: &Option<RuntimeFractionalPercent>| {
        part.as_ref().map_or(0, RuntimeFractionalPercent::per_million)
    };
    let value = csrf.value;
    let origins = value.additional_origins.iter().enumerate();
    let origins = origins.filter_map(|(at, origin)| match how(origin) {
        Ok(how) => Some(wire::TextMatch { how: Some(how), ignore_case: origin.ignore_case }),
        Err(problem) => {
            csrf.error(notes, &format!(".additionalOrigins[{at}]"), format!("csrf: {problem}"));
            None
        }
    });
    // Also where nothing is enabled: it stands in for a less specific level that enables something.
    super::wire(&wire::Csrf {
        origins: origins.collect(),
        enforced_per_million: part(&value.filter_enabled),
        shadowed_per_million: part(&value.shadow_enabled),
    })
}

fn how(origin: &StringMatcher) -> Result<How, String> {
    if let Some(regex) = &origin.safe_regex {
        return match pattern::full(&regex.regex) {
            Ok(_) => Ok(How::Regex(regex.regex.clone())),
            Err(problem) => Err(format!("invalid regex [{}]: {problem}", regex.regex)),
        };
    }
    let one = (origin.suffix.clone().map(How::Suffix))
        .or_else(|| origin.prefix.clone().map(How::Prefix))
        .or_else(|| origin.exact.clone().map(How::Exact));
    one.ok_or_else(|| "an origin needs one of exact, prefix, suffix or safeRegex".to_owned())
}
