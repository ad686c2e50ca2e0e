//! Path templates of `google.api.http`: `/v1/{name=shelves/*}/books/**:verb`.
//!
//! A template is compared with a path segment by segment, once; nothing is tried twice.

use std::ops::Range;

use thiserror::Error;

use crate::percent;

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// This text. Stands before wildcards where several templates fit.
    Literal(Box<str>),
    /// One segment.
    One,
    /// Any number of segments, only as the last one.
    Rest,
}

/// What a variable stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    /// Names of fields, from the request message down.
    pub(super) field: Vec<String>,
    /// The template's segments that it covers.
    segments: Range<usize>,
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) segments: Vec<Segment>,
    pub(super) variables: Vec<Variable>,
    /// After the colon.
    pub(super) verb: Option<Box<str>>,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It has to start with a slash.
    #[error("it does not start with `/`")]
    Slash,
    /// Between two slashes, or at the end.
    #[error("a segment is empty")]
    Empty,
    /// Something may follow only the verb.
    #[error("`**` is not the last segment")]
    Rest,
    /// A brace is missing, or one is too many.
    #[error("the braces do not fit")]
    Braces,
    /// Not a dotted name.
    #[error("`{0}` is not a field path")]
    Field(String),
    /// `*` within other text.
    #[error("`{0}` is neither a literal nor a wildcard")]
    Literal(String),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// It is malformed.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut rest = text.strip_prefix('/').ok_or(Malformed::Slash)?;
        let mut template = Self { segments: Vec::new(), variables: Vec::new(), verb: None };
        loop {
            let end = end_of_segment(rest)?;
            let (segment, tail) = rest.split_at(end);
            template.part(segment)?;
            match tail.split_at_checked(1) {
                None => break,
                Some((":", verb)) if !verb.is_empty() && !verb.contains(['/', '{', '}', '*']) => {
                    template.verb = Some(verb.into());
                    break;
                }
                Some(("/", more)) => rest = more,
                Some((_, more)) => return Err(Malformed::Literal(more.to_owned())),
            }
        }
        let last = template.segments.len().saturating_sub(1);
        if template.segments.iter().take(last).any(|segment| *segment == Segment::Rest) {
            return Err(Malformed::Rest);
        }
        Ok(template)
    }

    /// A segment, or a variable with all of its segments.
    fn part(&mut self, text: &str) -> Result<(), Malformed> {
        let Some(variable) = text.strip_prefix('{') else { return self.plain(text) };
        let variable = variable.strip_suffix('}').ok_or(Malformed::Braces)?;
        let (field, segments) = variable.split_once('=').unwrap_or((variable, "*"));
        let names: Vec<String> = field.split('.').map(str::to_owned).collect();
        if names.iter().any(|name| !is_name(name)) {
            return Err(Malformed::Field(field.to_owned()));
        }
        let start = self.segments.len();
        for segment in segments.split('/') {
            self.plain(segment)?;
        }
        self.variables.push(Variable { field: names, segments: start..self.segments.len() });
        Ok(())
    }

    fn plain(&mut self, text: &str) -> Result<(), Malformed> {
        self.segments.push(match text {
            "" => return Err(Malformed::Empty),
            "*" => Segment::One,
            "**" => Segment::Rest,
            _ if text.contains(['{', '}']) => return Err(Malformed::Braces),
            _ if text.contains('*') => return Err(Malformed::Literal(text.to_owned())),
            _ => Segment::Literal(text.into()),
        });
        Ok(())
    }

    /// The order in which templates are tried: a literal before `*` before `**`, from the left.
    pub(super) fn rank(&self) -> Vec<u8> {
        let rank = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::One => 1,
            Segment::Rest => 2,
        };
        self.segments.iter().map(rank).collect()
    }

    /// Two templates of the same shape fit the same paths.
    pub(super) fn same_shape(&self, other: &Self) -> bool {
        self.segments == other.segments && self.verb == other.verb
    }

    pub(super) fn matches(&self, path: &[&str]) -> bool {
        let ends = match self.segments.last() {
            Some(Segment::Rest) => path.len() >= self.segments.len() - 1,
            _ => path.len() == self.segments.len(),
        };
        ends && self.segments.iter().zip(path).all(|(segment, part)| match segment {
            Segment::Literal(text) => **text == **part,
            Segment::One | Segment::Rest => true,
        })
    }

    /// What `variable` stands for in a path that fits, percent-decoded: several segments keep what is reserved in paths.
    pub(super) fn value(&self, variable: &Variable, path: &[&str]) -> String {
        let open = variable.segments.end == self.segments.len()
            && matches!(self.segments.last(), Some(Segment::Rest));
        let end = if open { path.len() } else { variable.segments.end };
        let parts = path.get(variable.segments.start..end).unwrap_or_default();
        match parts {
            [one] => percent::decoded(one),
            many => {
                many.iter().map(|part| percent::decoded_but(part, RESERVED)).collect::<Vec<_>>().join("/")
            }
        }
    }
}

/// Where the segment, or the variable, at the beginning of `text` ends.
fn end_of_segment(text: &str) -> Result<usize, Malformed> {
    let mut inside = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if inside => return Err(Malformed::Braces),
            b'{' => inside = true,
            b'}' if !inside => return Err(Malformed::Braces),
            b'}' => inside = false,
            b'/' | b':' if !inside => return Ok(at),
            _ => {}
        }
    }
    if inside { Err(Malformed::Braces) } else { Ok(text.len()) }
}

fn is_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The segments of a path and its verb, if that is one of `verbs`. Slashes at the end do not count.
pub(super) fn split<'p>(path: &'p str, verbs: &[Box<str>]) -> (Vec<&'p str>, Option<&'p str>) {
    let (path, verb) = match path.rsplit_once(':') {
        Some((before, verb)) if !verb.contains('/') && verbs.iter().any(|known| **known == *verb) => {
            (before, Some(verb))
        }
        _ => (path, None),
    };
    let mut segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    while segments.last().is_some_and(|last| last.is_empty()) {
        segments.pop();
    }
    (segments, verb)
}

/// What is reserved in paths (RFC 6570).
const RESERVED: &[u8] = b":/?#[]@!$&'()*+,;=";

#[cfg(test)]
mod tests {
    use super::*;

    fn values(template: &str, path: &str) -> Option<Vec<(String, String)>> {
        let template = Template::parse(template).unwrap();
        let verbs: Vec<Box<str>> = template.verb.iter().cloned().collect();
        let (segments, verb) = split(path, &verbs);
        if verb != template.verb.as_deref() || !template.matches(&segments) {
            return None;
        }
        let value = |it: &Variable| (it.field.join("."), template.value(it, &segments));
        Some(template.variables.iter().map(value).collect())
    }

    #[test]
    fn templates_fit_paths_and_give_values() {
        for (template, path, wanted) in [
            ("/v1/shelves", "/v1/shelves", Some(vec![])),
            ("/v1/shelves", "/v1/shelves/", Some(vec![])),
            ("/v1/shelves", "/v1/shelves/1", None),
            ("/v1/shelves/{shelf}", "/v1/shelves/a%2Fb%20c", Some(vec![("shelf", "a/b c")])),
            ("/v1/{name=shelves/*}", "/v1/shelves/a%20b%2F", Some(vec![("name", "shelves/a b%2F")])),
            ("/v1/{name=shelves/*}/x", "/v1/books/1/x", None),
            (
                "/v1/{book.shelf.id}/b/{book.id}",
                "/v1/7/b/9",
                Some(vec![("book.shelf.id", "7"), ("book.id", "9")]),
            ),
            ("/v1/{rest=**}", "/v1", Some(vec![("rest", "")])),
            ("/v1/{rest=**}", "/v1/a/b/c", Some(vec![("rest", "a/b/c")])),
            ("/v1/{rest=a/**}", "/v1/b/c", None),
            ("/v1/**", "/v1/a/b", Some(vec![])),
            ("/v1/*/b", "/v1/a/b", Some(vec![])),
            ("/v1/{name}:cancel", "/v1/x:cancel", Some(vec![("name", "x")])),
            ("/v1/{name}:cancel", "/v1/x", None),
            ("/v1/{name=**}:cancel", "/v1/x/y:cancel", Some(vec![("name", "x/y")])),
            ("/v1/{name}", "/v1/x:other", Some(vec![("name", "x:other")])),
        ] {
            let wanted = wanted
                .map(|list| list.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>());
            assert_eq!(values(template, path), wanted, "{template} {path}");
        }
    }

    #[test]
    fn what_is_no_template_is_told() {
        for (text, wanted) in [
            ("v1", Malformed::Slash),
            ("", Malformed::Slash),
            ("/v1//x", Malformed::Empty),
            ("/v1/", Malformed::Empty),
            ("/**/x", Malformed::Rest),
            ("/{a=**/x}", Malformed::Rest),
            ("/{a", Malformed::Braces),
            ("/a}", Malformed::Braces),
            ("/{a={b}}", Malformed::Braces),
            ("/{a}b", Malformed::Braces),
            ("/{}", Malformed::Field(String::new())),
            ("/{a..b}", Malformed::Field("a..b".into())),
            ("/a*", Malformed::Literal("a*".into())),
        ] {
            assert_eq!(Template::parse(text), Err(wanted), "{text}");
        }
    }
}
