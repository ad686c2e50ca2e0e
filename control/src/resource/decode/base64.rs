//! Base64 (RFC 4648): the standard alphabet or the one for URLs, padded or not, white space ignored.

/// Decodes; `None` when the text is not base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held, mut symbols, mut padding) = (0_u32, 0_u32, 0_usize, 0_usize);
    for symbol in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if symbol == b'=' {
            padding += 1;
            continue;
        }
        let value = match symbol {
            _ if padding > 0 => return None,
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        symbols += 1;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    let complete = match symbols % 4 {
        0 => padding == 0,
        2 => padding == 0 || padding == 2,
        3 => padding <= 1,
        _ => false,
    };
    complete.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn the_vectors_of_rfc_4648_decode() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9v\nYmFy", "foobar"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(decode("_-8"), Some(vec![0xff, 0xef]));
        for text in ["Z", "Zg=", "Zg==Zg", "Z*==", "===="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
