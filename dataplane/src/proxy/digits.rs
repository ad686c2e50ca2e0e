//! Numbers as text, straight into a buffer.

/// In decimal digits, at least `least` of them.
pub(super) fn decimal(out: &mut Vec<u8>, number: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let (mut left, mut at) = (number, digits.len());
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        at -= 1;
        if left == 0 {
            break;
        }
    }
    let at = at.min(digits.len().saturating_sub(least));
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}
