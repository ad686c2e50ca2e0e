//! `grpcWeb` of listeners. Workers translate gRPC-web unless told otherwise.

use portcullis_proto::policy::v1 as wire;

use super::{Layer, Policy};
use crate::ir;
use crate::resource::HttpListenerOptions;
use crate::translate::{Globals, Notes};

/// The policy.
pub struct GrpcWeb;

impl Policy for GrpcWeb {
    fn option(&self) -> &'static str {
        "grpcWeb"
    }

    fn lower_listener(
        &self,
        options: &Layer<'_, HttpListenerOptions>,
        globals: &Globals,
        _notes: &mut Notes,
    ) -> Option<ir::Policy> {
        let disabled = options.options.grpc_web.map_or(globals.disable_grpc_web, |it| it.disable);
        disabled.then(|| super::wire(&wire::GrpcWeb { disabled }))
    }
}
