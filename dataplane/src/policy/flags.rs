//! Envoy's response flags: two to four letters each for what was odd about an exchange, as dashboards look for them.

use std::borrow::Cow;

/// In the order in which Envoy writes them: as they come, and retries are given up before the last failure counts.
const ORDER: &[&str] = &[
    "URX", "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC",
    "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
];

/// The flags of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    set: u32,
    text: Cow<'static, str>,
}

impl Flags {
    /// Adds one; what is no flag, such as "-", adds nothing.
    pub fn insert(&mut self, flag: &'static str) {
        let Some(at) = ORDER.iter().position(|known| *known == flag) else { return };
        let before = self.set;
        self.set |= 1 << at;
        if before == 0 {
            self.text = Cow::Borrowed(flag);
        } else if self.set != before {
            let flags: Vec<_> = self.each().collect();
            self.text = Cow::Owned(flags.join(","));
        }
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &Flags) {
        other.each().for_each(|flag| self.insert(flag));
    }

    fn each(&self) -> impl Iterator<Item = &'static str> {
        let set = self.set;
        ORDER.iter().enumerate().filter(move |(at, _)| set & (1 << at) != 0).map(|(_, flag)| *flag)
    }

    /// Separated by commas; "-" for none.
    pub fn as_str(&self) -> &str {
        if self.set == 0 { "-" } else { &self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_in_envoy_s_order_each_once() {
        let mut flags = Flags::default();
        assert_eq!(flags.as_str(), "-");
        flags.insert("-");
        assert_eq!(flags.as_str(), "-");
        flags.insert("FI");
        flags.insert("FI");
        assert_eq!(flags.as_str(), "FI");
        let mut delayed = Flags::default();
        delayed.insert("DI");
        flags.extend(&delayed);
        assert_eq!(flags.as_str(), "DI,FI");
    }
}
