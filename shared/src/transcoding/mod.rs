//! JSON over HTTP made gRPC calls and back, by `google.api.http` annotations (AIP-127).
//!
//! Control builds a [`Transcoder`] when a file is loaded, to say what is wrong with it, and a worker builds the same one
//! to run it. It knows messages through their descriptors only. Nothing here reads or writes a connection: who does,
//! finds the [`Call`] that a request is, and gives it whole JSON texts and whole messages.
//!
//! Nesting of JSON and of messages is bounded by the libraries that read them; that of messages in `Any` by
//! [`MAX_DEPTH`]. A path is compared with each template of its HTTP method once.

mod array;
mod base64;
mod field;
mod frame;
mod print;
mod request;
mod rule;
mod template;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, MethodDescriptor};
use thiserror::Error;

use field::Binding;
use print::Printer;
use rule::HttpRule;
use template::Template;

use crate::percent;

pub use array::{ArrayError, Elements};
pub use frame::{FrameError, Frames, framed};
pub use print::{MAX_DEPTH, Unprintable};
pub use template::Malformed;

/// What a transcoder is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// A `google.protobuf.FileDescriptorSet` with all that it imports.
    pub descriptor_set: Bytes,
    /// Full names of the services whose methods are called.
    pub services: Vec<String>,
    /// How JSON is written.
    pub print: PrintOptions,
    /// Methods without an annotation are POST `/<package>.<service>/<method>`.
    pub auto_mapping: bool,
    /// Names of query parameters that are nobody's.
    pub ignored_query_parameters: Vec<String>,
    /// Query parameters that no field has are let through.
    pub ignore_unknown_query_parameters: bool,
}

/// How JSON is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrintOptions {
    /// On lines of its own, indented.
    pub whitespace: bool,
    /// Fields without presence are written when they are empty, too.
    pub empty_fields: bool,
    /// Enums by their numbers.
    pub enum_numbers: bool,
    /// Names as in the proto file, not as JSON has them.
    pub proto_names: bool,
}

/// Why there can be no such transcoder.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unusable {
    /// The bytes are no set of descriptors.
    #[error("the descriptor set cannot be used: {0}")]
    Descriptor(String),
    /// A service is not in it.
    #[error("there is no service [{name}] in the descriptor set; it has {}", or_none(known))]
    Service {
        /// The one that was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// An annotation of a method is wrong.
    #[error("the annotation of {method} is wrong: {reason}")]
    Annotation {
        /// Full name.
        method: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Finds the gRPC method for an HTTP request.
#[derive(Debug)]
pub struct Transcoder {
    /// By HTTP method, "*" = any; in the order in which they are tried.
    rules: HashMap<Box<str>, Vec<Arc<Rule>>>,
    verbs: Vec<Box<str>>,
    ignored: Vec<String>,
    ignore_unknown: bool,
    printer: Arc<Printer>,
}

/// One path of one method.
#[derive(Debug)]
struct Rule {
    template: Template,
    method: Arc<Method>,
    body: BodyRule,
    /// The answer is this field, not the message.
    response: Option<FieldDescriptor>,
}

/// What the HTTP body is.
#[derive(Debug, Clone, PartialEq)]
enum BodyRule {
    Nothing,
    Message,
    Field(FieldDescriptor),
}

struct Method {
    /// `/<package>.<service>/<method>`.
    path: String,
    descriptor: MethodDescriptor,
    /// Somewhere in the answer there may be a message of any type.
    answers_any: bool,
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// A request that is a gRPC call.
#[derive(Debug, Clone)]
pub struct Call {
    rule: Arc<Rule>,
    bindings: Vec<Binding>,
    printer: Arc<Printer>,
}

impl Transcoder {
    /// Builds one.
    ///
    /// # Errors
    /// What is wrong with `rules`, the first that there is.
    pub fn new(rules: &Rules) -> Result<Self, Unusable> {
        let pool = pool(&rules.descriptor_set)?;
        let mut transcoder = Self {
            rules: HashMap::new(),
            verbs: Vec::new(),
            ignored: rules.ignored_query_parameters.clone(),
            ignore_unknown: rules.ignore_unknown_query_parameters,
            printer: Arc::new(Printer::new(rules.print, &pool)),
        };
        for name in &rules.services {
            let Some(service) = pool.get_service_by_name(name) else {
                let mut known: Vec<String> = pool.services().map(|it| it.full_name().to_owned()).collect();
                known.sort();
                return Err(Unusable::Service { name: name.clone(), known });
            };
            for method in service.methods() {
                transcoder.add(&method, rules.auto_mapping).map_err(|reason| Unusable::Annotation {
                    method: method.full_name().to_owned(),
                    reason,
                })?;
            }
        }
        for list in transcoder.rules.values_mut() {
            list.sort_by_cached_key(|rule| rule.template.rank());
        }
        Ok(transcoder)
    }

    fn add(&mut self, descriptor: &MethodDescriptor, automatic: bool) -> Result<(), String> {
        let path = format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name());
        let rule = match HttpRule::of(descriptor) {
            Some(rule) => rule,
            None if automatic => HttpRule::automatic(&path),
            None => return Ok(()),
        };
        let method = Arc::new(Method {
            path,
            descriptor: descriptor.clone(),
            answers_any: print::may_hold_any(&descriptor.output()),
        });
        self.add_rule(&method, &rule)?;
        rule.additional_bindings.iter().try_for_each(|rule| self.add_rule(&method, rule))
    }

    fn add_rule(&mut self, method: &Arc<Method>, rule: &HttpRule) -> Result<(), String> {
        let (verb, text) = rule.pattern().ok_or("it has no pattern")?;
        let template = Template::parse(text).map_err(|error| format!("[{text}]: {error}"))?;
        let (input, output) = (method.descriptor.input(), method.descriptor.output());
        for variable in &template.variables {
            let fields = field::resolve(&input, variable.field.iter().map(String::as_str))
                .map_err(|error| format!("[{text}]: {error}"))?;
            if !fields.last().is_some_and(field::takes_text) {
                return Err(format!("[{text}]: the field \"{}\" is a message", variable.field.join(".")));
            }
        }
        let body = match rule.body.as_str() {
            "" => BodyRule::Nothing,
            "*" => BodyRule::Message,
            name => BodyRule::Field(of(&input, name).map_err(|error| format!("body: {error}"))?),
        };
        let response = match rule.response_body.as_str() {
            "" => None,
            name => Some(of(&output, name).map_err(|error| format!("response_body: {error}"))?),
        };
        let list = self.rules.entry(verb.into()).or_default();
        if let Some(other) = list.iter().find(|other| other.template.same_shape(&template)) {
            return Err(format!("{verb} [{text}] has the same paths as one of {}", other.method.path));
        }
        let known = |verb: &str| self.verbs.iter().any(|it| **it == *verb);
        if let Some(verb) = template.verb.clone().filter(|verb| !known(verb)) {
            self.verbs.push(verb);
        }
        list.push(Arc::new(Rule { template, method: Arc::clone(method), body, response }));
        Ok(())
    }

    /// The call that a request is; `None` where it is none.
    ///
    /// # Errors
    /// A value in its path or its query is not one that the method's message can have. The text is for the client.
    #[must_use]
    pub fn find(&self, method: &str, target: &str) -> Option<Result<Call, String>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (segments, verb) = template::split(path, &self.verbs);
        let fits =
            |rule: &&Arc<Rule>| rule.template.verb.as_deref() == verb && rule.template.matches(&segments);
        let mut lists = [method, "*"].into_iter().filter_map(|method| self.rules.get(method));
        let rule = lists.find_map(|list| list.iter().find(fits))?;
        Some(self.bind(rule, &segments, query))
    }

    fn bind(&self, rule: &Arc<Rule>, segments: &[&str], query: &str) -> Result<Call, String> {
        let input = rule.method.descriptor.input();
        let mut bindings = Vec::new();
        for variable in &rule.template.variables {
            let fields = field::resolve(&input, variable.field.iter().map(String::as_str))?;
            let text = rule.template.value(variable, segments);
            let named =
                |error| format!("the path has no value for \"{}\": {error}", variable.field.join("."));
            bindings.push(Binding::new(fields, &text).map_err(named)?);
        }
        for parameter in query.split('&') {
            let Some((name, text)) = parameter.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                continue;
            };
            if self.ignored.iter().any(|ignored| ignored == name) {
                continue;
            }
            let named = |error| format!("query parameter \"{name}\": {error}");
            let fields = match field::resolve(&input, percent::decoded(name).split('.')) {
                Ok(fields) => fields,
                Err(_) if self.ignore_unknown => continue,
                Err(error) => return Err(named(error)),
            };
            bindings.push(Binding::new(fields, &percent::decoded(text)).map_err(named)?);
        }
        Ok(Call { rule: Arc::clone(rule), bindings, printer: Arc::clone(&self.printer) })
    }
}

/// Whether the bytes are a set of descriptors at all.
///
/// # Errors
/// They are not.
pub fn check(descriptor_set: &Bytes) -> Result<(), Unusable> {
    pool(descriptor_set).map(|_| ())
}

fn pool(descriptor_set: &Bytes) -> Result<DescriptorPool, Unusable> {
    if descriptor_set.is_empty() {
        return Err(Unusable::Descriptor("it is empty".to_owned()));
    }
    DescriptorPool::decode(descriptor_set.clone()).map_err(|error| Unusable::Descriptor(error.to_string()))
}

fn of(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    field::resolve(message, [name])?.pop().ok_or_else(|| "no field is named".to_owned())
}

impl Call {
    /// `/<package>.<service>/<method>`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.rule.method.path
    }

    /// The body is an array of messages.
    #[must_use]
    pub fn client_streaming(&self) -> bool {
        self.rule.method.descriptor.is_client_streaming()
    }

    /// The answer is an array of messages.
    #[must_use]
    pub fn server_streaming(&self) -> bool {
        self.rule.method.descriptor.is_server_streaming()
    }
}
