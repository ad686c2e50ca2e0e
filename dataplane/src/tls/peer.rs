//! What a client's certificate says about the client, as text for header values.

use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// Its subject, RFC 2253.
#[must_use]
pub fn subject(der: &[u8]) -> Option<String> {
    parsed(der, |certificate| Some(rfc2253(certificate.subject())))
}

/// Its issuer, RFC 2253.
#[must_use]
pub fn issuer(der: &[u8]) -> Option<String> {
    parsed(der, |certificate| Some(rfc2253(certificate.issuer())))
}

/// Its serial number, lower-case hex without separators.
#[must_use]
pub fn serial(der: &[u8]) -> Option<String> {
    parsed(der, |certificate| {
        Some(certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect())
    })
}

/// Its URI names, joined by commas.
#[must_use]
pub fn uri_names(der: &[u8]) -> Option<String> {
    names(der, |name| match name {
        GeneralName::URI(text) => Some(*text),
        _ => None,
    })
}

/// Its DNS names, joined by commas.
#[must_use]
pub fn dns_names(der: &[u8]) -> Option<String> {
    names(der, |name| match name {
        GeneralName::DNSName(text) => Some(*text),
        _ => None,
    })
}

/// SHA-256 of it, lower-case hex.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parsed<T>(der: &[u8], read: impl FnOnce(&X509Certificate<'_>) -> Option<T>) -> Option<T> {
    X509Certificate::from_der(der).ok().and_then(|(_, certificate)| read(&certificate))
}

fn names(der: &[u8], text: impl for<'n> Fn(&'n GeneralName<'n>) -> Option<&'n str>) -> Option<String> {
    parsed(der, |certificate| {
        let extension = certificate.subject_alternative_name().ok()??;
        let names: Vec<&str> = extension.value.general_names.iter().filter_map(text).collect();
        (!names.is_empty()).then(|| names.join(","))
    })
}

/// The most specific part comes first, parts are separated by commas.
fn rfc2253(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter().collect();
    let part = |part: &x509_parser::x509::RelativeDistinguishedName<'_>| {
        let attributes = part.iter().map(|attribute| {
            let oid = attribute.attr_type();
            let kind = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
            format!("{kind}={}", escaped(attribute.as_str().unwrap_or("")))
        });
        attributes.collect::<Vec<_>>().join("+")
    };
    parts.into_iter().rev().map(part).collect::<Vec<_>>().join(",")
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for (i, c) in text.char_indices() {
        let outer = i == 0 || i + c.len_utf8() == text.len();
        if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (c == ' ' && outer)
            || (c == '#' && i == 0)
        {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
