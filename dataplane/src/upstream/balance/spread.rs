//! In which order endpoints are visited so that each gets its share.

/// See the module. Holds positions in a list that somebody else has.
#[derive(Debug, Default)]
pub(super) enum Schedule {
    /// All weights are equal: by position.
    #[default]
    Equal,
    /// Positions in the list, spread as evenly as the weights allow.
    Spread(Box<[u16]>),
    /// Sums of the weights so far, where a list of positions would be too long.
    Sums(Box<[u64]>),
}

/// Longest list of positions; beyond it, weights are followed only in the mean.
const LONGEST_SPREAD: u64 = 4096;

impl Schedule {
    pub(super) fn new(weights: &[u32]) -> Self {
        let divisor = weights.iter().fold(0, |a, weight| gcd(a, *weight));
        let weights: Vec<u64> = weights.iter().map(|weight| u64::from(weight / divisor.max(1))).collect();
        let total: u64 = weights.iter().sum();
        if weights.iter().all(|weight| *weight == 1) {
            Self::Equal
        } else if total <= LONGEST_SPREAD {
            Self::Spread(spread(&weights, total))
        } else {
            let mut sum = 0;
            let sums = weights.iter().map(|weight| {
                sum += weight;
                sum
            });
            Self::Sums(sums.collect())
        }
    }

    /// The position at `point`. `scatter` is for points that follow each other.
    pub(super) fn at(&self, point: u64, len: usize, scatter: bool) -> Option<usize> {
        match self {
            Self::Equal => (len > 0).then(|| below(point, len)),
            Self::Spread(order) => order.get(below(point, order.len())).map(|at| usize::from(*at)),
            // Multiples of the golden ratio fall evenly into an interval, so that neither short nor long runs favour one.
            Self::Sums(sums) if scatter => by_weight(sums, point.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            Self::Sums(sums) => by_weight(sums, point),
        }
    }
}

fn below(point: u64, len: usize) -> usize {
    usize::try_from(point % (len as u64).max(1)).unwrap_or(0)
}

/// The position in whose share `point` falls; `point` spans all of u64.
fn by_weight(sums: &[u64], point: u64) -> Option<usize> {
    let total = u128::from(*sums.last()?);
    let scaled = u64::try_from((u128::from(point) * total) >> 64).unwrap_or(0);
    Some(sums.partition_point(|sum| *sum <= scaled))
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Smooth weighted round robin: in every step each endpoint earns its weight, the richest is chosen and pays the total.
fn spread(weights: &[u64], total: u64) -> Box<[u16]> {
    let total = i64::try_from(total).unwrap_or(i64::MAX);
    let mut credit: Vec<(i64, i64)> =
        weights.iter().map(|weight| (i64::try_from(*weight).unwrap_or(i64::MAX), 0)).collect();
    let mut order = Vec::new();
    for _ in 0..total {
        let mut best = (0u16, i64::MIN);
        for (at, (weight, credit)) in (0u16..).zip(&mut credit) {
            *credit += *weight;
            if *credit > best.1 {
                best = (at, *credit);
            }
        }
        if let Some((_, credit)) = credit.get_mut(usize::from(best.0)) {
            *credit -= total;
        }
        order.push(best.0);
    }
    order.into()
}
