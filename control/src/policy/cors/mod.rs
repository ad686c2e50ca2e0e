//! `cors`: the one option that is merged field by field; each comes from the route if it is there, else from the
//! virtual host.
//!
//! A direct response with a policy of its own has fixed fields, and a redirect cannot have one. The virtual host's
//! policy acts on both as on any route.

use http::HeaderValue;
use portcullis_proto::policy::v1 as wire;
use portcullis_shared::routing::pattern;

use super::{ActionKind, Found, Levels, Policy};
use crate::ir;
use crate::resource::{CorsPolicy, MergeStrategy};
use crate::translate::Notes;

/// The policy.
pub struct Cors;

impl Policy for Cors {
    fn option(&self) -> &'static str {
        "cors"
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        self.lower_for(ActionKind::Forward, levels, notes)
    }

    fn lower_for(
        &self,
        action: ActionKind,
        levels: &Levels<'_, '_>,
        notes: &mut Notes,
    ) -> Option<ir::Policy> {
        let host = levels.in_host("cors", |options| options.cors.as_ref());
        let route = levels.in_route("cors", |options| options.cors.as_ref());
        for found in host.iter().chain(&route) {
            check(found, notes);
        }
        if let Some(host) = host.as_ref().filter(|host| host.value.disable_for_route) {
            host.warning(notes, ".disableForRoute", "cors: disableForRoute has no effect on a virtual host");
        }
        if let (Some(route), ActionKind::Redirect) = (&route, action) {
            route.error(notes, "", "cors is not possible with the action of this route");
            return None;
        }
        if route.as_ref().is_some_and(|route| route.value.disable_for_route) {
            return None;
        }
        let union = levels
            .in_host("corsPolicyMergeSettings", |options| options.cors_policy_merge_settings.as_ref())
            .is_some_and(|found| found.value.expose_headers == MergeStrategy::Union);
        let (host, route) = (host.map(|it| it.value), route.map(|it| it.value));
        let fixed = route.is_some() && action == ActionKind::DirectResponse;
        let both = Both { host, route };
        let origins = route.or(host)?;
        Some(super::wire(&wire::Cors {
            origins: origins.allow_origin.clone(),
            origin_regexes: origins.allow_origin_regex.clone(),
            allow_methods: both.list(|it| &it.allow_methods).join(","),
            allow_headers: both.list(|it| &it.allow_headers).join(","),
            expose_headers: match union {
                true => both.union(|it| &it.expose_headers).join(","),
                false => both.list(|it| &it.expose_headers).join(","),
            },
            max_age: both.first(|it| it.max_age.as_str(), |text| text.is_empty()).to_owned(),
            allow_credentials: both.first(|it| it.allow_credentials, |allowed| !allowed),
            fixed,
        }))
    }
}

/// The two levels of one route.
struct Both<'s> {
    host: Option<&'s CorsPolicy>,
    route: Option<&'s CorsPolicy>,
}

impl<'s> Both<'s> {
    /// A field from the first level where it says something.
    fn first<T: Default>(&self, get: impl Fn(&'s CorsPolicy) -> T, is_empty: impl Fn(&T) -> bool) -> T {
        let mut values = [self.route, self.host].into_iter().flatten().map(get);
        values.find(|value| !is_empty(value)).unwrap_or_default()
    }

    fn list(&self, get: impl Fn(&'s CorsPolicy) -> &'s Vec<String>) -> &'s [String] {
        self.first(|it| get(it).as_slice(), |list| list.is_empty())
    }

    /// The virtual host's, then what only the route has.
    fn union(&self, get: impl Fn(&'s CorsPolicy) -> &'s Vec<String>) -> Vec<&'s str> {
        let mut all: Vec<&str> = Vec::new();
        for text in [self.host, self.route].into_iter().flatten().flat_map(get) {
            if !all.contains(&text.as_str()) {
                all.push(text);
            }
        }
        all
    }
}

fn check(cors: &Found<'_, CorsPolicy>, notes: &mut Notes) {
    let value = cors.value;
    if value.allow_origin.is_empty() && value.allow_origin_regex.is_empty() {
        cors.error(notes, "", "cors must provide at least one of allowOrigin or allowOriginRegex");
    }
    for (at, regex) in value.allow_origin_regex.iter().enumerate() {
        if let Err(problem) = pattern::full(regex) {
            let said = format!("cors: invalid regex [{regex}]: {problem}");
            cors.error(notes, &format!(".allowOriginRegex[{at}]"), said);
        }
    }
    let lists = [
        (".allowMethods", value.allow_methods.as_slice()),
        (".allowHeaders", value.allow_headers.as_slice()),
        (".exposeHeaders", value.expose_headers.as_slice()),
        (".maxAge", std::slice::from_ref(&value.max_age)),
    ];
    for (field, texts) in lists {
        if texts.iter().any(|text| HeaderValue::from_str(text).is_err()) {
            cors.error(notes, field, "cors: there are characters that a header cannot have");
        }
    }
    if !value.max_age.is_empty() && value.max_age.parse::<u64>().is_err() {
        let said = format!("cors: maxAge [{}] is not a number of seconds: browsers ignore it", value.max_age);
        cors.warning(notes, ".maxAge", said);
    }
}
