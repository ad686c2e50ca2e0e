//! Percent-decoding (RFC 3986 2.1) of text that may be anything.

/// Decodes all. What is no UTF-8 then is replaced; a sign that stands for nothing stays.
#[must_use]
pub fn decoded(text: &str) -> String {
    decoded_but(text, b"")
}

/// As [`decoded`], but what stands for one of `kept` stays as it is.
#[must_use]
pub fn decoded_but(text: &str, kept: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if let (b'%', [high, low, after @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
            && let Ok(byte) = u8::try_from(high * 16 + low)
            && !kept.contains(&byte)
        {
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_nothing_stay() {
        for (text, wanted) in
            [("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("a%20b+c", "a b+c"), ("%ff", "\u{fffd}")]
        {
            assert_eq!(decoded(text), wanted);
        }
        assert_eq!(decoded_but("%2f%41", b"/"), "%2fA");
    }
}
