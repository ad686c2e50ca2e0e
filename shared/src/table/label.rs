//! Labels of endpoints, and what asks for them.

use std::sync::Arc;

use portcullis_proto::table::v1 as wire;

use super::field::required;
use crate::Invalid;

/// Key and value.
pub type Label = (Arc<str>, Arc<str>);

/// Labels in order of their keys, each key once.
pub type Labels = Arc<[Label]>;

/// Labels of `field`.
///
/// # Errors
/// A key that is empty, or one that does not come after the one before.
pub(super) fn labels(field: &str, list: Vec<wire::Label>) -> Result<Labels, Invalid> {
    let mut labels: Vec<Label> = Vec::with_capacity(list.len());
    for (i, label) in list.into_iter().enumerate() {
        let key = required(&format!("{field}[{i}].key"), label.key)?;
        if labels.last().is_some_and(|(last, _)| *last >= key) {
            return Err(Invalid::new(format!("{field}[{i}].key"), "keys are not in order"));
        }
        labels.push((key, label.value.into()));
    }
    Ok(labels.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_order_of_their_keys() {
        let of = |keys: &[&str]| {
            let label = |key: &&str| wire::Label { key: (*key).into(), value: "v".into() };
            labels("l", keys.iter().map(label).collect()).map_err(|e| e.path)
        };
        assert_eq!(of(&["a", "b"]).unwrap().len(), 2);
        assert_eq!(of(&["b", "a"]).unwrap_err(), "l[1].key");
        assert_eq!(of(&["a", "a"]).unwrap_err(), "l[1].key");
        assert_eq!(of(&[""]).unwrap_err(), "l[0].key");
    }
}
