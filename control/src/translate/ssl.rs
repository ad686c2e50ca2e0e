//! `sslConfig` towards clients: the filter chain that its server names get.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cx::Cx;
use super::globals::Globals;
use super::notes::Notes;
use super::path::lower;
use super::tls;
use crate::ir::{CertificateSource, DownstreamTls, OcspPolicy};
use crate::resource::{ObjectRef, OcspStaplePolicy, SslConfig};

/// TLS of one VirtualService, or of one TCP host.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceTls {
    /// The key material, found or not.
    pub source: Option<CertificateSource>,
    /// `None` = there is no key material (yet), so that no chain is made.
    pub tls: Option<Arc<DownstreamTls>>,
    /// Sorted; empty = every name and none.
    pub server_names: Vec<Arc<str>>,
}

/// Checks the `sslConfig` at `path` of `owner`.
pub fn lower_ssl(
    config: &SslConfig,
    owner: &ObjectRef,
    path: &str,
    globals: &Globals,
    cx: &mut Cx<'_>,
    notes: &mut Notes,
) -> ServiceTls {
    let server_names = server_names(config, owner, path, notes);
    let parameters = tls::parameters(config.parameters.as_ref(), owner, &format!("{path}.parameters"), notes);
    let source = tls::source(config.secret_ref.as_ref(), config.ssl_files.as_ref(), config.sds.as_ref());
    let Some(source) = source else {
        notes.error(owner, path, "no certificate information found: secretRef, sslFiles or sds is needed");
        return ServiceTls { source: None, tls: None, server_names };
    };
    if let Some(sds) = &config.sds
        && !tls::check_sds(sds, owner, &format!("{path}.sds"), notes)
    {
        return ServiceTls { source: None, tls: None, server_names };
    }
    let field = format!("{path}.{}", tls::source_field(&source));
    let name = tls::describe(&source);
    let one_way = config.one_way_tls.or(globals.one_way_tls).unwrap_or(false);
    let mut result = ServiceTls { source: Some(source.clone()), tls: None, server_names };

    let Some(facts) = cx.secret(&source) else {
        notes.warning(
            owner,
            field,
            format!("SSL secret {name} not found: this TLS configuration is left out"),
        );
        return result;
    };
    if let Some(problem) = &facts.problem {
        let message = format!("SSL secret {name} cannot be used: {problem}");
        if !facts.has_certificate {
            notes.error(owner, field, message);
            return result;
        }
        // An earlier form of the material is still good; the virtual service is served with it.
        notes.complaint(owner, field.clone(), message);
    }
    if !facts.has_certificate {
        notes.error(owner, field, format!("SSL secret {name}: no certificate information found"));
        return result;
    }
    let verify = facts.has_ca && !one_way;
    if !config.verify_subject_alt_name.is_empty() && !verify {
        let path = format!("{path}.verifySubjectAltName");
        let why = if one_way { "oneWayTls is on" } else { "there is no root CA" };
        notes.error(
            owner,
            path,
            format!("a root_ca must be provided if verify_subject_alt_name is not empty, but {why}"),
        );
    }
    let handshake_timeout = config.transport_socket_connect_timeout.and_then(|timeout| {
        let path = format!("{path}.transportSocketConnectTimeout");
        let duration = timeout.to_std();
        if duration.is_none() {
            notes.error(owner, path, format!("{timeout} is negative"));
        }
        duration.filter(|duration| !duration.is_zero())
    });
    let strings = |list: &[String]| list.iter().map(|it| Arc::from(it.as_str())).collect::<Vec<Arc<str>>>();
    result.tls = Some(Arc::new(DownstreamTls {
        certificate: source,
        require_client_certificate: verify,
        verify_subject_alt_names: strings(&config.verify_subject_alt_name),
        parameters,
        alpn: alpn(config),
        disable_session_resumption: config.disable_tls_session_resumption.unwrap_or(false),
        handshake_timeout,
        ocsp_policy: match config.ocsp_staple_policy {
            OcspStaplePolicy::LenientStapling => OcspPolicy::Lenient,
            OcspStaplePolicy::StrictStapling => OcspPolicy::Strict,
            OcspStaplePolicy::MustStaple => OcspPolicy::Must,
        },
    }));
    result
}

fn alpn(config: &SslConfig) -> Vec<Arc<str>> {
    let list: Vec<&str> = config.alpn_protocols.iter().map(String::as_str).collect();
    match list.as_slice() {
        [] => vec!["h2".into(), "http/1.1".into()],
        ["allow_empty"] => Vec::new(),
        list => list.iter().filter(|it| **it != "allow_empty").map(|it| Arc::from(*it)).collect(),
    }
}

/// The server names of the `sslConfig` at `path`, checked and sorted.
pub fn server_names(config: &SslConfig, owner: &ObjectRef, path: &str, notes: &mut Notes) -> Vec<Arc<str>> {
    let mut names = BTreeSet::new();
    for (at, name) in config.sni_domains.iter().enumerate() {
        let text = lower(name);
        let rest = text.strip_prefix("*.").unwrap_or(&text);
        if rest.is_empty() || rest.contains('*') {
            let message = format!("[{name}] is neither a name nor `*.` and a name");
            notes.error(owner, format!("{path}.sniDomains[{at}]"), message);
        } else {
            names.insert(text);
        }
    }
    names.into_iter().collect()
}
