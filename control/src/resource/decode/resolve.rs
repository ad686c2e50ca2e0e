//! What a plain scalar means: YAML 1.1 as Go's decoder reads it, which is what published manifests rely on.

use super::node::Meaning;

/// The meaning of an unquoted scalar.
pub fn plain(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Meaning::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Meaning::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Meaning::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Meaning::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Meaning::Float(f64::NAN),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Meaning::Text;
    }
    number(&text.replace('_', "")).unwrap_or(Meaning::Text)
}

/// The meaning of a number in any of YAML 1.1's spellings.
pub fn number(text: &str) -> Option<Meaning> {
    if let Some(value) = integer(text) {
        return Some(Meaning::Int(value));
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let starts = digits.starts_with(|c: char| c.is_ascii_digit())
        || digits.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if !plain || !starts {
        return None;
    }
    text.parse::<f64>().ok().map(Meaning::Float)
}

/// Decimal, `0x`, `0o`, `0b` and the octal with a leading zero.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, digits.get(2..)?),
        Some("0o" | "0O") => (8, digits.get(2..)?),
        Some("0b" | "0B") => (2, digits.get(2..)?),
        Some(start) if start.starts_with('0') => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_go_makes_of_them() {
        for text in ["y", "yes", "on", "True"] {
            assert_eq!(plain(text), Meaning::Bool(true), "{text}");
        }
        for text in ["n", "NO", "off", "false"] {
            assert_eq!(plain(text), Meaning::Bool(false), "{text}");
        }
        assert_eq!(plain("~"), Meaning::Null);
        assert_eq!(plain("8080"), Meaning::Int(8080));
        assert_eq!(plain("-3"), Meaning::Int(-3));
        assert_eq!(plain("0x1F"), Meaning::Int(31));
        assert_eq!(plain("0o17"), Meaning::Int(15));
        assert_eq!(plain("017"), Meaning::Int(15));
        assert_eq!(plain("1_000"), Meaning::Int(1000));
        assert_eq!(plain("1.5"), Meaning::Float(1.5));
        assert_eq!(plain("1e3"), Meaning::Float(1000.0));
        for text in
            ["1.2.3", "10.0.0.1", "-", "+", ".", "1h", "0x", "089x", "--", "::", ":path", "inf", "nan", "e1"]
        {
            assert_eq!(plain(text), Meaning::Text, "{text}");
        }
        assert_eq!(plain("089"), Meaning::Float(89.0));
    }
}
