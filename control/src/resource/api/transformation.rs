//! `stagedTransformations` and `transformations`, on virtual host, route and weighted destination.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::reference::Empty;
use super::route::{HeaderMatcher, Matcher};

/// `stagedTransformations`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransformationStages {
    /// Before authentication.
    pub early: Option<RequestResponseTransformations>,
    /// After authentication.
    pub regular: Option<RequestResponseTransformations>,
    /// The parent's lists follow this level's own.
    pub inherit_transformation: bool,
    /// Headers and bodies are logged at debug level.
    pub log_request_response_info: Option<bool>,
    /// Default of the templates' `escapeCharacters`.
    pub escape_characters: Option<bool>,
}

/// The transformations of one stage.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestResponseTransformations {
    /// The first that matches the request.
    pub request_transforms: Vec<RequestMatch>,
    /// The first that matches the response, where the request's choice has none for it.
    pub response_transforms: Vec<ResponseMatch>,
}

/// What is done with requests and their responses.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestMatch {
    /// Which requests; absent = all.
    pub matcher: Option<Matcher>,
    /// The route is chosen again after it.
    pub clear_route_cache: bool,
    /// Of the request.
    pub request_transformation: Option<Transformation>,
    /// Of the response.
    pub response_transformation: Option<Transformation>,
}

/// What is done with responses.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseMatch {
    /// On the response's headers, `:status` included; all must match.
    pub matchers: Vec<HeaderMatcher>,
    /// Why the response is what it is, in Envoy's words; empty = whatever.
    pub response_code_details: String,
    /// Of the response.
    pub response_transformation: Option<Transformation>,
}

/// `transformations`: the older form of a regular stage without matchers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Transformations {
    /// Of the request.
    pub request_transformation: Option<Transformation>,
    /// The route is chosen again after it.
    pub clear_route_cache: bool,
    /// Of the response.
    pub response_transformation: Option<Transformation>,
}

/// What is done with a message. At most one kind is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Transformation {
    /// By templates.
    pub transformation_template: Option<TransformationTemplate>,
    /// Headers and body become a JSON body.
    pub header_body_transform: Option<HeaderBodyTransform>,
    /// Headers and bodies are logged at debug level.
    pub log_request_response_info: bool,
}

/// `headerBodyTransform`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderBodyTransform {
    /// Path, method and query too.
    pub add_request_metadata: bool,
}

/// `transformationTemplate`. At most one of the four body forms is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransformationTemplate {
    /// Extractor results only by `extraction(name)`; paths of variables by `/`.
    pub advanced_templates: bool,
    /// Parts of headers and body, by name.
    pub extractors: BTreeMap<String, Extraction>,
    /// Headers that are set; an empty result removes one.
    pub headers: BTreeMap<String, InjaTemplate>,
    /// Headers that are added.
    pub headers_to_append: Vec<HeaderToAppend>,
    /// Headers that are removed, after the others are set and before any is added.
    pub headers_to_remove: Vec<String>,
    /// The new body.
    pub body: Option<InjaTemplate>,
    /// The body streams through, unread.
    pub passthrough: Option<Empty>,
    /// The extractors' results go into the JSON body.
    pub merge_extractors_to_body: Option<Empty>,
    /// Keys of the JSON body.
    pub merge_json_keys: Option<MergeJsonKeys>,
    /// Whether the body is read as JSON.
    pub parse_body_behavior: RequestBodyParse,
    /// A body that is not JSON counts as empty JSON instead of 400.
    pub ignore_error_on_parse: bool,
    /// Values for later filters and logs.
    pub dynamic_metadata_values: Vec<DynamicMetadataValue>,
    /// Texts are put out as inside a JSON string; absent = as the stages say.
    pub escape_characters: Option<bool>,
    /// The trace's span.
    pub span_transformer: Option<SpanTransformer>,
}

/// A template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InjaTemplate {
    /// Its text.
    pub text: String,
}

/// One extractor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Extraction {
    /// Header to look into. At most one source is set.
    pub header: Option<String>,
    /// The body is looked into.
    pub body: Option<Empty>,
    /// What is looked for.
    pub regex: String,
    /// Group of the expression; 0 = the whole match.
    pub subgroup: u32,
    /// What takes its place in the modes that replace.
    pub replacement_text: Option<String>,
    /// What comes of it.
    pub mode: ExtractionMode,
}

/// What an extractor makes of its text. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum ExtractionMode {
    #[default]
    Extract,
    SingleReplace,
    ReplaceAll,
}

/// Whether the body is read as JSON. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "named as in the API")]
pub enum RequestBodyParse {
    #[default]
    ParseAsJson,
    DontParse,
}

/// A header to add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderToAppend {
    /// Name.
    pub key: String,
    /// Value; empty adds nothing.
    pub value: Option<InjaTemplate>,
}

/// `mergeJsonKeys`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MergeJsonKeys {
    /// By top-level key.
    pub json_keys: BTreeMap<String, OverridableTemplate>,
}

/// The template of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OverridableTemplate {
    /// Its JSON value.
    pub tmpl: Option<InjaTemplate>,
    /// An empty result does not leave the key alone.
    pub override_empty: bool,
}

/// A value for later filters and logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DynamicMetadataValue {
    /// Empty = `io.solo.transformation`.
    pub metadata_namespace: String,
    /// Key.
    pub key: String,
    /// Value; empty sets nothing.
    pub value: Option<InjaTemplate>,
    /// The value is JSON.
    pub json_to_proto: bool,
}

/// `spanTransformer`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpanTransformer {
    /// Name of the span.
    pub name: Option<InjaTemplate>,
}
