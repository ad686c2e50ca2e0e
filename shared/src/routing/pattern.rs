//! Regular expressions as users write them: RE2 syntax, compiled with a bound on their size.

use regex::{Regex, RegexBuilder};

/// Bound of one compiled program, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// Compiles an expression that must fit a whole text. The error says what is wrong, in one line.
pub fn full(pattern: &str) -> Result<Regex, String> {
    // Compiled alone first: "a)(b" is wrong although it is fine between the anchors' parentheses.
    compile(pattern)?;
    compile(&format!("^(?:{pattern})$"))
}

/// Compiles an expression that is looked for in a text. The error says what is wrong, in one line.
pub fn search(pattern: &str) -> Result<Regex, String> {
    compile(pattern)
}

fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("the compiled expression is larger than {limit} bytes")
        }
        // The last line is the reason, the others draw where it is.
        error => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or("not a regular expression");
            reason.trim_start_matches("error: ").to_string()
        }
    })
}
