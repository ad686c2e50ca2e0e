//! Settings. Much of it sets up Gloo's own parts; what is not served is told and left out, because one such field must
//! not switch off the ones that are.

use super::{Entry, PLAIN, warn, warn_enterprise};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "Settings",
        later: &[
            warn("discoveryNamespace"),
            warn("watchNamespaces"),
            warn("watchNamespaceSelectors"),
            warn("kubernetesConfigSource"),
            warn("directoryConfigSource"),
            warn("consulKvSource"),
            warn("kubernetesSecretSource"),
            warn("vaultSecretSource"),
            warn("directorySecretSource"),
            warn("secretOptions"),
            warn("kubernetesArtifactSource"),
            warn("directoryArtifactSource"),
            warn("consulKvArtifactSource"),
            warn("bindAddr"),
            warn("refreshRate"),
            warn("devMode"),
            warn("linkerd"),
            warn("knative"),
            warn("discovery"),
            warn("kubernetes"),
            warn("consul"),
            warn("consulDiscovery"),
            warn_enterprise("ratelimit"),
            warn_enterprise("rbac"),
            warn_enterprise("cachingServer"),
            warn_enterprise("extProcEarly"),
            warn_enterprise("extProc"),
            warn_enterprise("extProcLate"),
            warn("upstreamOptions"),
            warn("observabilityOptions"),
            warn("consoleOptions"),
            warn("graphqlOptions"),
            warn("ipV4Only"),
            warn("extensions"),
        ],
        deeper: &[
            ("invalidConfigPolicy", "gloo"),
            ("isolateVirtualHostsBySslConfig", "gateway"),
            ("readGatewaysFromAllNamespaces", "gateway"),
            ("virtualServiceOptions", "gateway"),
            ("validation", "gateway"),
        ],
        ..PLAIN
    },
    Entry {
        name: "GlooSettings",
        later: &[
            warn("xdsBindAddr"),
            warn("validationBindAddr"),
            warn("restXdsBindAddr"),
            warn("proxyDebugBindAddr"),
            warn("endpointsWarmingTimeout"),
            warn("awsOptions"),
            warn("disableKubernetesDestinations"),
            warn("disableProxyGarbageCollection"),
            warn("regexMaxProgramSize"),
            warn("removeUnusedFilters"),
            warn("transformationEscapeCharacters"),
            warn("logTransformationRequestResponseInfo"),
            warn("enableAutoWebsocketTransformationPassthrough"),
            warn("failoverUpstreamDnsPollingInterval"),
            warn("istioOptions"),
            warn("enableRestEds"),
        ],
        ..PLAIN
    },
    Entry {
        name: "GatewaySettings",
        later: &[
            warn("validation"),
            warn("validationServerAddr"),
            warn("enableGatewayController"),
            warn("alwaysSortRouteTableRoutes"),
            warn("compressedProxySpec"),
            warn("persistProxySpec"),
            warn("translateEmptyGateways"),
        ],
        ..PLAIN
    },
];
