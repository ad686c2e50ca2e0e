use prost::Message as _;
use prost_types::{
    DescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};

use super::*;
use crate::resource::{Base64, Kind};
use crate::translate::{Content, SecretFacts};

/// `t.S` with one method.
fn set() -> Bytes {
    let method = MethodDescriptorProto {
        name: Some("One".into()),
        input_type: Some(".t.M".into()),
        output_type: Some(".t.M".into()),
        ..Default::default()
    };
    let service =
        ServiceDescriptorProto { name: Some("S".into()), method: vec![method], ..Default::default() };
    let file = FileDescriptorProto {
        name: Some("t.proto".into()),
        package: Some("t".into()),
        syntax: Some("proto3".into()),
        message_type: vec![DescriptorProto { name: Some("M".into()), ..Default::default() }],
        service: vec![service],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec().into()
}

/// Files by their facts.
struct Files(Option<SecretFacts>);

impl SecretReader for Files {
    fn secret(&mut self, source: &CertificateSource) -> Option<SecretFacts> {
        assert_eq!(*source, CertificateSource::Descriptor { path: "/d.pb".into() });
        self.0.clone()
    }
}

fn config() -> GrpcJsonTranscoder {
    GrpcJsonTranscoder { services: vec!["t.S".into()], ..Default::default() }
}

fn lowered(
    config: &GrpcJsonTranscoder,
    facts: Option<SecretFacts>,
) -> (Option<wire::GrpcJsonTranscoder>, Vec<String>) {
    let owner = ObjectRef::new(Kind::Upstream, "gloo-system", "u");
    let mut notes = Notes::default();
    let policy = lower(config, &owner, "spec.x", &mut Files(facts), &mut notes);
    let message = policy.map(|it| wire::GrpcJsonTranscoder::decode(it.value).unwrap());
    (message, notes.iter().map(|note| format!("{}: {}", note.path, note.message)).collect())
}

#[test]
fn every_option_travels() {
    let config = GrpcJsonTranscoder {
        proto_descriptor_bin: Some(Base64(set())),
        print_options: Some(PrintOptions { add_whitespace: true, ..Default::default() }),
        match_incoming_request_route: true,
        auto_mapping: true,
        ignored_query_parameters: vec!["key".into()],
        convert_grpc_status: true,
        ..config()
    };
    let (message, said) = lowered(&config, None);
    assert_eq!(said, [""; 0]);
    let wanted = wire::GrpcJsonTranscoder {
        descriptor_set: set(),
        services: vec!["t.S".into()],
        add_whitespace: true,
        match_incoming_request_route: true,
        auto_mapping: true,
        ignored_query_parameters: vec!["key".into()],
        convert_grpc_status: true,
        ..Default::default()
    };
    assert_eq!(message, Some(wanted));
}

#[test]
fn a_file_is_read_by_its_facts() {
    let config = GrpcJsonTranscoder { proto_descriptor: Some("/d.pb".into()), ..config() };
    let facts = |content: Option<Bytes>, problem: Option<&str>| SecretFacts {
        content: content.map(Content),
        problem: problem.map(str::to_owned),
        ..SecretFacts::default()
    };
    let (message, said) = lowered(&config, Some(facts(Some(set()), None)));
    assert_eq!((message.unwrap().descriptor_set, said), (set(), vec![]));
    let (message, said) = lowered(&config, Some(facts(Some(set()), Some("cannot read /d.pb: gone"))));
    assert!(message.is_some());
    assert_eq!(said, ["spec.x.protoDescriptor: grpcJsonTranscoder: cannot read /d.pb: gone"]);
    let (message, said) = lowered(&config, Some(facts(None, Some("cannot read /d.pb: gone"))));
    assert!(message.is_none());
    assert_eq!(said, ["spec.x.protoDescriptor: grpcJsonTranscoder: cannot read /d.pb: gone"]);
    assert_eq!(
        lowered(&config, None).1,
        ["spec.x.protoDescriptor: grpcJsonTranscoder: the file /d.pb has not been read"]
    );
}

#[test]
fn what_is_wrong_is_told_at_its_field() {
    let bin = |bytes: Bytes| GrpcJsonTranscoder { proto_descriptor_bin: Some(Base64(bytes)), ..config() };
    for (config, wanted) in [
        (config(), "spec.x: grpcJsonTranscoder: a descriptor set is needed"),
        (
            GrpcJsonTranscoder { services: vec![], ..bin(set()) },
            "spec.x.services: grpcJsonTranscoder: at least one service is needed",
        ),
        (
            GrpcJsonTranscoder { services: vec!["t.S".into(), "t.T".into()], ..bin(set()) },
            "spec.x.services[1]: grpcJsonTranscoder: there is no service [t.T] in the descriptor set; it has t.S",
        ),
        (
            bin(Bytes::from_static(b"\xff")),
            "spec.x.protoDescriptorBin: grpcJsonTranscoder: the descriptor set cannot be used: ",
        ),
    ] {
        let (message, said) = lowered(&config, None);
        assert!(message.is_none());
        assert!(said.len() == 1 && said[0].starts_with(wanted), "{said:?}");
    }
}
