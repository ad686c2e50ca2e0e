//! A target for fuzzing: frame headers in bytes of any cut.

use super::frames::Scanner;

/// The bytes of an HTTP/2 connection: the same frames in every cut.
///
/// # Panics
/// They differ.
pub fn frames(bytes: &[u8]) {
    let all = |cut: usize| {
        let mut scanner = Scanner::after(24);
        let (mut headers, mut goodbyes) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(cut) {
            scanner.scan(piece, |header| headers.push(*header));
            goodbyes.extend(scanner.take_goodbye());
        }
        (headers, goodbyes.pop())
    };
    let whole = all(bytes.len().max(1)).0;
    for cut in [1, 2, 5, 9, 13] {
        assert_eq!(all(cut).0, whole, "other frames in pieces of {cut}");
    }
}
