//! Consistent hashing by a ring (ketama): every endpoint stands at many places of it, and a request goes to the first one
//! at or after its own. Places and sizes are computed as Envoy does.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use super::super::endpoint::Endpoint;
use super::hash_key;

/// Places with the positions of their endpoints, in order of place.
#[derive(Debug)]
pub(super) struct Ring(Box<[(u64, u32)]>);

impl Ring {
    /// A ring on which the smallest share is a whole number of places, of `minimum` to `maximum` places.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are at most 8M and weights 32 bits"
    )]
    pub(super) fn new(list: &[Arc<Endpoint>], by_hostname: bool, minimum: u64, maximum: u64) -> Self {
        let total: f64 = list.iter().map(|endpoint| f64::from(endpoint.weight)).sum();
        let least = list.iter().map(|endpoint| f64::from(endpoint.weight) / total).fold(1.0, f64::min);
        let scale = ((least * minimum as f64).ceil() / least).min(maximum as f64);
        let mut ring = Vec::with_capacity(scale.ceil() as usize);
        // Fractions of a place are carried on to the next endpoint.
        let (mut have, mut want) = (0.0, 0.0);
        for (at, endpoint) in (0u32..).zip(list) {
            let key = hash_key(endpoint, by_hostname);
            want += scale * f64::from(endpoint.weight) / total;
            let mut number = 0u32;
            while have < want {
                ring.push((xxh64(format!("{key}_{number}").as_bytes(), 0), at));
                number += 1;
                have += 1.0;
            }
        }
        ring.sort_unstable();
        Self(ring.into())
    }

    /// The position of the endpoint for `hash`, or of the `step`th place after it.
    pub(super) fn at(&self, hash: u64, step: usize) -> Option<usize> {
        let place = self.0.partition_point(|(place, _)| *place < hash).wrapping_add(step);
        let (_, at) = self.0.get(place.checked_rem(self.0.len())?)?;
        usize::try_from(*at).ok()
    }
}
