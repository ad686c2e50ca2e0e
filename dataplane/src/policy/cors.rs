//! Which origins may use the answers from a browser.
//!
//! A preflight of an allowed origin is answered here; every other request goes on, and only the answer's fields tell a
//! browser what it may do. On a direct response the same fields stand on every answer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderName, HeaderValue, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::ValueMatcher;

use super::{Answer, LocalReply, PlanBuilder, Policy, RequestCx, ResponseCx, Verdict, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Cors";

const YES: HeaderValue = HeaderValue::from_static("true");

type Fields = Box<[(HeaderName, HeaderValue)]>;

#[derive(Debug)]
struct Cors {
    origins: Box<[ValueMatcher]>,
    /// Beside the origin, on the answer to a preflight.
    preflight: Fields,
    /// Beside the origin, on every other answer.
    actual: Fields,
}

/// The origin of a request that is allowed to use the answer.
struct Allowed(HeaderValue);

impl Policy for Cors {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        let headers = cx.headers.map();
        let Some(origin) = headers.get(ORIGIN).filter(|origin| self.allows(origin)).cloned() else {
            return Verdict::Continue;
        };
        let asks = headers.get(ACCESS_CONTROL_REQUEST_METHOD).is_some_and(|method| !method.is_empty());
        cx.slots.put(Allowed(origin));
        if cx.facts.method != "OPTIONS" || !asks {
            return Verdict::Continue;
        }
        Verdict::Reply(LocalReply {
            status: StatusCode::OK,
            reason: "cors_preflight",
            flag: "-",
            // The origin and what goes with it are added to every answer.
            headers: self.preflight.to_vec(),
            body: Bytes::new(),
        })
    }

    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        let Some(Allowed(origin)) = cx.slots.get() else { return Answer::Continue };
        cx.headers.insert(&ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        for (name, value) in &self.actual {
            cx.headers.insert(name, value.clone());
        }
        Answer::Continue
    }
}

impl Cors {
    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        !origin.is_empty() && self.origins.iter().any(|allowed| allowed.fits("*") || allowed.fits(origin))
    }
}

/// The fields of a direct response.
#[derive(Debug)]
struct Fixed(Fields);

impl Policy for Fixed {
    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        for (name, value) in &self.0 {
            cx.headers.insert(name, value.clone());
        }
        Answer::Continue
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Cors = registry::decode(bytes)?;
    let policy: Arc<dyn Policy> = if wire.fixed { Arc::new(fixed(&wire)?) } else { Arc::new(cors(wire)?) };
    builder.push(TYPE_URL, policy);
    Ok(())
}

fn cors(wire: proto::Cors) -> Result<Cors, Invalid> {
    let preflight = fields(&[
        (ACCESS_CONTROL_ALLOW_METHODS, &wire.allow_methods),
        (ACCESS_CONTROL_ALLOW_HEADERS, &wire.allow_headers),
        (ACCESS_CONTROL_MAX_AGE, &wire.max_age),
    ])?;
    let credentials = wire.allow_credentials.then_some((ACCESS_CONTROL_ALLOW_CREDENTIALS, YES));
    let actual = fields(&[(ACCESS_CONTROL_EXPOSE_HEADERS, &wire.expose_headers)])?;
    let exact = wire.origins.into_iter().map(|text| Ok(ValueMatcher::Exact(text.into())));
    let regexes = wire.origin_regexes.into_iter().enumerate();
    let regexes = regexes
        .map(|(at, text)| ValueMatcher::regex(text).map_err(|e| e.under(format!("origin_regexes[{at}]"))));
    Ok(Cors {
        origins: exact.chain(regexes).collect::<Result<_, _>>()?,
        preflight,
        actual: credentials.into_iter().chain(actual).collect(),
    })
}

fn fixed(wire: &proto::Cors) -> Result<Fixed, Invalid> {
    let origins: Vec<&str> = wire.origins.iter().chain(&wire.origin_regexes).map(String::as_str).collect();
    let credentials = if wire.allow_credentials { "true" } else { "false" };
    fields(&[
        (ACCESS_CONTROL_ALLOW_ORIGIN, &origins.join(",")),
        (ACCESS_CONTROL_ALLOW_METHODS, &wire.allow_methods),
        (ACCESS_CONTROL_ALLOW_HEADERS, &wire.allow_headers),
        (ACCESS_CONTROL_EXPOSE_HEADERS, &wire.expose_headers),
        (ACCESS_CONTROL_MAX_AGE, &wire.max_age),
        (ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials),
    ])
    .map(Fixed)
}

/// Those that say something.
fn fields(texts: &[(HeaderName, &str)]) -> Result<Fields, Invalid> {
    let said = texts.iter().filter(|(_, text)| !text.is_empty());
    said.map(|(name, text)| match HeaderValue::from_str(text) {
        Ok(value) => Ok((name.clone(), value)),
        Err(_) => Err(Invalid::new(name.as_str(), "has bytes that no header value may have")),
    })
    .collect()
}
