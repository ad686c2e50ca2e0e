//! The form of an explanation. As JSON it is stable: fields are added, never renamed.

use serde::{Deserialize, Serialize};

/// Everything that is said about one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The request as the gateway sees it.
    pub request: RequestFacts,
    /// Where the connection arrives.
    pub listener: Option<ListenerFacts>,
    /// Who is responsible for the host.
    pub virtual_host: Option<HostFacts>,
    /// Routes before the winning one, in order; all of them when none wins.
    pub passed_over: Vec<PassedOver>,
    /// The route that wins.
    pub route: Option<RouteFacts>,
    /// What happens.
    pub outcome: Outcome,
}

/// The request as the gateway sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestFacts {
    /// Method.
    pub method: String,
    /// `http`, `https` or `tcp`.
    pub scheme: String,
    /// `Host` or `:authority`, with the port if the client sends one.
    pub host: String,
    /// Path without query.
    pub path: String,
    /// Query.
    pub query: Option<String>,
    /// Server name in the TLS handshake.
    pub sni: Option<String>,
    /// The client's address, if it was given.
    #[serde(default)]
    pub client: Option<String>,
}

/// Where the connection arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerFacts {
    /// Name.
    pub name: String,
    /// `[::]:8080`.
    pub address: String,
    /// The user's resource.
    pub from: String,
    /// Whether it terminates TLS.
    pub tls: bool,
    /// The filter chain that the server name chose.
    pub filter_chain: Option<String>,
    /// The part of a hybrid gateway that the filter chain is of: its resource, and its place there.
    #[serde(default)]
    pub part: Option<String>,
    /// Whose connections the filter chain takes; empty = everybody's.
    #[serde(default)]
    pub takes: Vec<String>,
    /// The certificate that is presented.
    pub certificate: Option<String>,
    /// How HTTP is spoken, where that is not the default.
    #[serde(default)]
    pub settings: Vec<String>,
    /// What happens to every request that comes this way.
    #[serde(default)]
    pub policies: Vec<String>,
}

/// Who is responsible for the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// Name.
    pub name: String,
    /// The user's resource.
    pub from: String,
    /// The domain that fits the host best.
    pub domain: String,
}

/// A route that was tried and did not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PassedOver {
    /// The route.
    #[serde(flatten)]
    pub route: RouteFacts,
    /// The first predicate on which it failed.
    pub because: String,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteFacts {
    /// Name as in logs.
    pub name: String,
    /// The user's resource that holds it.
    pub from: String,
    /// Its place in that resource.
    pub field: String,
    /// What it matches, in words.
    pub matcher: String,
}

/// What happens to the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It is sent to one of these.
    Forward {
        /// The UpstreamGroup that holds the weights.
        split: Option<String>,
        /// In order.
        destinations: Vec<Effect>,
    },
    /// The connection is not understood here: its bytes go to one of these.
    PassOn {
        /// The TCP host's name.
        tcp_host: String,
        /// The UpstreamGroup that holds the weights.
        split: Option<String>,
        /// In order.
        destinations: Vec<Passed>,
        /// Tries to connect.
        connect_attempts: u32,
        /// Silence after which it is closed; none = never.
        idle_timeout: Option<String>,
    },
    /// The client is sent elsewhere.
    Redirect {
        /// Status.
        status: u16,
        /// Value of `location`.
        location: String,
    },
    /// The gateway answers.
    DirectResponse {
        /// Status.
        status: u16,
        /// Body.
        body: String,
    },
    /// Nobody is responsible.
    NotServed {
        /// Status; none when the connection is not accepted or closed.
        status: Option<u16>,
        /// The stable reason of access logs, such as `no_route`.
        reason: String,
        /// In words.
        why: String,
        /// What would have been served and is near.
        nearest: Vec<String>,
    },
}

/// One destination and what it gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// Name of the upstream.
    pub upstream: String,
    /// The user's resource; none when there is no such upstream: the gateway answers 503.
    pub from: Option<String>,
    /// Weight as configured.
    pub weight: u32,
    /// Share of the requests.
    pub percent: f64,
    /// Addresses known from the resource itself.
    pub endpoints: Vec<String>,
    /// Addresses are resolved at run time.
    pub resolved_at_run_time: bool,
    /// `http/1.1` or `http/2`, with `over TLS`.
    pub protocol: String,
    /// How endpoints are chosen and looked after, where that is not the default.
    #[serde(default)]
    pub care: Vec<String>,
    /// The request that it gets.
    pub request: Sent,
    /// Changes to the answer's headers, in order.
    pub response_headers: Vec<String>,
    /// Limit of the whole exchange; none = no limit.
    pub timeout: Option<String>,
    /// When a try is repeated.
    pub retries: Option<String>,
    /// The gateway answers in place of this destination.
    #[serde(default)]
    pub answer: Option<Answered>,
    /// What other policies do, in their order.
    #[serde(default)]
    pub behaviour: Vec<String>,
    /// Policies that are not shown in another field.
    pub other_policies: Vec<String>,
}

/// One destination of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Passed {
    /// Name of the upstream.
    pub upstream: String,
    /// The user's resource; none when there is no such upstream: the connection is closed.
    pub from: Option<String>,
    /// Weight as configured.
    pub weight: u32,
    /// Share of the connections.
    pub percent: f64,
    /// Addresses known from the resource itself.
    pub endpoints: Vec<String>,
    /// Addresses are resolved at run time.
    pub resolved_at_run_time: bool,
    /// The gateway begins TLS with it.
    pub over_tls: bool,
}

/// What the gateway answers in place of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// Status.
    pub status: u32,
    /// Body.
    pub body: String,
}

/// A request after the gateway's changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// `Host` or `:authority`.
    pub host: String,
    /// Changes to headers, in order.
    pub headers: Vec<String>,
}
