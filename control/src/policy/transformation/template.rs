//! A `transformationTemplate`: every template and expression compiled once to see whether it is right.

use http::HeaderName;
use portcullis_proto::policy::v1 as wire;
use portcullis_shared::template::{Extractor, METADATA_NAMESPACE, Mode, Notation, Template};

use super::lower::Defaults;
use crate::policy::Found;
use crate::resource::{
    Extraction, ExtractionMode, InjaTemplate, MergeJsonKeys, RequestBodyParse, TransformationTemplate,
};
use crate::translate::Notes;

/// Which message is transformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// The parts of a request line, and what a response has in their place.
const REQUEST_LINE: &[&str] = &[":method", ":path", ":authority"];
const STATUS: &str = ":status";

/// What the gateway computes from the body that it sends.
const FRAMING: &[&str] = &["content-length", "transfer-encoding"];

/// Where a template's parts report to.
struct Site<'a, 's, T> {
    found: &'a Found<'s, T>,
    field: &'a str,
    side: Side,
    notation: Notation,
}

/// The wire form; what is wrong with it is in `notes`.
pub(super) fn lower<T>(
    found: &Found<'_, T>,
    field: &str,
    side: Side,
    value: &TransformationTemplate,
    defaults: Defaults,
    notes: &mut Notes,
) -> wire::TemplateTransform {
    let notation = if value.advanced_templates { Notation::Pointer } else { Notation::Dot };
    let site = Site { found, field, side, notation };
    let extractors =
        value.extractors.iter().filter_map(|(name, it)| site.extractor(name, it, notes)).collect();
    let set = value
        .headers
        .iter()
        .filter_map(|(name, it)| site.header(name, it, &format!("headers[{name}]"), "text", notes))
        .collect();
    let remove = value.headers_to_remove.iter().enumerate().filter_map(|(at, name)| {
        let name = site.name(name, &format!("headersToRemove[{at}]"), notes)?;
        if name.starts_with(':') {
            site.error(notes, &format!("headersToRemove[{at}]"), format!("[{name}] cannot be removed"));
            return None;
        }
        Some(name)
    });
    let remove = remove.collect();
    let append = value.headers_to_append.iter().enumerate().filter_map(|(at, header)| {
        let field = format!("headersToAppend[{at}]");
        if header.key.starts_with(':') || header.key.eq_ignore_ascii_case("host") {
            site.error(notes, &format!("{field}.key"), format!("[{}] can be set, not added to", header.key));
            return None;
        }
        let value = header.value.clone().unwrap_or_default();
        site.header(&header.key, &value, &field, "value.text", notes)
    });
    let append = append.collect();
    let metadata = value.dynamic_metadata_values.iter().enumerate().map(|(at, it)| {
        let field = format!("dynamicMetadataValues[{at}]");
        if it.key.is_empty() {
            site.error(notes, &format!("{field}.key"), "a key is needed");
        }
        let namespace = match it.metadata_namespace.as_str() {
            "" => METADATA_NAMESPACE,
            namespace => namespace,
        };
        wire::MetadataTemplate {
            namespace: namespace.to_owned(),
            key: it.key.clone(),
            text: site.text(it.value.as_ref(), &format!("{field}.value.text"), notes),
            json: it.json_to_proto,
        }
    });
    let metadata = metadata.collect();
    let span = value.span_transformer.as_ref().and_then(|it| it.name.as_ref());
    let span_name = match (span, side) {
        (Some(_), Side::Response) => {
            let problem = "the span has its name from the request: this one is left out";
            found.warning(notes, &format!("{field}.spanTransformer"), problem);
            String::new()
        }
        (span, _) => site.text(span, "spanTransformer.name.text", notes),
    };
    wire::TemplateTransform {
        advanced: value.advanced_templates,
        escape: value.escape_characters.unwrap_or(defaults.escape),
        leave_unparsed: value.parse_body_behavior == RequestBodyParse::DontParse,
        ignore_parse_error: value.ignore_error_on_parse,
        extractors,
        set,
        remove,
        append,
        body: site.body(value, notes),
        metadata,
        span_name,
    }
}

impl<T> Site<'_, '_, T> {
    fn error(&self, notes: &mut Notes, inside: &str, message: impl Into<String>) {
        self.found.error(notes, &format!("{}.{inside}", self.field), message);
    }

    /// A template's text, after it was compiled.
    fn text(&self, template: Option<&InjaTemplate>, inside: &str, notes: &mut Notes) -> String {
        let Some(template) = template else { return String::new() };
        if let Err(problem) = Template::compile(&template.text, self.notation, false, |_| false) {
            self.error(notes, inside, problem.to_string());
        }
        template.text.clone()
    }

    /// A header's name in lower case. One that cannot be changed is said and left out.
    fn name(&self, name: &str, inside: &str, notes: &mut Notes) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        let lower = if lower == "host" { ":authority".to_owned() } else { lower };
        let left_out = |notes: &mut Notes, why: &str| {
            let message = format!("{why}: [{name}] is left out");
            self.found.warning(notes, &format!("{}.{inside}", self.field), message);
            None
        };
        if FRAMING.contains(&lower.as_str()) {
            return left_out(notes, "the gateway computes it from the body that it sends");
        }
        match (self.side, lower.as_str()) {
            (Side::Request, STATUS) => left_out(notes, "a request has no status"),
            (Side::Response, part) if REQUEST_LINE.contains(&part) => {
                left_out(notes, "a response has no request line")
            }
            (_, part) if part == STATUS || REQUEST_LINE.contains(&part) => Some(lower),
            (_, part) => match HeaderName::from_bytes(part.as_bytes()) {
                Ok(_) if !part.starts_with(':') => Some(lower),
                _ => {
                    self.error(notes, inside, format!("[{name}] is not a header that can be changed"));
                    None
                }
            },
        }
    }

    fn header(
        &self,
        name: &str,
        template: &InjaTemplate,
        field: &str,
        text: &str,
        notes: &mut Notes,
    ) -> Option<wire::HeaderTemplate> {
        let text = self.text(Some(template), &format!("{field}.{text}"), notes);
        Some(wire::HeaderTemplate { name: self.name(name, field, notes)?, text })
    }

    fn extractor(&self, name: &str, value: &Extraction, notes: &mut Notes) -> Option<wire::Extractor> {
        let field = format!("extractors[{name}]");
        let new = value.replacement_text.clone().unwrap_or_default();
        if value.mode != ExtractionMode::Extract && value.replacement_text.is_none() {
            let problem = "a replacementText is needed in the modes SINGLE_REPLACE and REPLACE_ALL";
            self.error(notes, &field, problem);
        }
        let (mode, wire_mode) = match value.mode {
            ExtractionMode::Extract => (Mode::Extract, None),
            ExtractionMode::SingleReplace => {
                (Mode::SingleReplace(new.as_str().into()), Some(wire::extractor::Mode::SingleReplace(new)))
            }
            ExtractionMode::ReplaceAll => {
                (Mode::ReplaceAll(new.as_str().into()), Some(wire::extractor::Mode::ReplaceAll(new)))
            }
        };
        if let Err((part, problem)) = Extractor::new(&value.regex, value.subgroup, mode) {
            self.error(notes, &format!("{field}.{part}"), problem);
        }
        let source = match (&value.body, &value.header) {
            (Some(_), _) => wire::extractor::Source::Body(true),
            (None, Some(header)) if !header.is_empty() => {
                wire::extractor::Source::Header(header.to_ascii_lowercase())
            }
            _ => {
                self.error(notes, &field, "an extractor needs `header` or `body: {}`");
                return None;
            }
        };
        Some(wire::Extractor {
            name: name.to_owned(),
            source: Some(source),
            regex: value.regex.clone(),
            subgroup: value.subgroup,
            mode: wire_mode,
        })
    }

    fn body(
        &self,
        value: &TransformationTemplate,
        notes: &mut Notes,
    ) -> Option<wire::template_transform::Body> {
        use wire::template_transform::Body;
        if let Some(keys) = &value.merge_json_keys {
            return Some(Body::MergeKeys(self.merge_keys(value, keys, notes)));
        }
        if value.merge_extractors_to_body.is_some() {
            return Some(Body::MergeExtractors(true));
        }
        if value.passthrough.is_some() {
            return Some(Body::Passthrough(true));
        }
        let body = value.body.as_ref()?;
        Some(Body::Replace(self.text(Some(body), "body.text", notes)))
    }

    fn merge_keys(
        &self,
        value: &TransformationTemplate,
        keys: &MergeJsonKeys,
        notes: &mut Notes,
    ) -> wire::MergeKeys {
        if value.advanced_templates {
            self.error(notes, "mergeJsonKeys", "does not go with advancedTemplates");
        }
        if value.parse_body_behavior == RequestBodyParse::DontParse {
            self.error(notes, "mergeJsonKeys", "needs a parsed body: parseBodyBehavior must be ParseAsJson");
        }
        let keys = keys.json_keys.iter().map(|(key, it)| {
            let field = format!("mergeJsonKeys.jsonKeys[{key}]");
            if key.is_empty() || key.contains('.') {
                self.error(notes, &field, "a key is a name without dots");
            }
            wire::KeyTemplate {
                key: key.clone(),
                text: self.text(it.tmpl.as_ref(), &format!("{field}.tmpl.text"), notes),
                override_empty: it.override_empty,
            }
        });
        wire::MergeKeys { keys: keys.collect() }
    }
}
