//! Regular expressions as users write them: RE2 syntax, compiled with a bound on their size.
//!
//! The two dialects differ in corners. [`re2`] rewrites those, so that an expression means here what it meant there.

mod re2;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::literal::Extractor;

/// Bound of one compiled program, in bytes.
const SIZE_LIMIT: usize = 4 << 20;

/// An expression that begins in more ways than this is filed under what they have in common.
const MAX_BEGINNINGS: usize = 8;

/// Compiles an expression that must fit a whole text. The error says what is wrong, in one line.
pub fn full(pattern: &str) -> Result<Regex, String> {
    let pattern = re2::translate(pattern);
    // Parsed alone first: "a)(b" is wrong although it is fine between the anchors' parentheses.
    regex_syntax::parse(&pattern).map_err(|error| one_line(&error.to_string()))?;
    compile(&format!("^(?:{pattern})$"))
}

/// Compiles an expression that is looked for in a text. The error says what is wrong, in one line.
pub fn search(pattern: &str) -> Result<Regex, String> {
    compile(&re2::translate(pattern))
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("the compiled expression is larger than {limit} bytes")
        }
        error => one_line(&error.to_string()),
    })
}

/// The last line of a parser's message is the reason, the others draw where it is.
fn one_line(message: &str) -> String {
    message.lines().last().unwrap_or("not a regular expression").trim_start_matches("error: ").to_string()
}

/// Every text that `pattern` fits begins with one of these. One that is empty, `[""]`, means that nothing is known.
pub fn beginnings(pattern: &str) -> Vec<Vec<u8>> {
    let unknown = || vec![Vec::new()];
    let Ok(hir) = regex_syntax::parse(&re2::translate(pattern)) else { return unknown() };
    let found = Extractor::new().extract(&hir);
    match found.literals() {
        Some(literals) if literals.len() <= MAX_BEGINNINGS => {
            literals.iter().map(|literal| literal.as_bytes().to_vec()).collect()
        }
        _ => found.longest_common_prefix().map_or_else(unknown, |common| vec![common.to_vec()]),
    }
}

#[cfg(test)]
mod tests;
