//! The `google.api.http` option of a method, read whether or not the descriptor has its definition.

use prost_reflect::MethodDescriptor;

/// `google.protobuf.MethodOptions`, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
struct Options {
    #[prost(message, optional, tag = "72295728")]
    http: Option<HttpRule>,
}

/// `google.api.HttpRule`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HttpRule {
    #[prost(string, optional, tag = "2")]
    get: Option<String>,
    #[prost(string, optional, tag = "3")]
    put: Option<String>,
    #[prost(string, optional, tag = "4")]
    post: Option<String>,
    #[prost(string, optional, tag = "5")]
    delete: Option<String>,
    #[prost(string, optional, tag = "6")]
    patch: Option<String>,
    /// "" = no body, "*" = the message, else a field.
    #[prost(string, tag = "7")]
    pub(super) body: String,
    #[prost(message, optional, tag = "8")]
    custom: Option<Custom>,
    #[prost(message, repeated, tag = "11")]
    pub(super) additional_bindings: Vec<HttpRule>,
    /// "" = the message, else a field.
    #[prost(string, tag = "12")]
    pub(super) response_body: String,
}

/// `google.api.CustomHttpPattern`.
#[derive(Clone, PartialEq, prost::Message)]
struct Custom {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    path: String,
}

impl HttpRule {
    /// The rule of `method`, where it has one.
    pub(super) fn of(method: &MethodDescriptor) -> Option<Self> {
        method.options().transcode_to::<Options>().ok()?.http
    }

    /// What `autoMapping` gives to a method without a rule.
    pub(super) fn automatic(path: &str) -> Self {
        Self { post: Some(path.to_owned()), body: "*".to_owned(), ..Self::default() }
    }

    /// HTTP method ("*" = any) and path template.
    pub(super) fn pattern(&self) -> Option<(&str, &str)> {
        let usual = [
            ("GET", &self.get),
            ("PUT", &self.put),
            ("POST", &self.post),
            ("DELETE", &self.delete),
            ("PATCH", &self.patch),
        ];
        let usual = usual.into_iter().find_map(|(method, path)| Some((method, path.as_deref()?)));
        usual.or_else(|| self.custom.as_ref().map(|custom| (custom.kind.as_str(), custom.path.as_str())))
    }
}
