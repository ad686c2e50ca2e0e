//! `csrf` on every level.

use serde::Deserialize;

use super::rewrite::Regex;

/// Requests that change something must come from a page of the same host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsrfPolicy {
    /// For which part of the requests others are refused; absent = none.
    pub filter_enabled: Option<RuntimeFractionalPercent>,
    /// For which part of the requests they are only counted; absent = none.
    pub shadow_enabled: Option<RuntimeFractionalPercent>,
    /// Hosts of origins that are fine besides.
    pub additional_origins: Vec<StringMatcher>,
}

/// A part of the requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimeFractionalPercent {
    /// The part.
    pub default_value: Option<FractionalPercent>,
    /// Where Envoy would look for an override at run time. There is none here, so that the default counts.
    pub runtime_key: String,
}

/// A fraction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FractionalPercent {
    /// Above the line.
    pub numerator: u32,
    /// Below it.
    pub denominator: Denominator,
}

/// What stands below the line of a fraction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum Denominator {
    #[default]
    Hundred,
    TenThousand,
    Million,
}

impl RuntimeFractionalPercent {
    /// In parts of a million, at most all of it.
    pub fn per_million(&self) -> u32 {
        let part = self.default_value.unwrap_or_default();
        let times = match part.denominator {
            Denominator::Hundred => 10_000,
            Denominator::TenThousand => 100,
            Denominator::Million => 1,
        };
        part.numerator.saturating_mul(times).min(1_000_000)
    }
}

/// A condition on a text. At most one of the first four is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StringMatcher {
    /// The whole text.
    pub exact: Option<String>,
    /// How it begins.
    pub prefix: Option<String>,
    /// How it ends.
    pub suffix: Option<String>,
    /// An expression that fits the whole of it.
    pub safe_regex: Option<Regex>,
    /// Case does not matter; without effect on an expression.
    pub ignore_case: bool,
}
