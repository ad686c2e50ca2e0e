//! The weighted choice.

/// Prefix sums of weights: what [`pick`] takes. A sum beyond `u32` stays at the largest value.
pub fn cumulate(weights: impl IntoIterator<Item = u32>) -> Box<[u32]> {
    let sum = |sum: &mut u32, weight: u32| {
        *sum = sum.saturating_add(weight);
        Some(*sum)
    };
    weights.into_iter().scan(0, sum).collect()
}

/// The member that `point` falls on, for prefix sums of weights; `point` is taken modulo the total, so a uniformly
/// random one gives each member its share. A weight of 0 is never picked; `None` when the total is 0.
pub fn pick(sums: &[u32], point: u64) -> Option<usize> {
    let total = u64::from(*sums.last()?);
    let point = point.checked_rem(total)?;
    // The first member whose sum lies above the point; one of weight 0 has the sum of the one before it.
    Some(sums.partition_point(|sum| u64::from(*sum) <= point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_belongs_to_its_weight() {
        let sums = cumulate([0, 3, 0, 1, 0]);
        assert_eq!(*sums, [0, 3, 3, 4, 4]);
        let picked: Vec<_> = (0..8).map(|point| pick(&sums, point).unwrap()).collect();
        assert_eq!(picked, [1, 1, 1, 3, 1, 1, 1, 3]);
    }

    #[test]
    fn nothing_without_weight() {
        assert_eq!(pick(&[], 7), None);
        assert_eq!(pick(&cumulate([0, 0]), 7), None);
    }

    #[test]
    fn shares_follow_the_weights() {
        let sums = cumulate([90, 10]);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut counts = [0_u32; 2];
        for _ in 0..100_000 {
            // xorshift64: any uniform source will do.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            counts[pick(&sums, state).unwrap()] += 1;
        }
        assert!((89_000..91_000).contains(&counts[0]), "{counts:?}");
    }
}
