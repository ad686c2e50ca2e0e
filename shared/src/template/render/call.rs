//! What each function does.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::super::METADATA_NAMESPACE;
use super::super::number::{self, Numeric};
use super::super::value::{self, Val};
use super::{Error, Expr, Function, Kind, Position, Run, fail};

/// Where a call stands and of which function it is, for messages.
#[derive(Clone, Copy)]
struct Here {
    function: Function,
    at: Position,
}

impl Here {
    fn needs<T>(self, wanted: &str, found: &Val<'_>) -> Result<T, Error> {
        fail(self.at, format!("`{}` needs {wanted}, found {}", self.function.name(), found.describe()))
    }

    fn text<'a>(self, value: &'a Val<'_>) -> Result<&'a str, Error> {
        value.text().map_or_else(|| self.needs("a text", value), Ok)
    }

    fn number(self, value: &Val<'_>) -> Result<Numeric, Error> {
        value.number().map_or_else(|| self.needs("a number", value), Ok)
    }

    fn whole(self, value: &Val<'_>) -> Result<i64, Error> {
        self.number(value).map(Numeric::whole)
    }

    fn list<'a>(self, value: &'a Val<'_>) -> Result<&'a [Value], Error> {
        value.json().as_array().map_or_else(|| self.needs("a list", value), |list| Ok(list.as_slice()))
    }
}

impl<'r> Run<'r> {
    pub(super) fn call(
        &mut self,
        function: Function,
        arguments: &'r [Expr],
        at: Position,
    ) -> Result<Val<'r>, Error> {
        if function == Function::Default {
            return self.default(arguments);
        }
        let mut values = smallvec::SmallVec::<[Val<'r>; 3]>::new();
        for argument in arguments {
            values.push(self.eval(argument)?);
        }
        let here = Here { function, at };
        let null = || Val::owned(Value::Null);
        let mut values = values.into_iter();
        let (first, second, third) = (values.next(), values.next(), values.next());
        let x = first.unwrap_or_else(null);
        let of_text = |value: &Val<'r>| here.text(value).map(str::to_owned);
        match function {
            Function::Default => Ok(x),
            Function::Body => match self.message.body() {
                Some(body) => Ok(Val::Text(Cow::Borrowed(body))),
                None => fail(at, "the body is not UTF-8 text"),
            },
            Function::Context => Ok(Val::borrowed(self.context)),
            Function::Header => {
                let name = here.text(&x)?.to_ascii_lowercase();
                Ok(Val::Text(self.message.header(&name).unwrap_or_default()))
            }
            Function::RequestHeader => {
                let name = here.text(&x)?.to_ascii_lowercase();
                Ok(Val::Text(self.message.request_header(&name).unwrap_or_default()))
            }
            Function::Extraction => {
                Ok(Val::Text(Cow::Borrowed(self.message.extraction(here.text(&x)?).unwrap_or_default())))
            }
            Function::Env => {
                let value = std::env::var(here.text(&x)?).unwrap_or_default();
                self.made(value, at)
            }
            Function::ClusterMetadata => Ok(Val::empty()),
            Function::DynamicMetadata => {
                let namespace = match &second {
                    Some(namespace) => here.text(namespace)?,
                    None => METADATA_NAMESPACE,
                };
                Ok(self.metadata(namespace, here.text(&x)?))
            }
            Function::Base64Encode => {
                let text = of_text(&x)?;
                self.afford(at, text.len().saturating_mul(2))?;
                Ok(Val::Text(BASE64_STANDARD.encode(text).into()))
            }
            Function::Base64UrlEncode => {
                let text = of_text(&x)?;
                self.afford(at, text.len().saturating_mul(2))?;
                Ok(Val::Text(BASE64_URL_SAFE_NO_PAD.encode(text).into()))
            }
            Function::Base64Decode => {
                let bytes = BASE64_STANDARD.decode(here.text(&x)?).unwrap_or_default();
                self.made(String::from_utf8_lossy(&bytes).into_owned(), at)
            }
            Function::Base64UrlDecode => {
                let bytes = BASE64_URL_SAFE_NO_PAD.decode(here.text(&x)?).unwrap_or_default();
                self.made(String::from_utf8_lossy(&bytes).into_owned(), at)
            }
            Function::Substring => {
                let text = substring(here.text(&x)?, second.as_ref(), third.as_ref());
                self.made(text, at)
            }
            Function::Trim => self.made(here.text(&x)?.trim().to_owned(), at),
            Function::Upper => self.made(here.text(&x)?.to_ascii_uppercase(), at),
            Function::Lower => self.made(here.text(&x)?.to_ascii_lowercase(), at),
            Function::Capitalize => {
                let mut text = here.text(&x)?.to_ascii_lowercase();
                if let Some(first) = text.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                self.made(text, at)
            }
            Function::Replace => {
                let (from, to) = (second.unwrap_or_else(null), third.unwrap_or_else(null));
                self.replace(here.text(&x)?, here.text(&from)?, here.text(&to)?, at)
            }
            Function::ReplaceWithRandom => {
                let pattern = second.unwrap_or_else(null);
                let pattern = here.text(&pattern)?;
                let random = self.message.random(pattern);
                self.replace(here.text(&x)?, pattern, &random, at)
            }
            Function::RawString => {
                let text = here.text(&x)?;
                self.afford(at, text.len())?;
                Ok(Val::Text(value::escaped(text).into()))
            }
            Function::WordCount => {
                self.spend(at, value::weight(x.json()))?;
                Ok(Val::owned(x.text().map_or_else(|| words(x.json()), words_in)))
            }
            Function::Length => Ok(Val::owned(match (x.text(), x.json()) {
                (Some(text), _) => text.len(),
                (_, Value::Array(list)) => list.len(),
                (_, Value::Object(map)) => map.len(),
                (_, Value::Null) => 0,
                _ => 1,
            })),
            Function::First | Function::Last => {
                here.list(&x)?;
                let last = function == Function::Last;
                let pick = |list: &[Value]| if last { list.len().checked_sub(1) } else { Some(0) };
                let index = pick(here.list(&x)?).unwrap_or_default().to_string();
                self.member(x, &index, at)
            }
            Function::Max | Function::Min => {
                let list = here.list(&x)?;
                self.spend(at, list.len() as u64)?;
                let best = match function {
                    Function::Max => list.iter().rev().max_by(|a, b| value::compare(a, b)),
                    _ => list.iter().min_by(|a, b| value::compare(a, b)),
                };
                match best.cloned() {
                    Some(best) => self.kept(best, at),
                    None => fail(at, format!("`{}` of an empty list", function.name())),
                }
            }
            Function::Sort => {
                let list = here.list(&x)?;
                self.spend(at, value::weight(x.json()).saturating_mul(4))?;
                let mut list = list.to_vec();
                list.sort_by(value::compare);
                Ok(Val::owned(list))
            }
            Function::Join => {
                let separator = second.unwrap_or_else(null);
                let separator = here.text(&separator)?;
                let list = here.list(&x)?;
                let length = value::weight(x.json()).saturating_mul(64);
                let gaps = list.len().saturating_mul(separator.len());
                self.afford(at, usize::try_from(length).unwrap_or(usize::MAX).saturating_add(gaps))?;
                let texts: Vec<Cow<'_, str>> = list
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| value::dump(item).into(), Cow::Borrowed))
                    .collect();
                self.made(texts.join(separator), at)
            }
            Function::Range => {
                let count = here.whole(&x)?;
                let Ok(steps) = u64::try_from(count) else {
                    return fail(at, "`range` needs a number that is not negative");
                };
                self.spend(at, steps)?;
                Ok(Val::owned((0..count).map(Value::from).collect::<Vec<_>>()))
            }
            Function::Round => {
                let precision = here.whole(&second.unwrap_or_else(null))?;
                let scale = 10_f64.powf(precision as f64);
                let rounded = (here.number(&x)?.float() * scale).round() / scale;
                match precision {
                    0 => Ok(Val::owned(rounded as i64)),
                    _ => number::float(rounded).map(Val::owned).or_else(|problem| fail(at, problem)),
                }
            }
            Function::Int => match (x.number(), x.text().and_then(leading_whole)) {
                (Some(number), _) => Ok(Val::owned(number.whole())),
                (_, Some(number)) => Ok(Val::owned(number)),
                _ => fail(at, "`int` needs a text that begins with a whole number"),
            },
            Function::Float => match (x.number(), x.text().and_then(|text| text.trim().parse().ok())) {
                (Some(number), _) => {
                    number::float(number.float()).map(Val::owned).or_else(|problem| fail(at, problem))
                }
                (_, Some(number)) => {
                    number::float(number).map(Val::owned).or_else(|problem| fail(at, problem))
                }
                _ => fail(at, "`float` needs a text that is a number"),
            },
            Function::Even => Ok(Val::owned(here.whole(&x)?.wrapping_rem(2) == 0)),
            Function::Odd => Ok(Val::owned(here.whole(&x)?.wrapping_rem(2) != 0)),
            Function::DivisibleBy => {
                let divisor = here.whole(&second.unwrap_or_else(null))?;
                Ok(Val::owned(here.whole(&x)?.checked_rem(divisor) == Some(0)))
            }
            Function::At => {
                let key = second.unwrap_or_else(null);
                let name = match (x.json(), key.text()) {
                    (Value::Object(_), Some(name)) => name.to_owned(),
                    (Value::Array(_), None) => here.whole(&key)?.to_string(),
                    (Value::Object(_), None) => return here.needs("a text as the key of an object", &key),
                    (Value::Array(_), Some(_)) => return here.needs("a number as the index of a list", &key),
                    _ => return here.needs("an object or a list", &x),
                };
                self.member(x, &name, at)
            }
            Function::Exists => {
                let path: Vec<Box<str>> = here.text(&x)?.split(['.', '/']).map(Into::into).collect();
                Ok(Val::owned(self.context.is_object() && value::descend(self.context, &path).is_some()))
            }
            Function::ExistsIn => {
                let key = second.unwrap_or_else(null);
                let key = here.text(&key)?;
                Ok(Val::owned(x.json().as_object().is_some_and(|map| map.contains_key(key))))
            }
            Function::IsString => Ok(Val::owned(x.text().is_some())),
            Function::IsNumber => Ok(Val::owned(x.json().is_number())),
            Function::IsInteger => Ok(Val::owned(x.json().is_i64() || x.json().is_u64())),
            Function::IsFloat => Ok(Val::owned(x.json().is_f64())),
            Function::IsBoolean => Ok(Val::owned(x.json().is_boolean())),
            Function::IsArray => Ok(Val::owned(x.json().is_array())),
            Function::IsObject => Ok(Val::owned(x.json().is_object())),
        }
    }

    /// The first argument, if it is a variable that is there or anything else.
    fn default(&mut self, arguments: &'r [Expr]) -> Result<Val<'r>, Error> {
        let [wanted, other] = arguments else { return Ok(Val::empty()) };
        match &wanted.kind {
            Kind::Variable(variable) => match self.variable(variable, wanted.at)? {
                Some(value) => Ok(value),
                None => self.eval(other),
            },
            _ => self.eval(wanted),
        }
    }

    fn made(&mut self, text: String, at: Position) -> Result<Val<'r>, Error> {
        self.afford(at, text.len())?;
        Ok(Val::Text(Cow::Owned(text)))
    }

    fn kept(&mut self, value: Value, at: Position) -> Result<Val<'r>, Error> {
        self.spend(at, value::weight(&value))?;
        Ok(Val::owned(value))
    }

    fn replace(&mut self, text: &str, from: &str, to: &str, at: Position) -> Result<Val<'r>, Error> {
        if from.is_empty() {
            return self.made(text.to_owned(), at);
        }
        let count = text.matches(from).count();
        let length = text.len().saturating_add(count.saturating_mul(to.len()));
        self.afford(at, length)?;
        Ok(Val::Text(Cow::Owned(text.replace(from, to))))
    }

    /// `a:b` goes down into objects. Objects and lists come as JSON text, booleans as words.
    fn metadata(&self, namespace: &str, key: &str) -> Val<'r> {
        let mut parts = key.split(':');
        let first = parts.next().unwrap_or_default();
        let found = self.message.dynamic_metadata(namespace, first);
        let found = parts.try_fold(found, |value, part| value.map(|value| value::member(value, part)));
        match found.flatten() {
            None | Some(Value::Null) => Val::empty(),
            Some(value @ (Value::String(_) | Value::Number(_))) => Val::borrowed(value),
            Some(value) => Val::Text(Cow::Owned(value::dump(value))),
        }
    }
}

/// By bytes; a start that is not in the text gives nothing, a length that is too long everything.
fn substring(text: &str, start: Option<&Val<'_>>, length: Option<&Val<'_>>) -> String {
    let whole = |value: &Val<'_>| match value.number() {
        Some(Numeric::Whole(number)) => Some(number),
        _ => None,
    };
    let Some(start) = start.and_then(whole).and_then(|start| usize::try_from(start).ok()) else {
        return String::new();
    };
    let length = match length.map(whole) {
        None => 0,
        Some(Some(length)) => length,
        Some(None) => return String::new(),
    };
    let rest = match text.as_bytes().get(start..) {
        None | Some([]) => return String::new(),
        Some(rest) => rest,
    };
    let cut = usize::try_from(length).ok().filter(|length| *length > 0).and_then(|length| rest.get(..length));
    String::from_utf8_lossy(cut.unwrap_or(rest)).into_owned()
}

fn leading_whole(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = text.get(sign..)?.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..sign.saturating_add(digits))?.parse().ok()
}

fn words_in(text: &str) -> usize {
    text.split_ascii_whitespace().count()
}

fn words(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => words_in(text),
        Value::Array(list) => list.iter().map(words).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| words_in(key) + words(value)).sum(),
    }
}
