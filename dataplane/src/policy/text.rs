//! A condition on a text, as several policies have it.

use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::pattern;
use proto::text_match::How;
use regex::Regex;

/// See the module.
#[derive(Debug)]
pub(super) enum TextMatcher {
    Exact { text: Box<str>, ignore_case: bool },
    Prefix { text: Box<str>, ignore_case: bool },
    Suffix { text: Box<str>, ignore_case: bool },
    Regex(Regex),
}

impl TextMatcher {
    /// Whether `text` fits. Case is that of ASCII letters.
    pub(super) fn fits(&self, text: &str) -> bool {
        let (text, same) = (text.as_bytes(), equal);
        match self {
            Self::Exact { text: wanted, ignore_case } => same(text, wanted, *ignore_case),
            Self::Prefix { text: wanted, ignore_case } => {
                text.get(..wanted.len()).is_some_and(|part| same(part, wanted, *ignore_case))
            }
            Self::Suffix { text: wanted, ignore_case } => text
                .len()
                .checked_sub(wanted.len())
                .and_then(|at| text.get(at..))
                .is_some_and(|part| same(part, wanted, *ignore_case)),
            Self::Regex(regex) => std::str::from_utf8(text).is_ok_and(|text| regex.is_match(text)),
        }
    }
}

fn equal(text: &[u8], wanted: &str, ignore_case: bool) -> bool {
    if ignore_case { text.eq_ignore_ascii_case(wanted.as_bytes()) } else { text == wanted.as_bytes() }
}

impl TryFrom<proto::TextMatch> for TextMatcher {
    type Error = Invalid;

    fn try_from(wire: proto::TextMatch) -> Result<Self, Invalid> {
        let ignore_case = wire.ignore_case;
        Ok(match wire.how.ok_or_else(|| Invalid::new("how", "missing"))? {
            How::Exact(text) => Self::Exact { text: text.into(), ignore_case },
            How::Prefix(text) => Self::Prefix { text: text.into(), ignore_case },
            How::Suffix(text) => Self::Suffix { text: text.into(), ignore_case },
            How::Regex(text) => Self::Regex(pattern::full(&text).map_err(|e| Invalid::new("regex", e))?),
        })
    }
}
