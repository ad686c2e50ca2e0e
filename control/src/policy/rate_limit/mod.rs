//! `ratelimit`, `ratelimitEarly`, `ratelimitRegular` and `httpLocalRatelimit`: token buckets of the proxy, and questions
//! to the user's own rate limit server before authentication and after it.

mod action;

use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Found, Layer, Levels, Policy};
use crate::ir;
use crate::resource::{GoDuration, HttpListenerOptions, RateLimitActions, TokenBucket};
use crate::translate::{Globals, Notes};

/// The shortest interval that Envoy's filter takes.
const SHORTEST_FILL_MS: u64 = 50;

/// Token buckets.
pub struct Local;

/// Questions before authentication.
pub struct Early;

/// Questions after it.
pub struct Regular;

impl Policy for Local {
    fn option(&self) -> &'static str {
        "ratelimit.localRatelimit"
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let routes = [
            levels.in_route("ratelimit.localRatelimit", |it| it.ratelimit.as_ref()?.local_ratelimit.as_ref()),
            levels.in_route("ratelimitEarly.localRatelimit", |it| {
                it.ratelimit_early.as_ref()?.local_ratelimit.as_ref()
            }),
            levels.in_route("ratelimitRegular.localRatelimit", |it| {
                it.ratelimit_regular.as_ref()?.local_ratelimit.as_ref()
            }),
        ];
        let hosts = [
            levels.in_host("ratelimit.localRatelimit", |it| it.ratelimit.as_ref()?.local_ratelimit.as_ref()),
            levels.in_host("ratelimitEarly.localRatelimit", |it| {
                it.ratelimit_early.as_ref()?.local_ratelimit.as_ref()
            }),
            levels.in_host("ratelimitRegular.localRatelimit", |it| {
                it.ratelimit_regular.as_ref()?.local_ratelimit.as_ref()
            }),
        ];
        let host = one(hosts, notes);
        let (found, scope) = match one(routes, notes) {
            Some(found) => (found, format!("{}-route-{}", levels.host_name, levels.route_at)),
            None => (host?, levels.host_name.to_owned()),
        };
        let bucket = bucket(&found, notes)?;
        Some(super::wire(&wire::LocalRateLimit {
            bucket: Some(bucket),
            per_connection: levels.servers.local_per_connection,
            headers: levels.servers.local_headers,
            scope,
        }))
    }

    fn lower_listener(
        &self,
        options: &Layer<'_, HttpListenerOptions>,
        _globals: &Globals,
        notes: &mut Notes,
    ) -> Option<ir::Policy> {
        let field = "httpLocalRatelimit.defaultLimit";
        let settings = options.options.http_local_ratelimit.as_ref()?;
        let found = options.field(field, |it| it.http_local_ratelimit.as_ref()?.default_limit.as_ref())?;
        Some(super::wire(&wire::LocalRateLimit {
            bucket: Some(bucket(&found, notes)?),
            per_connection: settings.local_rate_limit_per_downstream_connection == Some(true),
            headers: settings.enable_x_ratelimit_headers == Some(true),
            scope: options.owner.to_string(),
        }))
    }
}

type Bucket<'s> = Option<Found<'s, TokenBucket>>;

/// There is one bucket, and it stands before authentication.
fn one<'s>([either, early, regular]: [Bucket<'s>; 3], notes: &mut Notes) -> Bucket<'s> {
    if let Some(regular) = regular {
        let text = "localRatelimit runs before authentication: put it into `ratelimit` or `ratelimitEarly`";
        regular.error(notes, "", text);
    }
    match (either, early) {
        (Some(either), Some(early)) => {
            early.error(notes, "", "localRatelimit is in `ratelimit` as well: one of them can be there");
            Some(either)
        }
        (either, early) => either.or(early),
    }
}

/// A bucket, checked.
pub(in crate::policy) fn bucket(
    found: &Found<'_, TokenBucket>,
    notes: &mut Notes,
) -> Option<wire::TokenBucket> {
    let value = found.value;
    let tokens_per_fill = value.tokens_per_fill.unwrap_or(1);
    let interval = value.fill_interval.unwrap_or(GoDuration(1_000_000_000));
    let millis = interval.to_millis().filter(|millis| *millis >= SHORTEST_FILL_MS);
    if value.max_tokens == 0 {
        found.error(notes, ".maxTokens", "maxTokens must be at least 1");
    }
    if tokens_per_fill == 0 {
        found.error(notes, ".tokensPerFill", "tokensPerFill must be at least 1");
    }
    if millis.is_none() {
        let text = format!("fillInterval must be at least {SHORTEST_FILL_MS}ms, but is {interval}");
        found.error(notes, ".fillInterval", text);
    }
    let fine = value.max_tokens > 0 && tokens_per_fill > 0;
    let fill_interval_ms = millis.filter(|_| fine)?;
    Some(wire::TokenBucket { max_tokens: value.max_tokens, tokens_per_fill, fill_interval_ms })
}

/// Where nothing is forwarded there is nothing to protect, says Gloo.
fn fit(action: ActionKind) -> Fit {
    match action {
        ActionKind::Forward | ActionKind::ForwardByHeader => Fit::Works,
        ActionKind::Redirect | ActionKind::DirectResponse => Fit::Refused,
    }
}

impl Policy for Early {
    fn option(&self) -> &'static str {
        "ratelimitEarly"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        fit(action)
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let limit = global(levels, true, notes)?;
        Some(super::wire(&wire::EarlyRateLimit { limit: Some(limit) }))
    }
}

impl Policy for Regular {
    fn option(&self) -> &'static str {
        "ratelimit"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        fit(action)
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        global(levels, false, notes).map(|limit| super::wire(&limit))
    }
}

/// What the server is asked at one of the two places.
fn global(levels: &Levels<'_, '_>, early: bool, notes: &mut Notes) -> Option<wire::RateLimit> {
    let server = levels.servers.rate_limit.as_ref();
    let mut descriptors = Vec::new();
    let mut asking = None;
    // `ratelimit` goes where the server says.
    if server.is_some_and(|server| server.before_auth) == early {
        let field = "ratelimit.rateLimits";
        let route = levels.in_route("ratelimit", |it| it.ratelimit.as_ref());
        let include = route.is_none_or(|it| it.value.include_vh_rate_limits);
        let own = levels.in_route(field, |it| some(&it.ratelimit.as_ref()?.rate_limits));
        let host = levels.in_host(field, |it| some(&it.ratelimit.as_ref()?.rate_limits));
        descriptors.extend(both(own, host, include, &mut asking, notes));
    }
    let (own, host, include) = if early {
        let route = levels.in_route("ratelimitEarly", |it| it.ratelimit_early.as_ref());
        let field = "ratelimitEarly.rateLimits";
        let own = levels.in_route(field, |it| some(&it.ratelimit_early.as_ref()?.rate_limits));
        let host = levels.in_host(field, |it| some(&it.ratelimit_early.as_ref()?.rate_limits));
        (own, host, route.is_none_or(|it| it.value.include_vh_rate_limits))
    } else {
        let route = levels.in_route("ratelimitRegular", |it| it.ratelimit_regular.as_ref());
        let field = "ratelimitRegular.rateLimits";
        let own = levels.in_route(field, |it| some(&it.ratelimit_regular.as_ref()?.rate_limits));
        let host = levels.in_host(field, |it| some(&it.ratelimit_regular.as_ref()?.rate_limits));
        (own, host, route.is_none_or(|it| it.value.include_vh_rate_limits))
    };
    descriptors.extend(both(own, host, include, &mut asking, notes));
    let asking = asking?;
    let Some(server) = server else {
        let text = "rate limits: there is no server to ask: Settings or the Gateway need \
                    `ratelimitServer.ratelimitServerRef`";
        asking.error(notes, "", text);
        return None;
    };
    (!descriptors.is_empty()).then(|| server.message(descriptors))
}

type Limits<'s> = Option<Found<'s, Vec<RateLimitActions>>>;

fn some(limits: &Vec<RateLimitActions>) -> Option<&Vec<RateLimitActions>> {
    (!limits.is_empty()).then_some(limits)
}

/// A route's limits take the place of its virtual host's, unless they are included.
fn both<'s>(
    own: Limits<'s>,
    host: Limits<'s>,
    include: bool,
    asking: &mut Limits<'s>,
    notes: &mut Notes,
) -> Vec<wire::Descriptor> {
    let host = host.filter(|_| own.is_none() || include);
    let mut descriptors = Vec::new();
    for limits in own.into_iter().chain(host) {
        for (at, limit) in limits.value.iter().enumerate() {
            descriptors.extend(action::descriptor(&limits, at, limit, notes));
        }
        asking.get_or_insert(limits);
    }
    descriptors
}
