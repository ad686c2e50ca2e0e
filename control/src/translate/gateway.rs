//! Gateways: the addresses that are bound, for which proxies, and which VirtualServices they choose.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::Snapshot;
use super::cx::{Cx, Lookup};
use super::globals::Globals;
use super::hybrid;
use super::inherit::SslDefaults;
use super::label::Labels;
use super::notes::Notes;
use super::route::{not_found, object_ref};
use super::tcp::{self, Place, TcpChains};
use crate::policy::{Layer, listener};
use crate::resource::{
    HttpConnectionManagerSettings, HttpGateway, HttpListenerOptions, Kind, ListenerOptions, Object,
    ObjectRef, Spec, TcpGateway,
};
use crate::{ir, policy};

/// Limit of a direct response's body where the Gateway says nothing.
const MAX_DIRECT_RESPONSE_BYTES: u32 = 4096;

const DEFAULT_PROXY: &str = "gateway-proxy";

/// A VirtualService is isolated with the others of its sslConfig on a Gateway with this annotation.
const ISOLATE: &str = "gateway.solo.io/isolate_vhost";

/// A Gateway that can be bound, or one part of it: what serves some of its connections. The parts of one follow each
/// other.
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
    /// Upstreams of its own.
    pub upstreams: Vec<Arc<ir::Upstream>>,
    /// `None` = the whole.
    pub part: Option<Part>,
}

/// Which connections a part of a Gateway serves, and how it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Unique in the Gateway, and the same as long as it takes the same connections or is of the same resource: names of
    /// filter chains and route configurations begin so.
    pub label: Arc<str>,
    /// The resource that holds it, and its place there.
    pub owner: ObjectRef,
    pub path: Arc<str>,
    /// Networks of clients; empty = any address.
    pub sources: Vec<IpNet>,
    /// What holds where the sslConfig of a VirtualService says nothing.
    pub ssl: Option<SslDefaults>,
}

/// What the parts of a Gateway have in common.
pub struct Whole<'a> {
    pub id: &'a ObjectRef,
    pub options: Option<&'a ListenerOptions>,
}

/// What the parts of a Gateway may differ in.
#[derive(Debug, Default)]
pub struct Side {
    pub ssl: bool,
    pub settings: listener::Settings,
    pub servers: Arc<policy::Servers>,
    pub policies: Vec<ir::Policy>,
    pub selection: Selection,
    pub tcp: TcpChains,
    pub upstreams: Vec<Arc<ir::Upstream>>,
    pub part: Option<Part>,
}

/// The Gateways that can be bound, and who stands in the last accepted form.
#[derive(Debug, Default)]
pub struct Found {
    pub gateways: Vec<Gateway>,
    pub substituted: BTreeSet<ObjectRef>,
}

/// One Gateway: its parts, or itself as the only one.
struct Made {
    parts: Vec<Gateway>,
    substituted: BTreeSet<ObjectRef>,
}

/// How a Gateway chooses VirtualServices. Those with the other TLS-ness are left out afterwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Selection {
    #[default]
    None,
    All,
    Listed(BTreeSet<ObjectRef>),
    Labelled {
        labels: Labels,
        /// `None` = all.
        namespaces: Option<BTreeSet<Arc<str>>>,
    },
}

/// Server names and networks of a filter chain.
type Fixed<'a> = (&'a [Arc<str>], &'a [IpNet]);

/// Whose connections are taken whatever the VirtualServices are: by TCP hosts, and by HTTP without TLS.
fn fixed<'a>(
    ssl: bool,
    selection: &Selection,
    part: Option<&'a Part>,
    tcp: &'a TcpChains,
) -> impl Iterator<Item = Fixed<'a>> {
    let plain = !ssl && *selection != Selection::None;
    let sources = part.map(|part| part.sources.as_slice()).unwrap_or_default();
    let chains = tcp.chains.iter().map(|chain| (&*chain.server_names, &*chain.source_prefixes));
    plain.then_some((&[][..], sources)).into_iter().chain(chains)
}

impl Side {
    /// See [`fixed`].
    pub fn fixed(&self) -> impl Iterator<Item = Fixed<'_>> {
        fixed(self.ssl, &self.selection, self.part.as_ref(), &self.tcp)
    }
}

impl Gateway {
    /// See [`fixed`].
    pub fn fixed(&self) -> impl Iterator<Item = Fixed<'_>> {
        fixed(self.ssl, &self.selection, self.part.as_ref(), &self.tcp)
    }

    /// Networks of clients; empty = any address.
    pub fn sources(&self) -> &[IpNet] {
        self.part.as_ref().map(|part| part.sources.as_slice()).unwrap_or_default()
    }

    /// A name within the listener, of its own for each part.
    pub fn named(&self, name: &str) -> Arc<str> {
        match &self.part {
            Some(part) => format!("{}/{name}", part.label).into(),
            None => name.into(),
        }
    }

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
pub fn read(snapshot: &Snapshot, cx: &mut Cx<'_>, globals: &Globals, notes: &mut Notes) -> Found {
    globals.servers.check(cx, notes);
    let from = ObjectRef::new(Kind::Gateway, "", "");
    let ids: Vec<&ObjectRef> =
        snapshot.entries.range(from..).map(|(id, _)| id).take_while(|id| id.kind == Kind::Gateway).collect();
    if ids.is_empty() {
        return Found { gateways: defaults(snapshot, globals), substituted: BTreeSet::new() };
    }
    let mut made = Vec::new();
    for id in ids {
        if id.namespace != snapshot.own_namespace && !globals.all_namespaces {
            let text = format!(
                "not read: gateways count in namespace {} only, unless Settings turn readGatewaysFromAllNamespaces on",
                snapshot.own_namespace
            );
            notes.warning(id, "metadata.namespace", text);
            continue;
        }
        made.extend(one(cx, id, globals, notes));
    }
    let mut found = Found::default();
    for made in without_conflicts(snapshot, cx, made, globals, notes) {
        found.gateways.extend(made.parts);
        found.substituted.extend(made.substituted);
    }
    found
}

/// The present form, or where that has errors the last accepted one.
fn one(cx: &mut Cx<'_>, id: &ObjectRef, globals: &Globals, notes: &mut Notes) -> Option<Made> {
    let (made, about) = settled(cx, id, BTreeSet::new(), globals);
    notes.extend(about);
    if made.is_some() || cx.substituted().any(|it| it == id) {
        return made;
    }
    accepted(cx, id, globals)
}

fn accepted(cx: &mut Cx<'_>, id: &ObjectRef, globals: &Globals) -> Option<Made> {
    if !cx.has_other_form(id) {
        return None;
    }
    settled(cx, id, [id.clone()].into(), globals).0
}

/// A Gateway with these resources in their last accepted form, and with resources that hold parts of it likewise where
/// they have errors. What is said is about the forms that were tried first.
fn settled(
    cx: &mut Cx<'_>,
    id: &ObjectRef,
    mut overrides: BTreeSet<ObjectRef>,
    globals: &Globals,
) -> (Option<Made>, Notes) {
    let mut said = None;
    loop {
        cx.again_with(&overrides);
        let mut about = Notes::default();
        let parts = form(cx, id, globals, &mut about);
        let broken: BTreeSet<ObjectRef> =
            about.iter().filter(|note| note.fatal).map(|note| note.object.clone()).collect();
        let said = said.get_or_insert(about);
        if broken.contains(id) {
            return (None, std::mem::take(said));
        }
        let again: Vec<ObjectRef> = broken
            .into_iter()
            .filter(|other| !overrides.contains(other) && cx.has_other_form(other))
            .collect();
        if again.is_empty() {
            let substituted = cx.substituted().filter(|it| is_gateway(it.kind)).cloned().collect();
            return (parts.map(|parts| Made { parts, substituted }), std::mem::take(said));
        }
        overrides.extend(again);
    }
}

fn is_gateway(kind: Kind) -> bool {
    matches!(kind, Kind::Gateway | Kind::MatchableHttpGateway | Kind::MatchableTcpGateway)
}

fn form(cx: &mut Cx<'_>, id: &ObjectRef, globals: &Globals, notes: &mut Notes) -> Option<Vec<Gateway>> {
    let Lookup::Found(object) = cx.object(id) else {
        return None;
    };
    let Spec::Gateway(spec) = &object.spec else {
        return None;
    };
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
    let without_ssl = match (&spec.hybrid_gateway, &spec.tcp_gateway) {
        (Some(_), _) => Some("a hybridGateway, whose matchers have sslConfig"),
        (None, Some(_)) => Some("a tcpGateway, whose hosts have sslConfig"),
        (None, None) => None,
    };
    if let Some(which) = without_ssl.filter(|_| spec.ssl) {
        let text = format!("ssl chooses VirtualServices: it has no effect on {which}");
        notes.warning(id, "spec.ssl", text);
    }
    let place = |field: &str| Place { owner: id, path: format!("spec.{field}") };
    let whole = Whole { id, options: spec.options.as_ref() };
    let sides = match (&spec.hybrid_gateway, &spec.tcp_gateway, &spec.http_gateway) {
        (Some(gateway), ..) => hybrid::sides(cx, globals, &place("hybridGateway"), &whole, gateway, notes),
        (_, Some(gateway), _) => {
            vec![tcp_side(cx, globals, &place("tcpGateway"), &whole, gateway, notes)]
        }
        (.., Some(http)) => {
            let side = http_side(cx, globals, &place("httpGateway"), &whole, http, None, notes);
            vec![Side { ssl: spec.ssl, ..side }]
        }
        (None, None, None) => {
            notes.error(id, "spec", "gateway must contain gatewayType");
            return None;
        }
    };
    let options = spec.route_options.as_ref();
    let proxies: BTreeSet<Arc<str>> = spec.proxy_names.iter().map(|name| kebab(name).into()).collect();
    let proxies = if proxies.is_empty() { [DEFAULT_PROXY.into()].into() } else { proxies };
    let listener: Arc<str> = format!("listener-{}-{}", spec.bind_address, spec.bind_port).into();
    let (address, port) = (address?, port?);
    let one = |side: Side| Gateway {
        id: object.id.clone(),
        listener: Arc::clone(&listener),
        address,
        port,
        ssl: side.ssl,
        isolate: globals.isolate || object.annotations.get(ISOLATE).is_some_and(|value| value == "true"),
        proxy_protocol: spec.options.as_ref().is_some_and(|options| options.proxy_protocol.is_some())
            || spec.use_proxy_proto == Some(true),
        settings: side.settings,
        proxies: proxies.clone(),
        max_direct_response_bytes: options
            .and_then(|options| options.max_direct_response_body_size_bytes)
            .unwrap_or(MAX_DIRECT_RESPONSE_BYTES),
        most_specific_headers_win: options
            .and_then(|options| options.most_specific_header_mutations_wins)
            .unwrap_or(false),
        servers: side.servers,
        policies: side.policies,
        selection: side.selection,
        tcp: side.tcp,
        upstreams: side.upstreams,
        part: side.part,
    };
    Some(sides.into_iter().map(one).collect())
}

/// An `httpGateway`. `manager` are connection manager settings in place of its own, which are checked all the same.
pub fn http_side(
    cx: &mut Cx<'_>,
    globals: &Globals,
    place: &Place<'_>,
    whole: &Whole<'_>,
    http: &HttpGateway,
    manager: Option<HttpConnectionManagerSettings>,
    notes: &mut Notes,
) -> Side {
    let none = HttpListenerOptions::default();
    let options = http.options.as_ref().unwrap_or(&none);
    let path: Arc<str> = format!("{}.options", place.path).into();
    let layer = Layer { options, owner: place.owner, path, depth: 0 };
    let policies = policy::of_listener(&layer, globals, notes);
    let policies = policy::with(policies, transcoder(&layer, cx, notes));
    let servers = Arc::new(globals.servers.of_listener(&layer, notes));
    servers.check(cx, notes);
    let dynamic = policy::dynamic_upstream(&layer, globals, cx, notes).map(Arc::new);
    let upstreams = dynamic.into_iter().collect();
    let selection = selection(cx, place, http, notes);
    let mut settings = listener::lower(whole.options, Some(&layer), whole.id, cx, notes);
    if manager.is_some() {
        let options = HttpListenerOptions { http_connection_manager_settings: manager, ..options.clone() };
        let layer = Layer { options: &options, ..layer };
        settings = listener::lower(whole.options, Some(&layer), whole.id, cx, &mut Notes::default());
    }
    Side { settings, servers, policies, selection, upstreams, ..Side::default() }
}

fn transcoder(
    layer: &Layer<'_, HttpListenerOptions>,
    files: &mut Cx<'_>,
    notes: &mut Notes,
) -> Option<ir::Policy> {
    let config = layer.options.grpc_json_transcoder.as_ref()?;
    let path = format!("{}.grpcJsonTranscoder", layer.path);
    policy::grpc_json_transcoder::lower(config, layer.owner, &path, files, notes)
}

/// A `tcpGateway`.
pub fn tcp_side(
    cx: &mut Cx<'_>,
    globals: &Globals,
    place: &Place<'_>,
    whole: &Whole<'_>,
    gateway: &TcpGateway,
    notes: &mut Notes,
) -> Side {
    let mut tcp = tcp::chains(cx, globals, place, gateway, notes);
    let settings = listener::lower(whole.options, None, whole.id, cx, notes);
    tcp.with(&settings);
    Side { settings, tcp, ..Side::default() }
}

/// Expressions win over the selector, which wins over the list. None of them means all.
fn selection(cx: &mut Cx<'_>, place: &Place<'_>, http: &HttpGateway, notes: &mut Notes) -> Selection {
    let Place { owner: id, path } = place;
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
                let path = format!("{path}.virtualServiceExpressions.expressions[{at}]");
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
        notes.warning(id, format!("{path}.virtualServiceNamespaces"), text);
    }
    if http.virtual_services.is_empty() {
        return Selection::All;
    }
    let mut listed = BTreeSet::new();
    for (at, reference) in http.virtual_services.iter().enumerate() {
        let service = object_ref(Kind::VirtualService, reference);
        if matches!(cx.object(&service), Lookup::Missing) {
            // The others are served all the same.
            let path = format!("{path}.virtualServices[{at}]");
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
            policies: {
                let options = HttpListenerOptions::default();
                let layer = Layer { options: &options, owner: &id, path: "".into(), depth: 0 };
                policy::of_listener(&layer, globals, &mut Notes::default())
            },
            id,
            selection: Selection::All,
            tcp: TcpChains::default(),
            upstreams: Vec::new(),
            part: None,
        }
    };
    vec![make("gateway-proxy", 8080, false), make("gateway-proxy-ssl", 8443, true)]
}

/// Two Gateways of one proxy on one address are both wrong. What was accepted before stays bound.
fn without_conflicts(
    snapshot: &Snapshot,
    cx: &mut Cx<'_>,
    gateways: Vec<Made>,
    globals: &Globals,
    notes: &mut Notes,
) -> Vec<Made> {
    let conflicting = conflicts(&gateways);
    if conflicting.is_empty() {
        return gateways;
    }
    let mut kept = Vec::new();
    let mut fallback = Vec::new();
    for (at, made) in gateways.into_iter().enumerate() {
        let (Some(rivals), Some(gateway)) = (conflicting.get(&at), made.parts.first()) else {
            kept.push(made);
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
            let made = settled(cx, &gateway.id, [gateway.id.clone()].into(), globals).0;
            fallback.extend(made.map(|made| (order, gateway.id.clone(), made)));
        }
    }
    fallback.sort_by_key(|(order, ..)| *order);
    for (_, id, mut made) in fallback {
        if !cx.has_other_form(&id) {
            made.substituted.remove(&id);
        }
        kept.push(made);
        if !conflicts(&kept).is_empty() {
            kept.pop();
        }
    }
    let id = |made: &Made| made.parts.first().map(|gateway| gateway.id.clone());
    kept.sort_by_key(id);
    kept
}

/// Positions of gateways that share an address within a proxy, with the names of all that do.
fn conflicts(gateways: &[Made]) -> BTreeMap<usize, Vec<String>> {
    let mut bound: BTreeMap<(&str, IpAddr, u16), Vec<usize>> = BTreeMap::new();
    for (at, made) in gateways.iter().enumerate() {
        // The parts of one have the same address.
        let Some(gateway) = made.parts.first() else { continue };
        for proxy in &gateway.proxies {
            bound.entry((proxy, gateway.address, gateway.port)).or_default().push(at);
        }
    }
    let mut found = BTreeMap::new();
    for list in bound.into_values().filter(|list| list.len() > 1) {
        let names: Vec<String> = list
            .iter()
            .filter_map(|at| gateways.get(*at)?.parts.first())
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
