//! TLS parameters of listeners and upstreams: what users name, against what the data plane offers (rustls with *ring*).

use std::sync::Arc;

use crate::ir::TlsVersion;

/// TLS 1.2 suites that are offered, by their OpenSSL names.
pub const CIPHER_SUITES: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// Suites that Envoy knows and that are not offered: no forward secrecy, or CBC.
const OTHER_SUITES: &[&str] = &[
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-PSK-AES128-CBC-SHA",
    "ECDHE-PSK-AES256-CBC-SHA",
    "ECDHE-PSK-CHACHA20-POLY1305",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "AES128-SHA256",
    "AES256-SHA256",
    "PSK-AES128-CBC-SHA",
    "PSK-AES256-CBC-SHA",
    "DES-CBC3-SHA",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-CHACHA20-POLY1305",
    "DHE-RSA-AES128-SHA",
    "DHE-RSA-AES256-SHA",
    "DHE-RSA-AES128-SHA256",
    "DHE-RSA-AES256-SHA256",
];

/// Key exchange groups that are offered.
pub const CURVES: &[&str] = &["X25519", "P-256", "P-384"];

const OTHER_CURVES: &[&str] = &["P-521", "P-224", "X25519MLKEM768", "X25519Kyber768Draft00"];

/// A version as users write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requested {
    /// `TLS_AUTO` or nothing.
    Auto,
    /// `TLSv1_0` and `TLSv1_1`, with the name.
    Old(&'static str),
    /// `TLSv1_2`
    V1_2,
    /// `TLSv1_3`
    V1_3,
}

/// The result of checking one part: what to use, errors, warnings; each with the field they are about.
#[derive(Debug, Default, PartialEq)]
pub struct Checked {
    /// Fatal.
    pub errors: Vec<(&'static str, String)>,
    /// Worth a word.
    pub warnings: Vec<(&'static str, String)>,
}

/// The range of versions. An old minimum is raised; an old maximum leaves nothing.
pub fn versions(min: Requested, max: Requested, checked: &mut Checked) -> (TlsVersion, TlsVersion) {
    let lowest = match min {
        Requested::Auto => TlsVersion::Auto,
        Requested::V1_2 => TlsVersion::V1_2,
        Requested::V1_3 => TlsVersion::V1_3,
        Requested::Old(name) => {
            checked.warnings.push((
                "minimumProtocolVersion",
                format!("{name} is not offered: the effective minimum is TLSv1_2"),
            ));
            TlsVersion::V1_2
        }
    };
    let highest = match max {
        Requested::Auto => TlsVersion::Auto,
        Requested::V1_2 => TlsVersion::V1_2,
        Requested::V1_3 => TlsVersion::V1_3,
        Requested::Old(name) => {
            checked.errors.push((
                "maximumProtocolVersion",
                format!("{name} is not offered: the lowest version is TLSv1_2"),
            ));
            TlsVersion::Auto
        }
    };
    if lowest == TlsVersion::V1_3 && highest == TlsVersion::V1_2 {
        checked
            .errors
            .push(("minimumProtocolVersion", "the minimum TLSv1_3 is above the maximum TLSv1_2".to_owned()));
    }
    (lowest, highest)
}

/// The offered ones of `names`, in their order.
pub fn cipher_suites(names: &[String], checked: &mut Checked) -> Vec<Arc<str>> {
    // BoringSSL writes suites of equal preference as `[A|B]`.
    let names = names.iter().flat_map(|name| name.trim_start_matches('[').trim_end_matches(']').split('|'));
    choose("cipherSuites", "cipher suite", names, CIPHER_SUITES, OTHER_SUITES, checked)
}

/// The offered ones of `names`, in their order.
pub fn curves(names: &[String], checked: &mut Checked) -> Vec<Arc<str>> {
    let names = names.iter().map(|name| match name.as_str() {
        "prime256v1" | "secp256r1" => "P-256",
        "secp384r1" => "P-384",
        "x25519" => "X25519",
        "secp521r1" => "P-521",
        other => other,
    });
    choose("ecdhCurves", "curve", names, CURVES, OTHER_CURVES, checked)
}

fn choose<'a>(
    field: &'static str,
    what: &str,
    names: impl Iterator<Item = &'a str>,
    offered: &[&str],
    known: &[&str],
    checked: &mut Checked,
) -> Vec<Arc<str>> {
    let mut chosen: Vec<Arc<str>> = Vec::new();
    let (mut any, mut unknown) = (false, false);
    for name in names {
        any = true;
        if offered.contains(&name) {
            if !chosen.iter().any(|it| **it == *name) {
                chosen.push(name.into());
            }
        } else if known.contains(&name) {
            checked.warnings.push((field, format!("{what} {name} is not offered")));
        } else {
            unknown = true;
            checked
                .errors
                .push((field, format!("unknown {what} {name}: the offered ones are {}", offered.join(", "))));
        }
    }
    if any && chosen.is_empty() && !unknown {
        checked
            .errors
            .push((field, format!("no {what} is left: the offered ones are {}", offered.join(", "))));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn an_old_minimum_is_raised_and_an_old_maximum_refused() {
        let mut checked = Checked::default();
        let range = versions(Requested::Old("TLSv1_0"), Requested::Auto, &mut checked);
        assert_eq!(range, (TlsVersion::V1_2, TlsVersion::Auto));
        assert_eq!((checked.errors.len(), checked.warnings.len()), (0, 1));

        let mut checked = Checked::default();
        versions(Requested::Auto, Requested::Old("TLSv1_1"), &mut checked);
        assert_eq!(checked.errors.len(), 1);

        let mut checked = Checked::default();
        versions(Requested::V1_3, Requested::V1_2, &mut checked);
        assert_eq!(checked.errors.len(), 1);
    }

    #[test]
    fn suites() {
        let mut checked = Checked::default();
        let chosen = cipher_suites(
            &names(&["[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]", "AES128-SHA"]),
            &mut checked,
        );
        assert_eq!(chosen.len(), 2);
        assert_eq!((checked.errors.len(), checked.warnings.len()), (0, 1));

        let mut checked = Checked::default();
        assert!(cipher_suites(&names(&["AES128-SHA"]), &mut checked).is_empty());
        assert_eq!(checked.errors.len(), 1);

        let mut checked = Checked::default();
        cipher_suites(&names(&["ECDHE-RSA-AES128-GCM-SHA265"]), &mut checked);
        assert!(checked.errors.iter().any(|(_, it)| it.contains("ECDHE-RSA-AES128-GCM-SHA256")));
    }

    #[test]
    fn curve_names_of_openssl_are_understood() {
        let mut checked = Checked::default();
        assert_eq!(curves(&names(&["prime256v1", "P-521"]), &mut checked), ["P-256".into()]);
        assert_eq!(checked.warnings.len(), 1);
    }
}
