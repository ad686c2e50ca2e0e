//! Warns about certificates that are near or past their end.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Keys;
use crate::ir::CertificateSource;

/// A certificate is reported this many seconds before its end.
const SOON: i64 = 14 * 24 * 3600;

/// How close to its end a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Soon,
    Past,
}

/// Remembers what was said, so that each certificate is reported once per phase.
#[derive(Default)]
pub(super) struct Expiry {
    said: BTreeMap<CertificateSource, (i64, Phase)>,
}

impl Expiry {
    /// Logs what is new.
    pub(super) fn look(&mut self, keys: &Keys) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
        self.said.retain(|source, _| keys.materials.contains_key(source));
        for (source, material) in keys.materials.iter() {
            let Some(not_after) = material.not_after() else { continue };
            let Some(phase) = phase(not_after, now) else { continue };
            if self.said.insert(source.clone(), (not_after, phase)) == Some((not_after, phase)) {
                continue;
            }
            let days_left = (not_after - now) / (24 * 3600);
            match phase {
                Phase::Soon => {
                    tracing::warn!(certificate = %source.name(), days_left, "a certificate ends soon")
                }
                Phase::Past => {
                    tracing::warn!(certificate = %source.name(), days_left, "a certificate has ended")
                }
            }
        }
    }
}

fn phase(not_after: i64, now: i64) -> Option<Phase> {
    match not_after - now {
        left if left < 0 => Some(Phase::Past),
        left if left < SOON => Some(Phase::Soon),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_reported_two_weeks_before_its_end_and_after_it() {
        assert_eq!(phase(SOON + 100, 100), None);
        assert_eq!(phase(SOON + 99, 100), Some(Phase::Soon));
        assert_eq!(phase(99, 100), Some(Phase::Past));
    }
}
