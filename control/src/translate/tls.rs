//! TLS parameters of listeners and upstreams: what users name, against what the data plane offers.

use std::sync::Arc;

use portcullis_shared::tls;

use super::notes::Notes;
use crate::ir::{CertificateSource, KeySource, Sds, SdsToken, TlsParameters, TlsVersion};
use crate::resource::{
    FileCredentialSource, KeyFile, ObjectRef, ProtocolVersion, Ref, SdsConfig, SslFiles, SslParameters,
};

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

/// The SDS server of an installation, and the name that it has there.
const SDS_SERVER: &str = "127.0.0.1:8234";
const SDS_CLUSTER: &str = "gateway_proxy_sds";

const OTHER_CURVES: &[&str] = &["P-521", "P-224", "X25519Kyber768Draft00"];

/// Where an `sslConfig` takes its material from; `None` = nowhere.
pub fn source(
    secret: Option<&Ref>,
    files: Option<&SslFiles>,
    sds: Option<&SdsConfig>,
) -> Option<CertificateSource> {
    if let Some(sds) = sds {
        return Some(CertificateSource::Sds(Arc::new(self::sds(sds))));
    }
    if let Some(files) = files {
        let text = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
        let key = files.tls_key.as_ref().and_then(|key| match key {
            KeyFile::Path(path) if path.is_empty() => None,
            KeyFile::Path(path) => Some(KeySource::Path(Arc::clone(path))),
            KeyFile::Inline(key) => Some(KeySource::Inline { digest: key.digest, pem: key.pem.clone() }),
        });
        return Some(CertificateSource::Files {
            cert: text(&files.tls_cert),
            key,
            root_ca: text(&files.root_ca),
            ocsp: text(&files.ocsp_staple),
        });
    }
    let secret = secret?;
    let (namespace, name) = (secret.namespace.as_str().into(), secret.name.as_str().into());
    Some(CertificateSource::Secret { namespace, name })
}

fn sds(config: &SdsConfig) -> Sds {
    let text = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
    let credentials = config.call_credentials.as_ref().and_then(|it| it.file_credential_source.as_ref());
    Sds {
        server: text(&config.target_uri).unwrap_or_else(|| SDS_SERVER.into()),
        certificates: text(&config.certificates_secret_name),
        validation: text(&config.validation_context_name),
        token: credentials.map(|it| SdsToken {
            file: it.token_file_name.as_str().into(),
            header: it.header.as_str().into(),
        }),
    }
}

/// Checks the `sds` at `path` of `owner`. Says whether there is something to ask for.
pub fn check_sds(config: &SdsConfig, owner: &ObjectRef, path: &str, notes: &mut Notes) -> bool {
    if config.certificates_secret_name.is_empty() && config.validation_context_name.is_empty() {
        notes.error(
            owner,
            path,
            "at least one of certificatesSecretName and validationContextName is needed",
        );
        return false;
    }
    let known = |name: &&String| name.is_empty() || **name == SDS_CLUSTER;
    if config.target_uri.is_empty() && config.cluster_name.as_ref().is_some_and(|name| !known(&name)) {
        let path = format!("{path}.targetUri");
        notes.error(owner, path, "is needed: of clusters by name only gateway_proxy_sds is known");
        return false;
    }
    let Some(credentials) = &config.call_credentials else { return true };
    let file = credentials.file_credential_source.as_ref();
    let whole = |it: &&FileCredentialSource| !it.token_file_name.is_empty() && !it.header.is_empty();
    if file.filter(whole).is_none() {
        let path = format!("{path}.callCredentials.fileCredentialSource");
        notes.error(owner, path, "tokenFileName and header are needed");
        return false;
    }
    true
}

/// The field of `sslConfig` that names the source.
pub fn source_field(source: &CertificateSource) -> &'static str {
    match source {
        CertificateSource::Secret { .. } => "secretRef",
        CertificateSource::Files { .. } | CertificateSource::Descriptor { .. } => "sslFiles",
        CertificateSource::Sds(_) => "sds",
    }
}

/// How a source is called in messages.
pub fn describe(source: &CertificateSource) -> String {
    match source {
        CertificateSource::Secret { namespace, name } => {
            let hint = if namespace.is_empty() { " (this reference needs a namespace)" } else { "" };
            format!("{namespace}.{name}{hint}")
        }
        CertificateSource::Sds(sds) => {
            let names = [&sds.certificates, &sds.validation].into_iter().flatten();
            let names: Vec<&str> = names.map(|name| &**name).collect();
            format!("{} of SDS server {}", names.join(" and "), sds.server)
        }
        CertificateSource::Files { cert, .. } => match cert {
            Some(path) if !path.contains('\n') => format!("of file {path}"),
            _ => "of sslFiles".to_owned(),
        },
        CertificateSource::Descriptor { path } => format!("of file {path}"),
    }
}

/// Checks `parameters` at `path` of `owner`.
pub fn parameters(
    parameters: Option<&SslParameters>,
    owner: &ObjectRef,
    path: &str,
    notes: &mut Notes,
) -> TlsParameters {
    let Some(wanted) = parameters else {
        return TlsParameters::default();
    };
    let mut check = Check { owner, path, notes };
    let (min, max) = check.versions(wanted.minimum_protocol_version, wanted.maximum_protocol_version);
    let suites = tls::cipher_suite_names(&wanted.cipher_suites);
    let offered: Vec<&str> = tls::CIPHER_SUITES.iter().map(|(name, _)| *name).collect();
    let cipher_suites = check.choose(("cipherSuites", "cipher suite"), suites, &offered, OTHER_SUITES);
    let curves = wanted.ecdh_curves.iter().map(|name| match name.as_str() {
        "prime256v1" | "secp256r1" => "P-256",
        "secp384r1" => "P-384",
        "secp521r1" => "P-521",
        "x25519" => "X25519",
        other => other,
    });
    let offered: Vec<&str> = tls::CURVES.iter().map(|(name, _)| *name).collect();
    let curves = check.choose(("ecdhCurves", "curve"), curves, &offered, OTHER_CURVES);
    TlsParameters { min, max, cipher_suites, curves }
}

struct Check<'a> {
    owner: &'a ObjectRef,
    path: &'a str,
    notes: &'a mut Notes,
}

impl Check<'_> {
    fn error(&mut self, field: &str, message: String) {
        self.notes.error(self.owner, format!("{}.{field}", self.path), message);
    }

    fn warning(&mut self, field: &str, message: String) {
        self.notes.warning(self.owner, format!("{}.{field}", self.path), message);
    }

    /// An old minimum is raised; an old maximum leaves nothing.
    fn versions(&mut self, min: ProtocolVersion, max: ProtocolVersion) -> (TlsVersion, TlsVersion) {
        let old = |version| if version == ProtocolVersion::Tls10 { "TLSv1_0" } else { "TLSv1_1" };
        let lowest = offered(min).unwrap_or_else(|| {
            let message = format!("{} is not offered: the effective minimum is TLSv1_2", old(min));
            self.warning("minimumProtocolVersion", message);
            TlsVersion::V1_2
        });
        let highest = offered(max).unwrap_or_else(|| {
            let message = format!("{} is not offered: the lowest version is TLSv1_2", old(max));
            self.error("maximumProtocolVersion", message);
            TlsVersion::Auto
        });
        if (lowest, highest) == (TlsVersion::V1_3, TlsVersion::V1_2) {
            let message = "the minimum TLSv1_3 is above the maximum TLSv1_2".to_owned();
            self.error("minimumProtocolVersion", message);
        }
        (lowest, highest)
    }

    /// The offered ones of `names`, in their order.
    fn choose<'n>(
        &mut self,
        (field, what): (&str, &str),
        names: impl Iterator<Item = &'n str>,
        offered: &[&str],
        known: &[&str],
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
                self.warning(field, format!("{what} {name} is not offered"));
            } else {
                unknown = true;
                let offered = offered.join(", ");
                self.error(field, format!("unknown {what} {name}: the offered ones are {offered}"));
            }
        }
        if any && chosen.is_empty() && !unknown {
            let offered = offered.join(", ");
            self.error(field, format!("no {what} is left: the offered ones are {offered}"));
        }
        chosen
    }
}

/// `None` for the versions that nobody should use any more.
fn offered(version: ProtocolVersion) -> Option<TlsVersion> {
    match version {
        ProtocolVersion::Auto => Some(TlsVersion::Auto),
        ProtocolVersion::Tls10 | ProtocolVersion::Tls11 => None,
        ProtocolVersion::Tls12 => Some(TlsVersion::V1_2),
        ProtocolVersion::Tls13 => Some(TlsVersion::V1_3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Kind, Level};

    fn checked(wanted: SslParameters) -> (TlsParameters, usize, usize) {
        let owner = ObjectRef::new(Kind::VirtualService, "ns", "a");
        let mut notes = Notes::default();
        let result = parameters(Some(&wanted), &owner, "spec.sslConfig.parameters", &mut notes);
        let errors = notes.iter().filter(|note| note.level == Level::Error).count();
        (result, errors, notes.iter().count() - errors)
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn an_old_minimum_is_raised_and_an_old_maximum_refused() {
        let old = SslParameters { minimum_protocol_version: ProtocolVersion::Tls10, ..Default::default() };
        let (result, errors, warnings) = checked(old);
        assert_eq!((result.min, result.max, errors, warnings), (TlsVersion::V1_2, TlsVersion::Auto, 0, 1));

        let old = SslParameters { maximum_protocol_version: ProtocolVersion::Tls11, ..Default::default() };
        assert_eq!(checked(old).1, 1);

        let crossed = SslParameters {
            minimum_protocol_version: ProtocolVersion::Tls13,
            maximum_protocol_version: ProtocolVersion::Tls12,
            ..Default::default()
        };
        assert_eq!(checked(crossed).1, 1);
    }

    #[test]
    fn suites_that_are_not_offered_are_left_out_unless_none_is_left() {
        let suites = |list| SslParameters { cipher_suites: names(list), ..Default::default() };
        let (result, errors, warnings) =
            checked(suites(&["[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]", "AES128-SHA"]));
        assert_eq!((result.cipher_suites.len(), errors, warnings), (2, 0, 1));
        let (result, errors, _) = checked(suites(&["AES128-SHA"]));
        assert_eq!((result.cipher_suites.len(), errors), (0, 1));
        assert_eq!(checked(suites(&["ECDHE-RSA-AES128-GCM-SHA265"])).1, 1);
    }

    #[test]
    fn curve_names_of_openssl_are_understood() {
        let wanted = SslParameters { ecdh_curves: names(&["prime256v1", "P-521"]), ..Default::default() };
        let (result, errors, warnings) = checked(wanted);
        assert_eq!((result.curves, errors, warnings), (vec!["P-256".into()], 0, 1));
    }
}
