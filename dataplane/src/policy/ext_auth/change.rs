//! What an auth server's answer changes of a request and of its response.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};

use crate::policy::{Headers, RequestCx};

/// The engine frames messages, whatever an auth server says.
const FRAMING: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// How a value meets what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// In its place.
    Set,
    /// Beside it.
    Append,
    /// Beside it, in the same field; not where there is none.
    Join,
    /// Only where there is none.
    IfAbsent,
    /// Only where there is one.
    IfPresent,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) field: Field,
    pub(super) value: HeaderValue,
    pub(super) how: How,
}

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Path,
    Method,
    Authority,
    Named(HeaderName),
}

/// All changes of one answer.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) request: Vec<Change>,
    pub(super) remove: Vec<HeaderName>,
    pub(super) set_query: Vec<(String, String)>,
    pub(super) remove_query: Vec<String>,
    pub(super) response: ResponseChanges,
    /// What the server notes about the request.
    pub(super) metadata: Option<prost_types::Struct>,
}

/// What the response gets; a request's slot.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ResponseChanges(pub(super) Vec<(HeaderName, HeaderValue, How)>);

/// A change that cannot be made.
#[derive(Debug)]
pub(super) struct Impossible;

impl Field {
    /// `None` = a field that nobody but the engine sets.
    pub(super) fn new(name: &str) -> Result<Option<Self>, Impossible> {
        Ok(match name {
            ":path" => Some(Field::Path),
            ":method" => Some(Field::Method),
            ":authority" => Some(Field::Authority),
            _ => match HeaderName::from_bytes(name.as_bytes()).map_err(|_| Impossible)? {
                HOST => Some(Field::Authority),
                name if FRAMING.contains(&name) => None,
                name => Some(Field::Named(name)),
            },
        })
    }
}

/// A field of an answer of the gateway's own, or of a response.
pub(super) fn response_name(name: &str) -> Result<Option<HeaderName>, Impossible> {
    Ok(match Field::new(name) {
        Ok(Some(Field::Named(name))) => Some(name),
        Ok(_) => None,
        // Pseudo headers that a response has are not the server's to set.
        Err(_) if name.starts_with(':') => None,
        Err(impossible) => return Err(impossible),
    })
}

impl How {
    fn applies(self, there: bool) -> bool {
        match self {
            How::Set | How::Append => true,
            How::Join | How::IfPresent => there,
            How::IfAbsent => !there,
        }
    }
}

fn put(headers: &mut dyn Headers, name: &HeaderName, value: &HeaderValue, how: How) {
    let before = headers.map().get(name);
    match (how, before) {
        (how, before) if !how.applies(before.is_some()) => {}
        (How::Join, Some(before)) => {
            let joined = [before.as_bytes(), value.as_bytes()].join(&b","[..]);
            if let Ok(joined) = HeaderValue::from_bytes(&joined) {
                headers.insert(name, joined);
            }
        }
        (How::Append, _) => headers.append(name, value.clone()),
        _ => headers.insert(name, value.clone()),
    }
}

impl ResponseChanges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn apply(&self, headers: &mut dyn Headers) {
        for (name, value, how) in &self.0 {
            put(headers, name, value, *how);
        }
    }
}

impl Changes {
    /// Something of the request is not as it was.
    pub(super) fn touch_request(&self) -> bool {
        !(self.request.is_empty()
            && self.remove.is_empty()
            && self.set_query.is_empty()
            && self.remove_query.is_empty())
    }

    /// Makes the changes of the request.
    pub(super) fn apply(&self, cx: &mut RequestCx<'_>) -> Result<(), Impossible> {
        for change in &self.request {
            let Change { field, value, how } = change;
            match field {
                Field::Named(name) => put(cx.headers, name, value, *how),
                // These are always there, once.
                _ if !matches!(how, How::Set | How::IfPresent) => {}
                Field::Path => {
                    let path = PathAndQuery::try_from(value.as_bytes()).map_err(|_| Impossible)?;
                    cx.line.target = Some(rooted(path)?);
                }
                Field::Method => {
                    cx.line.method = Some(Method::from_bytes(value.as_bytes()).map_err(|_| Impossible)?);
                }
                Field::Authority => {
                    let text = value.to_str().map_err(|_| Impossible)?;
                    if !crate::proxy::is_authority(text) {
                        return Err(Impossible);
                    }
                    cx.line.authority = Some(text.into());
                }
            }
        }
        for name in &self.remove {
            cx.headers.remove(name);
        }
        if self.set_query.is_empty() && self.remove_query.is_empty() {
            return Ok(());
        }
        let path = with_query(cx.path(), &self.set_query, &self.remove_query);
        cx.line.target = Some(PathAndQuery::try_from(path).map_err(|_| Impossible)?);
        Ok(())
    }
}

fn rooted(path: PathAndQuery) -> Result<PathAndQuery, Impossible> {
    if path.as_str().starts_with('/') { Ok(path) } else { Err(Impossible) }
}

/// The path with these parameters set, each once, and those removed.
fn with_query(path: &str, set: &[(String, String)], remove: &[String]) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let key = |pair: &str| pair.split_once('=').map_or(pair, |(key, _)| key).to_owned();
    let changed =
        |key: &str| set.iter().any(|(name, _)| name == key) || remove.iter().any(|name| name == key);
    let mut pairs: Vec<String> =
        query.split('&').filter(|pair| !pair.is_empty() && !changed(&key(pair))).map(str::to_owned).collect();
    pairs.extend(
        set.iter().filter(|(name, _)| !remove.contains(name)).map(|(name, value)| format!("{name}={value}")),
    );
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// The values of one name as one.
pub(super) fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    values.join(&b","[..])
}

#[cfg(test)]
mod tests {
    use super::with_query;

    #[test]
    fn query_parameters_are_set_once_and_removed() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let set = [pair("b", "2"), pair("n", "new")];
        for (path, wanted) in
            [("/p", "/p?b=2&n=new"), ("/p?a=1&b=1&b=0&c", "/p?a=1&b=2&n=new"), ("/p?c=3", "/p?b=2&n=new")]
        {
            assert_eq!(with_query(path, &set, &["c".to_owned()]), wanted, "{path}");
        }
        assert_eq!(with_query("/p?c=3", &[], &["c".to_owned()]), "/p");
    }
}
