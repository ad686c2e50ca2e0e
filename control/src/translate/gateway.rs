//! Gateways: the addresses that are bound, for which proxies, and which VirtualServices they choose.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::Snapshot;
use super::cx::{Cx, Lookup};
use super::globals::Globals;
use super::label::Labels;
use super::notes::Notes;
use super::route::{not_found, object_ref};
use super::tcp::{self, TcpChains};
use crate::policy::listener;
use crate::resource::{self, Kind, Object, ObjectRef, Spec};
use crate::{ir, policy};

/// Limit of a direct response's body where the Gateway says nothing.
const MAX_DIRECT_RESPONSE_BYTES: u32 = 4096;

const DEFAULT_PROXY: &str = "gateway-proxy";

/// A VirtualService is isolated with the others of its sslConfig on a Gateway with this annotation.
const ISOLATE: &str = "gateway.solo.io/isolate_vhost";

/// A Gateway that can be bound, or one part of it: what serves some of its connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    pub id: ObjectRef,
    /// `listener-<address>-<port>`.
    pub listener: Arc<str>,
    pub address: IpAddr,
    pub port: u16,
    pub ssl: bool,
    pub isolate: bool,
    pub proxy_protocol: bool,
    pub settings: listener::Settings,
    pub proxies: BTreeSet<Arc<str>>,
    pub max_direct_response_bytes: u32,
    pub most_specific_headers_win: bool,
    /// The servers that its policies ask.
    pub servers: Arc<policy::Servers>,
    /// For every request of its listener.
    pub policies: Vec<ir::Policy>,
    pub selection: Selection,
    /// Filter chains beside those of VirtualServices.
    pub tcp: TcpChains,
    /// Stands in its last accepted form.
    pub substituted: bool,
}

/// How a Gateway chooses VirtualServices. Those with the other TLS-ness are left out afterwards.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    None,
    All,
    Listed(BTreeSet<ObjectRef>),
    Labelled {
        labels: Labels,
        /// `None` = all.
        namespaces: Option<BTreeSet<Arc<str>>>,
    },
}

impl Gateway {
    /// Whether this form of a VirtualService is served here.
    pub fn serves(&self, service: &Object) -> bool {
        let Spec::VirtualService(spec) = &service.spec else {
            return false;
        };
        if spec.ssl_config.is_some() != self.ssl {
            return false;
        }
        match &self.selection {
            Selection::None => false,
            Selection::All => true,
            Selection::Listed(list) => list.contains(&service.id),
            Selection::Labelled { labels, namespaces } => {
                namespaces.as_ref().is_none_or(|list| list.contains(&service.id.namespace))
                    && labels.matches(&service.labels)
            }
        }
    }
}

/// All Gateways that can be bound, without two on one address of a proxy.
pub fn read(snapshot: &Snapshot, cx: &mut Cx<'_>, globals: &Globals, notes: &mut Notes) -> Vec<Gateway> {
    globals.servers.check(cx, notes);
    let from = ObjectRef::new(Kind::Gateway, "", "");
    let ids: Vec<&ObjectRef> =
        snapshot.entries.range(from..).map(|(id, _)| id).take_while(|id| id.kind == Kind::Gateway).collect();
    if ids.is_empty() {
        return defaults(snapshot, globals);
    }
    let mut gateways = Vec::new();
    for id in ids {
        if id.namespace != snapshot.own_namespace && !globals.all_namespaces {
            let text = format!(
                "not read: gateways count in namespace {} only, unless Settings turn readGatewaysFromAllNamespaces on",
                snapshot.own_namespace
            );
            notes.warning(id, "metadata.namespace", text);
            continue;
        }
        gateways.extend(one(cx, id, globals, notes));
    }
    without_conflicts(snapshot, cx, gateways, globals, notes)
}

/// The present form, or where that has errors the last accepted one.
fn one(cx: &mut Cx<'_>, id: &ObjectRef, globals: &Globals, notes: &mut Notes) -> Option<Gateway> {
    cx.again_with(&BTreeSet::new());
    let mut about = Notes::default();
    let made = form(cx, id, globals, &mut about);
    let failed = about.any_fatal();
    notes.extend(about);
    if !failed || made.as_ref().is_some_and(|it| it.substituted) {
        return made.filter(|_| !failed);
    }
    accepted(cx, id, globals)
}

fn accepted(cx: &mut Cx<'_>, id: &ObjectRef, globals: &Globals) -> Option<Gateway> {
    if !cx.has_other_form(id) {
        return None;
    }
    cx.again_with(&[id.clone()].into());
    let mut about = Notes::default();
    form(cx, id, globals, &mut about).filter(|_| !about.any_fatal())
}

fn form(cx: &mut Cx<'_>, id: &ObjectRef, globals: &Globals, notes: &mut Notes) -> Option<Gateway> {
    let Lookup::Found(object) = cx.object(id) else {
        return None;
    };
    let Spec::Gateway(spec) = &object.spec else {
        return None;
    };
    let substituted = cx.substituted().next().is_some();
    let address = spec.bind_address.parse::<IpAddr>().ok();
    if address.is_none() {
        let text = format!(
            "Listener Error: ProcessingError. Reason: bindAddress [{}] is not an IP",
            spec.bind_address
        );
        notes.error(id, "spec.bindAddress", text);
    }
    let port = u16::try_from(spec.bind_port).ok().filter(|port| *port != 0);
    if port.is_none() {
        let text =
            format!("Listener Error: ProcessingError. Reason: bindPort {} is not a port", spec.bind_port);
        notes.error(id, "spec.bindPort", text);
    }
    let mut tcp = TcpChains::default();
    let mut own = Vec::new();
    let mut servers = Arc::<policy::Servers>::default();
    let selection = match (&spec.tcp_gateway, &spec.http_gateway) {
        (Some(gateway), _) => {
            if spec.ssl {
                let text = "ssl chooses VirtualServices: it has no effect on a tcpGateway, whose hosts have sslConfig";
                notes.warning(id, "spec.ssl", text);
            }
            let place = tcp::Place { owner: id, path: "spec.tcpGateway".to_owned() };
            tcp = tcp::chains(cx, globals, &place, gateway, notes);
            Selection::None
        }
        (None, Some(http)) => {
            own = policies(id, http, globals, notes);
            own = policy::with(own, transcoder(id, http, cx, notes));
            servers = self::servers(id, http, globals, notes);
            servers.check(cx, notes);
            selection(cx, id, http, notes)
        }
        (None, None) => {
            notes.error(id, "spec", "gateway must contain gatewayType");
            return None;
        }
    };
    let options = spec.route_options.as_ref();
    let proxies: BTreeSet<Arc<str>> = spec.proxy_names.iter().map(|name| kebab(name).into()).collect();
    let settings = listener::lower(spec, id, notes);
    let (address, port) = (address?, port?);
    Some(Gateway {
        id: object.id.clone(),
        listener: format!("listener-{}-{port}", spec.bind_address).into(),
        address,
        port,
        ssl: spec.ssl,
        isolate: globals.isolate || object.annotations.get(ISOLATE).is_some_and(|value| value == "true"),
        proxy_protocol: spec.options.as_ref().is_some_and(|options| options.proxy_protocol.is_some())
            || spec.use_proxy_proto == Some(true),
        settings,
        proxies: if proxies.is_empty() { [DEFAULT_PROXY.into()].into() } else { proxies },
        max_direct_response_bytes: options
            .and_then(|options| options.max_direct_response_body_size_bytes)
            .unwrap_or(MAX_DIRECT_RESPONSE_BYTES),
        most_specific_headers_win: options
            .and_then(|options| options.most_specific_header_mutations_wins)
            .unwrap_or(false),
        servers,
        policies: own,
        selection,
        tcp,
        substituted,
    })
}

/// What runs for every request of the listener.
fn policies(
    id: &ObjectRef,
    http: &resource::HttpGateway,
    globals: &Globals,
    notes: &mut Notes,
) -> Vec<ir::Policy> {
    with_options(id, http, |layer| policy::of_listener(layer, globals, notes))
}

fn transcoder(
    id: &ObjectRef,
    http: &resource::HttpGateway,
    files: &mut Cx<'_>,
    notes: &mut Notes,
) -> Option<ir::Policy> {
    let config = http.options.as_ref()?.grpc_json_transcoder.as_ref()?;
    let path = "spec.httpGateway.options.grpcJsonTranscoder";
    policy::grpc_json_transcoder::lower(config, id, path, files, notes)
}

/// The servers that hold for the listener.
fn servers(
    id: &ObjectRef,
    http: &resource::HttpGateway,
    globals: &Globals,
    notes: &mut Notes,
) -> Arc<policy::Servers> {
    with_options(id, http, |layer| Arc::new(globals.servers.of_listener(layer, notes)))
}

fn with_options<T>(
    id: &ObjectRef,
    http: &resource::HttpGateway,
    with: impl FnOnce(&policy::Layer<'_, resource::HttpListenerOptions>) -> T,
) -> T {
    let none = resource::HttpListenerOptions::default();
    let options = http.options.as_ref().unwrap_or(&none);
    with(&policy::Layer { options, owner: id, path: "spec.httpGateway.options".into(), depth: 0 })
}

/// Expressions win over the selector, which wins over the list. None of them means all.
fn selection(cx: &mut Cx<'_>, id: &ObjectRef, http: &resource::HttpGateway, notes: &mut Notes) -> Selection {
    let namespaces = match http.virtual_service_namespaces.as_slice() {
        [] => None,
        list if list.iter().any(|namespace| namespace == "*") => None,
        list => Some(list.iter().map(|namespace| namespace.as_str().into()).collect()),
    };
    let expressions = http.virtual_service_expressions.as_ref().map(|it| it.expressions.as_slice());
    if let Some(list) = expressions.filter(|list| !list.is_empty()) {
        return match Labels::expressions(list) {
            Ok(labels) => Selection::Labelled { labels, namespaces },
            Err((at, problem)) => {
                let path = format!("spec.httpGateway.virtualServiceExpressions.expressions[{at}]");
                notes.error(id, path, problem);
                Selection::Listed(BTreeSet::new())
            }
        };
    }
    if !http.virtual_service_selector.is_empty() {
        return Selection::Labelled {
            labels: Labels::Equal(http.virtual_service_selector.clone()),
            namespaces,
        };
    }
    if namespaces.is_some() {
        let text = "virtualServiceNamespaces has no effect without virtualServiceSelector or virtualServiceExpressions";
        notes.warning(id, "spec.httpGateway.virtualServiceNamespaces", text);
    }
    if http.virtual_services.is_empty() {
        return Selection::All;
    }
    let mut listed = BTreeSet::new();
    for (at, reference) in http.virtual_services.iter().enumerate() {
        let service = object_ref(Kind::VirtualService, reference);
        if matches!(cx.object(&service), Lookup::Missing) {
            // The others are served all the same.
            let path = format!("spec.httpGateway.virtualServices[{at}]");
            notes.complaint(id, path, not_found("virtual service", reference));
        }
        listed.insert(service);
    }
    Selection::Listed(listed)
}

/// What an installation without any Gateway has: 8080 plain and 8443 with TLS.
fn defaults(snapshot: &Snapshot, globals: &Globals) -> Vec<Gateway> {
    let make = |name: &str, port: u16, ssl: bool| {
        let id = ObjectRef::new(Kind::Gateway, Arc::clone(&snapshot.own_namespace), name);
        Gateway {
            listener: format!("listener-::-{port}").into(),
            address: Ipv6Addr::UNSPECIFIED.into(),
            port,
            ssl,
            isolate: globals.isolate,
            proxy_protocol: false,
            settings: listener::Settings::default(),
            proxies: [DEFAULT_PROXY.into()].into(),
            max_direct_response_bytes: MAX_DIRECT_RESPONSE_BYTES,
            most_specific_headers_win: false,
            servers: Arc::new(globals.servers.clone()),
            policies: policies(&id, &resource::HttpGateway::default(), globals, &mut Notes::default()),
            id,
            selection: Selection::All,
            tcp: TcpChains::default(),
            substituted: false,
        }
    };
    vec![make("gateway-proxy", 8080, false), make("gateway-proxy-ssl", 8443, true)]
}

/// Two Gateways of one proxy on one address are both wrong. What was accepted before stays bound.
fn without_conflicts(
    snapshot: &Snapshot,
    cx: &mut Cx<'_>,
    gateways: Vec<Gateway>,
    globals: &Globals,
    notes: &mut Notes,
) -> Vec<Gateway> {
    let conflicting = conflicts(&gateways);
    if conflicting.is_empty() {
        return gateways;
    }
    let mut kept = Vec::new();
    let mut fallback = Vec::new();
    for (at, gateway) in gateways.into_iter().enumerate() {
        let Some(rivals) = conflicting.get(&at) else {
            kept.push(gateway);
            continue;
        };
        let text = format!(
            "Listener Error: BindPortNotUniqueError. Reason: bind address {}:{} is not unique in a proxy. gateways: {}",
            gateway.address,
            gateway.port,
            rivals.join(",")
        );
        notes.error(&gateway.id, "spec.bindPort", text);
        // The accepted form may be the present one: then it was there before its rival.
        if let Some(order) = snapshot.accepted.get(&gateway.id).map(|accepted| accepted.order) {
            cx.again_with(&[gateway.id.clone()].into());
            let mut about = Notes::default();
            let made = form(cx, &gateway.id, globals, &mut about).filter(|_| !about.any_fatal());
            fallback.extend(made.map(|made| (order, made)));
        }
    }
    fallback.sort_by_key(|(order, _)| *order);
    for (_, mut gateway) in fallback {
        kept.push(gateway.clone());
        if !conflicts(&kept).is_empty() {
            kept.pop();
        } else if let Some(last) = kept.last_mut() {
            gateway.substituted = cx.has_other_form(&gateway.id);
            *last = gateway;
        }
    }
    kept.sort_by(|a, b| a.id.cmp(&b.id));
    kept
}

/// Positions of gateways that share an address within a proxy, with the names of all that do.
fn conflicts(gateways: &[Gateway]) -> BTreeMap<usize, Vec<String>> {
    let mut bound: BTreeMap<(&str, IpAddr, u16), Vec<usize>> = BTreeMap::new();
    for (at, gateway) in gateways.iter().enumerate() {
        for proxy in &gateway.proxies {
            bound.entry((proxy, gateway.address, gateway.port)).or_default().push(at);
        }
    }
    let mut found = BTreeMap::new();
    for list in bound.into_values().filter(|list| list.len() > 1) {
        let names: Vec<String> = list
            .iter()
            .filter_map(|at| gateways.get(*at))
            .map(|it| format!("{}.{}", it.id.namespace, it.id.name))
            .collect();
        found.extend(list.into_iter().map(|at| (at, names.clone())));
    }
    found
}

/// `publicGw` is the proxy `public-gw`.
fn kebab(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    let mut before = '-';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && before != '-' && !before.is_ascii_uppercase() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
        before = letter;
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_proxies_are_made_kebab_case() {
        for (name, proxy) in [
            ("gateway-proxy", "gateway-proxy"),
            ("publicGw", "public-gw"),
            ("Public", "public"),
            ("a-B", "a-b"),
        ] {
            assert_eq!(super::kebab(name), proxy);
        }
    }
}
