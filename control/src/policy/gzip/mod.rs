//! `gzip` of listeners: answers are compressed.

use portcullis_proto::policy::v1 as wire;

use super::{Found, Layer, Policy};
use crate::ir;
use crate::resource::{CompressionLevel, CompressionStrategy, Gzip as GzipOption, HttpListenerOptions};
use crate::translate::{Globals, Notes};

const MIN_LENGTH: u32 = 30;
const MAX_CONTENT_TYPES: usize = 50;

/// The policy.
pub struct Gzip;

impl Policy for Gzip {
    fn option(&self) -> &'static str {
        "gzip"
    }

    fn lower_listener(
        &self,
        options: &Layer<'_, HttpListenerOptions>,
        _globals: &Globals,
        notes: &mut Notes,
    ) -> Option<ir::Policy> {
        let gzip = options.field("gzip", |options| options.gzip.as_ref())?;
        let value = gzip.value;
        within(&gzip, "memoryLevel", value.memory_level, (1, 9), notes);
        let without_effect = [
            ("memoryLevel", value.memory_level.is_some()),
            ("compressionStrategy", value.compression_strategy != CompressionStrategy::Default),
        ];
        for (field, _) in without_effect.iter().filter(|(_, set)| *set) {
            let text = format!("gzip: {field} has no effect: the compressor here decides that by its level");
            gzip.warning(notes, &format!(".{field}"), text);
        }
        if value.content_type.len() > MAX_CONTENT_TYPES {
            let said = format!("gzip: there may be {MAX_CONTENT_TYPES} content types");
            gzip.error(notes, ".contentType", said);
        }
        Some(super::wire(&wire::Compression {
            level: match value.compression_level {
                CompressionLevel::Default => 6,
                CompressionLevel::Best => 9,
                CompressionLevel::Speed => 1,
            },
            window_bits: within(&gzip, "windowBits", value.window_bits, (9, 15), notes).unwrap_or(12),
            min_length: within(&gzip, "contentLength", value.content_length, (MIN_LENGTH, u32::MAX), notes)
                .unwrap_or(MIN_LENGTH)
                .into(),
            content_types: value.content_type.iter().map(|it| it.trim().to_ascii_lowercase()).collect(),
            disable_on_etag: value.disable_on_etag_header,
            remove_accept_encoding: value.remove_accept_encoding_header,
        }))
    }
}

fn within(
    gzip: &Found<'_, GzipOption>,
    field: &str,
    value: Option<u32>,
    (low, high): (u32, u32),
    notes: &mut Notes,
) -> Option<u32> {
    let value = value?;
    if (low..=high).contains(&value) {
        return Some(value);
    }
    let range = if high == u32::MAX { format!("at least {low}") } else { format!("in {low} to {high}") };
    gzip.error(notes, &format!(".{field}"), format!("gzip: {field} {value} must be {range}"));
    None
}
