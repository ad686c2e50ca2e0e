//! `buffer` of listeners and `bufferPerRoute`, which counts only where the listener has the former.

use portcullis_proto::policy::v1 as wire;

use super::{Found, Layer, Levels, Policy};
use crate::ir;
use crate::resource::{BufferPerRoute, HttpListenerOptions};
use crate::translate::{Globals, Notes};

/// The policy.
pub struct Buffer;

impl Policy for Buffer {
    fn option(&self) -> &'static str {
        "bufferPerRoute"
    }

    fn on_destinations(&self) -> bool {
        true
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let field = "bufferPerRoute";
        let found = levels.most_specific(
            field,
            |options| options.buffer_per_route.as_ref(),
            |options| options.buffer_per_route.as_ref(),
            |options| options.buffer_per_route.as_ref(),
        )?;
        message(&found, notes).map(|message| super::wire(&message))
    }

    fn lower_listener(
        &self,
        options: &Layer<'_, HttpListenerOptions>,
        _globals: &Globals,
        notes: &mut Notes,
    ) -> Option<ir::Policy> {
        let buffer = options.field("buffer", |options| options.buffer.as_ref())?;
        let max_request_bytes = buffer.value.max_request_bytes.unwrap_or(0);
        if max_request_bytes == 0 {
            buffer.error(notes, ".maxRequestBytes", "buffer: maxRequestBytes must be above 0");
            return None;
        }
        Some(super::wire(&wire::Buffer { max_request_bytes }))
    }
}

fn message(found: &Found<'_, BufferPerRoute>, notes: &mut Notes) -> Option<wire::BufferPerRoute> {
    if let Some(buffer) = &found.value.buffer {
        let max_request_bytes = buffer.max_request_bytes.unwrap_or(0);
        if max_request_bytes == 0 {
            found.error(notes, ".buffer.maxRequestBytes", "bufferPerRoute: maxRequestBytes must be above 0");
        }
        return Some(wire::BufferPerRoute { disabled: false, max_request_bytes });
    }
    if found.value.disabled == Some(true) {
        return Some(wire::BufferPerRoute { disabled: true, max_request_bytes: 0 });
    }
    found.error(notes, "", "bufferPerRoute needs either disabled: true or a buffer");
    None
}
