//! `x-forwarded-client-cert`: what the upstream is told about the client's certificate.
//!
//! Removed unless configured: a client could claim anything in it.

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_shared::table::{ClientCertificate, ForwardClientCert};
use rustls_pki_types::CertificateDer;

use super::client::append_value;
use super::conn::ConnInfo;
use crate::tls::peer;

const FIELD: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Settles the field.
pub(super) fn forward(headers: &mut HeaderMap, info: &ConnInfo) {
    let settings = &info.http.settings.client_certificate;
    if settings.forward == ForwardClientCert::AlwaysForwardOnly {
        return;
    }
    let certificate = info.tls.as_ref().and_then(|tls| tls.peer_certificate.as_ref());
    let Some(certificate) = certificate.filter(|_| settings.forward != ForwardClientCert::Sanitize) else {
        headers.remove(FIELD);
        return;
    };
    if settings.forward == ForwardClientCert::ForwardOnly {
        return;
    }
    if settings.forward == ForwardClientCert::SanitizeSet {
        headers.remove(FIELD);
    }
    if let Ok(value) = HeaderValue::try_from(element(certificate, settings)) {
        append_value(headers, &FIELD, b",", &value);
    }
}

/// What is said about one client.
fn element(certificate: &CertificateDer<'_>, settings: &ClientCertificate) -> String {
    let mut parts = vec![format!("Hash={}", peer::fingerprint(certificate))];
    if settings.cert {
        parts.push(format!("Cert=\"{}\"", encoded_pem(certificate)));
    }
    if settings.chain {
        // Intermediates are not kept.
        parts.push(format!("Chain=\"{}\"", encoded_pem(certificate)));
    }
    if settings.subject {
        let subject = peer::subject(certificate).unwrap_or_default();
        parts.push(format!("Subject=\"{}\"", subject.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    let each = |key: &str, names: Option<String>| {
        let names = names.unwrap_or_default();
        names.split(',').map(|name| format!("{key}={name}")).collect::<Vec<_>>()
    };
    if settings.uri {
        // Also without a name, as Envoy.
        parts.extend(each("URI", peer::uri_names(certificate)));
    }
    if settings.dns {
        parts.extend(each("DNS", peer::dns_names(certificate)).into_iter().filter(|part| part != "DNS="));
    }
    parts.join(";")
}

/// The certificate as PEM in percent-encoding.
fn encoded_pem(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::from("-----BEGIN%20CERTIFICATE-----%0A");
    for line in base64(certificate).as_bytes().chunks(64) {
        for byte in line {
            match byte {
                b'+' => text.push_str("%2B"),
                b'/' => text.push_str("%2F"),
                b'=' => text.push_str("%3D"),
                byte => text.push(char::from(*byte)),
            }
        }
        text.push_str("%0A");
    }
    text.push_str("-----END%20CERTIFICATE-----%0A");
    text
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let group =
            three.iter().chain([&0, &0]).take(3).fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit =
                DIGITS.get((group >> (18 - 6 * place) & 0x3f) as usize).filter(|_| place <= three.len());
            text.push(digit.map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_pads_to_whole_groups() {
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")]
        {
            assert_eq!(super::base64(bytes), text);
        }
    }
}
