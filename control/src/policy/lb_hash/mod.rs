//! `lbHash`: what makes two requests go to the same endpoint, where the upstream's balancer is one that hashes.

use http::HeaderName;
use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Levels, Policy};
use crate::ir;
use crate::resource::HashKey;
use crate::translate::Notes;

/// The policy.
pub struct LbHash;

impl Policy for LbHash {
    fn option(&self) -> &'static str {
        "lbHash"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        match action {
            ActionKind::Forward | ActionKind::ForwardByHeader => Fit::Works,
            ActionKind::Redirect | ActionKind::DirectResponse => Fit::Refused,
        }
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let hash = levels.in_route("lbHash", |options| options.lb_hash.as_ref())?;
        let mut keys = Vec::new();
        for (at, policy) in hash.value.hash_policies.iter().enumerate() {
            let path = |field: &str| format!(".hashPolicies[{at}]{field}");
            let key = match policy.key() {
                None => {
                    let message = "lbHash: one of header, cookie and sourceIp: true is needed";
                    hash.error(notes, &path(""), message);
                    continue;
                }
                Some(HashKey::SourceIp) => wire::hash_key::Key::SourceIp(true),
                Some(HashKey::Header(name)) => match HeaderName::from_bytes(name.as_bytes()) {
                    Ok(name) => wire::hash_key::Key::Header(name.as_str().to_owned()),
                    // Pseudo headers are what HTTP/2 has in their place.
                    Err(_) if [":authority", ":path", ":method", ":scheme"].contains(&name) => {
                        wire::hash_key::Key::Header(name.to_owned())
                    }
                    Err(_) => {
                        hash.error(notes, &path(".header"), format!("lbHash: [{name}] is not a header name"));
                        continue;
                    }
                },
                Some(HashKey::Cookie(cookie)) => {
                    let token = |text: &str| HeaderName::from_bytes(text.as_bytes()).is_ok();
                    if !token(&cookie.name) {
                        let message = format!("lbHash: [{}] is not a cookie's name", cookie.name);
                        hash.error(notes, &path(".cookie.name"), message);
                    }
                    let visible = |byte: u8| byte.is_ascii_graphic() && byte != b';';
                    if !cookie.path.bytes().all(visible) {
                        let message = format!("lbHash: [{}] is not a cookie's path", cookie.path);
                        hash.error(notes, &path(".cookie.path"), message);
                    }
                    let ttl_s = cookie.ttl.map(|ttl| {
                        let seconds = ttl.to_std().map(|ttl| ttl.as_secs());
                        if seconds.is_none() {
                            hash.error(notes, &path(".cookie.ttl"), format!("lbHash: {ttl} is negative"));
                        }
                        seconds.unwrap_or(0)
                    });
                    let (name, path) = (cookie.name.clone(), cookie.path.clone());
                    wire::hash_key::Key::Cookie(wire::HashCookie { name, ttl_s, path })
                }
            };
            keys.push(wire::HashKey { key: Some(key), terminal: policy.terminal });
        }
        (!keys.is_empty()).then(|| super::wire(&wire::Hash { keys }))
    }
}
