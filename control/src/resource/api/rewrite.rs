//! Regular expressions with a substitution, in rewrites of paths and hosts.

use serde::Deserialize;

/// `{pattern, substitution}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegexMatchAndSubstitute {
    /// What is replaced, every occurrence.
    pub pattern: Option<Regex>,
    /// By what; `\1` is the first group, `\0` the whole match.
    pub substitution: String,
}

/// A regular expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Regex {
    /// Its text.
    pub regex: String,
    /// Limits of the engine that Gloo uses; accepted and without effect.
    pub google_re2: Option<RegexProgram>,
}

/// `googleRe2`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegexProgram {
    /// Limit of the compiled size in Gloo's engine.
    pub max_program_size: Option<u32>,
}
