//! One VirtualService with everything that it reaches: the unit of translation.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_shared::routing::Domain;

use super::cx::{Cx, Lookup};
use super::globals::Globals;
use super::inherit::{Fill as _, SslDefaults};
use super::notes::{Note, Notes};
use super::path::{lower, unmatched_domain};
use super::route::{self, Context, Reporter, not_found, object_ref, origin};
use super::ssl::{ServiceTls, lower_ssl};
use crate::ir::{self, CertificateSource};
use crate::policy::{self, ActionKind, Layer, Levels};
use crate::resource::{Kind, Object, ObjectRef, Spec, VirtualHost, VirtualHostOptions, VirtualService};

/// What of a gateway changes how its virtual hosts are made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variant {
    /// Name of the gateway, which shows in the names of routes.
    pub gateway: Arc<str>,
    /// Name of the proxy, likewise.
    pub proxy: Arc<str>,
    pub max_direct_response_bytes: u32,
    pub most_specific_headers_win: bool,
    /// What its policies ask.
    pub servers: Arc<policy::Servers>,
    /// What holds where the virtual service's sslConfig says nothing.
    pub ssl: Option<SslDefaults>,
}

/// Which form of the VirtualService.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    Present,
    Accepted,
}

/// The result of one unit.
#[derive(Debug, Clone, Default)]
pub struct ServiceOut {
    /// `None` = it cannot be served in this form, or has nothing to serve.
    pub host: Option<Arc<ir::VirtualHost>>,
    /// Of a form that can be served.
    pub tls: Option<ServiceTls>,
    /// Key material that this form refers to, found or not.
    pub wanted: Option<CertificateSource>,
    /// About the forms that are present.
    pub notes: Vec<Note>,
    /// It cannot be served in this form.
    pub failed: bool,
    /// Other resources that stand in their last accepted form.
    pub substituted: Vec<ObjectRef>,
}

impl ServiceOut {
    /// TLS and the server names of the filter chain that it needs; `None` = it needs none, or there is no key material.
    pub fn chain(&self) -> Option<(&Arc<ir::DownstreamTls>, &[Arc<str>])> {
        let tls = self.tls.as_ref()?;
        Some((tls.tls.as_ref()?, &tls.server_names))
    }
}

/// Translates a VirtualService. Resources that it reaches and that have errors are tried in their last accepted form;
/// its own form is the caller's choice.
pub fn translate(
    cx: &mut Cx<'_>,
    globals: &Globals,
    id: &ObjectRef,
    form: Form,
    variant: &Variant,
) -> ServiceOut {
    let mut overrides: BTreeSet<ObjectRef> = BTreeSet::new();
    if form == Form::Accepted {
        overrides.insert(id.clone());
    }
    let mut said: Option<Vec<Note>> = None;
    loop {
        cx.again_with(&overrides);
        let Lookup::Found(object) = cx.object(id) else {
            return ServiceOut { failed: true, ..ServiceOut::default() };
        };
        let (host, tls, notes) = attempt(cx, globals, object, variant);
        let notes = notes.into_vec();
        let broken: BTreeSet<ObjectRef> =
            notes.iter().filter(|note| note.fatal).map(|note| note.object.clone()).collect();
        let said = said.get_or_insert(notes);
        let fails = broken.contains(id);
        let mut progress = false;
        if !fails {
            for other in broken.iter() {
                progress |=
                    !overrides.contains(other) && cx.has_other_form(other) && overrides.insert(other.clone());
            }
        }
        if broken.is_empty() || !progress {
            let failed = !broken.is_empty();
            let substituted = cx.substituted().filter(|other| *other != id).cloned().collect();
            return ServiceOut {
                wanted: tls.as_ref().and_then(|tls| tls.source.clone()),
                host: host.filter(|_| !failed),
                tls: tls.filter(|_| !failed),
                notes: std::mem::take(said),
                failed,
                substituted,
            };
        }
    }
}

type Attempt = (Option<Arc<ir::VirtualHost>>, Option<ServiceTls>, Notes);

fn attempt<'s>(cx: &mut Cx<'s>, globals: &Globals, object: &'s Object, variant: &Variant) -> Attempt {
    let mut reporter = Reporter { root: &object.id, notes: Notes::default() };
    let Spec::VirtualService(service) = &object.spec else {
        return (None, None, reporter.notes);
    };
    let tls = ssl(cx, globals, object, service, variant, &mut reporter.notes);
    let Some(content) = &service.virtual_host else {
        let text = format!(
            "virtual service [{}.{}] does not specify a virtual host",
            object.id.namespace, object.id.name
        );
        reporter.notes.warning(&object.id, "spec", text);
        return (None, tls, reporter.notes);
    };
    let domains = domains(&object.id, content, &mut reporter.notes);
    let layers = layers(cx, object, content, &mut reporter);
    let name: Arc<str> = format!("{}_{}", object.id.namespace, object.id.name).replace('.', "_").into();

    // Options of the virtual host are wrong or right even when there is no route to see them.
    let levels = Levels {
        host: &layers,
        route: &[],
        destination: None,
        most_specific_headers_win: variant.most_specific_headers_win,
        servers: &variant.servers,
        host_name: &name,
        route_at: 0,
    };
    let mut notes = Notes::default();
    policy::of_route(&levels, ActionKind::Forward, &mut notes);
    let virtual_clusters = policy::virtual_clusters::of_host(&layers, &mut notes);
    for note in notes.into_vec() {
        reporter.add(note, "spec.virtualHost.optionsConfigRefs");
    }

    let flat = route::flatten(cx, variant, object, &content.routes, &mut reporter);
    let mut context = Context { cx, globals, variant, host_name: &name, host_layers: &layers };
    let routes = route::lower(&flat, &mut context, &mut reporter);
    let host = ir::VirtualHost { name, origin: origin(&object.id), domains, routes, virtual_clusters };
    (Some(Arc::new(host)), tls, reporter.notes)
}

fn ssl(
    cx: &mut Cx<'_>,
    globals: &Globals,
    object: &Object,
    service: &VirtualService,
    variant: &Variant,
    notes: &mut Notes,
) -> Option<ServiceTls> {
    let mut config = Cow::Borrowed(service.ssl_config.as_ref()?);
    if let Some(defaults) = &variant.ssl {
        config.to_mut().fill(&defaults.config);
    }
    Some(lower_ssl(&config, &object.id, "spec.sslConfig", globals, cx, notes))
}

/// The layers of the virtual host level: inline options, then the shared ones in their order.
fn layers<'s>(
    cx: &mut Cx<'s>,
    object: &'s Object,
    content: &'s VirtualHost,
    reporter: &mut Reporter<'s>,
) -> Vec<Layer<'s, VirtualHostOptions>> {
    let mut layers = Vec::new();
    if let Some(options) = &content.options {
        layers.push(Layer { options, owner: &object.id, path: "spec.virtualHost.options".into(), depth: 0 });
    }
    let references = content.options_config_refs.iter().flat_map(|refs| &refs.delegate_options);
    for (at, reference) in references.enumerate() {
        let field = format!("spec.virtualHost.optionsConfigRefs.delegateOptions[{at}]");
        let id = object_ref(Kind::VirtualHostOption, reference);
        match cx.object(&id) {
            Lookup::Found(Object { id: owner, spec: Spec::VirtualHostOption(option), .. }) => {
                if let Some(problem) = cx.broken_because(&id) {
                    let text = format!("on virtual host option {}.{}: {problem}", id.namespace, id.name);
                    reporter.notes.complaint(&object.id, field, text);
                }
                if let Some(options) = &option.options {
                    layers.push(Layer { options, owner, path: "spec.options".into(), depth: 0 });
                }
            }
            Lookup::Missing => {
                reporter.notes.warning(&object.id, field, not_found("virtual host option", reference));
            }
            // It might have been there for security, so the virtual host is not served without it.
            Lookup::Found(_) | Lookup::Broken => {
                let text = format!("virtual host option {}.{} is rejected", id.namespace, id.name);
                reporter.notes.error(&object.id, field, text);
            }
        }
    }
    layers
}

/// Lower case, each once. None, or one empty text, stands for all.
fn domains(owner: &ObjectRef, content: &VirtualHost, notes: &mut Notes) -> Vec<Arc<str>> {
    let list: Vec<&str> = content.domains.iter().map(String::as_str).collect();
    if matches!(list.as_slice(), [] | [""]) {
        return vec!["*".into()];
    }
    let mut domains: Vec<Arc<str>> = Vec::with_capacity(list.len());
    let mut seen: BTreeSet<Arc<str>> = BTreeSet::new();
    for (at, text) in list.into_iter().enumerate() {
        let path = || format!("spec.virtualHost.domains[{at}]");
        if text.is_empty() {
            notes.error(owner, path(), "a domain is empty: only alone it stands for all domains");
            continue;
        }
        let domain = lower(text);
        if let Err(invalid) = Domain::parse(&domain) {
            notes.error(owner, path(), format!("not a domain: {}", invalid.reason));
        } else if seen.insert(Arc::clone(&domain)) {
            if let Some(why) = unmatched_domain(&domain) {
                notes.warning(owner, path(), format!("the domain [{text}] can never match: {why}"));
            }
            domains.push(domain);
        } else {
            notes.warning(owner, path(), format!("the domain [{text}] is listed more than once"));
        }
    }
    domains
}
