//! VirtualService, RouteTable and routes.

use super::{Entry, PLAIN, enterprise, reject};

const DEEPER_IN_ROUTE: &[(&str, &str)] = &[
    ("prefix", "matchers"),
    ("exact", "matchers"),
    ("regex", "matchers"),
    ("methods", "matchers"),
    ("headers", "matchers"),
    ("queryParameters", "matchers"),
    ("single", "routeAction"),
    ("multi", "routeAction"),
    ("upstreamGroup", "routeAction"),
    ("clusterHeader", "routeAction"),
    ("upstream", "routeAction.single"),
    ("prefixRewrite", "options"),
    ("regexRewrite", "options"),
    ("hostRewrite", "options"),
    ("autoHostRewrite", "options"),
    ("timeout", "options"),
    ("retries", "options"),
    ("headerManipulation", "options"),
    ("cors", "options"),
    ("extauth", "options"),
    ("stagedTransformations", "options"),
];

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "VirtualService",
        deeper: &[
            ("domains", "virtualHost"),
            ("routes", "virtualHost"),
            ("options", "virtualHost"),
            ("secretRef", "sslConfig"),
        ],
        ..PLAIN
    },
    Entry {
        name: "Route",
        oneofs: &[&[
            "routeAction",
            "redirectAction",
            "directResponseAction",
            "delegateAction",
            "graphqlApiRef",
        ]],
        later: &[enterprise("graphqlApiRef")],
        deeper: DEEPER_IN_ROUTE,
        ..PLAIN
    },
    Entry { name: "Matcher", oneofs: &[&["prefix", "exact", "regex", "connectMatcher"]], ..PLAIN },
    Entry {
        name: "RouteAction",
        oneofs: &[&["single", "multi", "upstreamGroup", "clusterHeader", "dynamicForwardProxy"]],
        deeper: &[
            ("upstream", "single"),
            ("kube", "single"),
            ("consul", "single"),
            ("destinations", "multi"),
        ],
        ..PLAIN
    },
    Entry { name: "PerRouteConfig", oneofs: &[&["hostRewrite", "autoHostRewriteHeader"]], ..PLAIN },
    Entry {
        name: "Destination",
        oneofs: &[&["upstream", "kube", "consul"]],
        later: &[
            reject("kube").note("send to an Upstream instead"),
            reject("consul").note("send to an Upstream instead"),
            reject("destinationSpec"),
        ],
        deeper: &[("name", "upstream"), ("namespace", "upstream")],
        ..PLAIN
    },
    Entry {
        name: "WeightedDestination",
        deeper: &[("upstream", "destination"), ("kube", "destination"), ("consul", "destination")],
        ..PLAIN
    },
    Entry { name: "RedirectAction", oneofs: &[&["pathRedirect", "prefixRewrite", "regexRewrite"]], ..PLAIN },
];
