//! `grpcJsonTranscoder` of a listener, and of an Upstream, whose requests all pass it.
//!
//! It is not in the registry: the descriptor may stand in a file, which only those who read facts of files can ask for.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_proto::policy::v1 as wire;
use portcullis_shared::transcoding::{Rules, Transcoder, Unusable};

use crate::ir::{self, CertificateSource};
use crate::resource::{GrpcJsonTranscoder, ObjectRef, PrintOptions};
use crate::translate::{Notes, SecretReader};

/// Makes it what travels; `None` where `notes` say why not. `path` is where it stands in `owner`.
pub fn lower(
    config: &GrpcJsonTranscoder,
    owner: &ObjectRef,
    path: &str,
    files: &mut dyn SecretReader,
    notes: &mut Notes,
) -> Option<ir::Policy> {
    let (field, descriptor_set) = descriptor(config, owner, path, files, notes)?;
    if config.services.is_empty() {
        notes.error(owner, format!("{path}.services"), "grpcJsonTranscoder: at least one service is needed");
        return None;
    }
    let rules = Rules {
        descriptor_set: descriptor_set.clone(),
        services: config.services.clone(),
        auto_mapping: config.auto_mapping,
        ..Rules::default()
    };
    if let Err(error) = Transcoder::new(&rules) {
        let at = match &error {
            Unusable::Service { name, .. } => {
                let at = config.services.iter().position(|it| it == name).unwrap_or_default();
                format!("{path}.services[{at}]")
            }
            Unusable::Descriptor(_) | Unusable::Annotation { .. } => format!("{path}.{field}"),
        };
        notes.error(owner, at, format!("grpcJsonTranscoder: {error}"));
        return None;
    }
    let PrintOptions {
        add_whitespace,
        always_print_primitive_fields,
        always_print_enums_as_ints,
        preserve_proto_field_names,
    } = config.print_options.unwrap_or_default();
    Some(super::wire(&wire::GrpcJsonTranscoder {
        descriptor_set,
        services: config.services.clone(),
        add_whitespace,
        always_print_primitive_fields,
        always_print_enums_as_ints,
        preserve_proto_field_names,
        match_incoming_request_route: config.match_incoming_request_route,
        auto_mapping: config.auto_mapping,
        ignored_query_parameters: config.ignored_query_parameters.clone(),
        ignore_unknown_query_parameters: config.ignore_unknown_query_parameters,
        convert_grpc_status: config.convert_grpc_status,
    }))
}

/// The descriptor set, and the field that it is from.
fn descriptor(
    config: &GrpcJsonTranscoder,
    owner: &ObjectRef,
    path: &str,
    files: &mut dyn SecretReader,
    notes: &mut Notes,
) -> Option<(&'static str, Bytes)> {
    if let Some(bin) = &config.proto_descriptor_bin {
        return Some(("protoDescriptorBin", bin.0.clone()));
    }
    let Some(file) = &config.proto_descriptor else {
        let text = "grpcJsonTranscoder: a descriptor set is needed, as protoDescriptorBin or as a file in protoDescriptor";
        notes.error(owner, path, text);
        return None;
    };
    let field = "protoDescriptor";
    let at = format!("{path}.{field}");
    let Some(facts) = files.secret(&CertificateSource::Descriptor { path: Arc::from(file.as_str()) }) else {
        notes.error(owner, at, format!("grpcJsonTranscoder: the file {file} has not been read"));
        return None;
    };
    match (facts.content, facts.problem) {
        (Some(content), None) => Some((field, content.0)),
        // It was there before.
        (Some(content), Some(problem)) => {
            notes.complaint(owner, at, format!("grpcJsonTranscoder: {problem}"));
            Some((field, content.0))
        }
        (None, problem) => {
            let problem = problem.unwrap_or_default();
            notes.error(owner, at, format!("grpcJsonTranscoder: {problem}"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
