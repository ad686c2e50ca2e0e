//! `sslConfig` of an upstream, and of the proxy before one. Without authorities the server is not verified, as users are
//! used to; with them it always is.

use std::sync::Arc;

use crate::ir::UpstreamTls;
use crate::resource::{ObjectRef, UpstreamSslConfig};
use crate::translate::{Notes, SecretReader, tls};

/// TLS as the config at `path` wants it.
pub fn lower(
    config: &UpstreamSslConfig,
    owner: &ObjectRef,
    path: &str,
    secrets: &mut dyn SecretReader,
    notes: &mut Notes,
) -> UpstreamTls {
    let strings = |list: &[String]| list.iter().map(|it| Arc::from(it.as_str())).collect::<Vec<Arc<str>>>();
    let parameters = tls::parameters(config.parameters.as_ref(), owner, &format!("{path}.parameters"), notes);
    let mut lowered = UpstreamTls {
        sni: (!config.sni.is_empty()).then(|| config.sni.as_str().into()),
        ca: None,
        client: None,
        verify_subject_alt_names: strings(&config.verify_subject_alt_name),
        parameters,
        alpn: strings(&config.alpn_protocols),
        verify_server_name: false,
    };
    let sds = config.sds.as_ref();
    let fine = sds.is_none_or(|sds| tls::check_sds(sds, owner, &format!("{path}.sds"), notes));
    let source = tls::source(config.secret_ref.as_ref(), config.ssl_files.as_ref(), sds);
    if let Some(source) = source.filter(|_| fine) {
        let path = format!("{path}.{}", tls::source_field(&source));
        let name = tls::describe(&source);
        match secrets.secret(&source) {
            None => notes.error(owner, path, format!("SSL secret {name} not found")),
            Some(facts) => {
                let usable = facts.has_certificate || facts.has_ca;
                match &facts.problem {
                    // An earlier form of the material is still good.
                    Some(problem) if usable => {
                        notes.complaint(owner, path, format!("SSL secret {name} cannot be used: {problem}"));
                    }
                    Some(problem) => {
                        notes.error(owner, path, format!("SSL secret {name} cannot be used: {problem}"));
                    }
                    None if !usable => {
                        notes.error(
                            owner,
                            path,
                            format!("SSL secret {name}: no certificate information found"),
                        );
                    }
                    None => {}
                }
                lowered.ca = facts.has_ca.then(|| source.clone());
                let shown = facts.has_certificate && config.one_way_tls != Some(true);
                lowered.client = shown.then_some(source);
            }
        }
    }
    if !lowered.verify_subject_alt_names.is_empty() && lowered.ca.is_none() {
        let path = format!("{path}.verifySubjectAltName");
        notes.error(owner, path, "a root_ca must be provided if verify_subject_alt_name is not empty");
    }
    lowered
}
