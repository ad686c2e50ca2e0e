//! Times as text: ISO 8601 by default, strftime's conversions on request. UTC only.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// How `%START_TIME(..)%` prints. Empty = `2024-01-31T23:59:59.123Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFormat(Box<str>);

impl TimeFormat {
    /// Any text is a format; a conversion that is not known is printed as it stands.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(if text.is_empty() { "%Y-%m-%dT%H:%M:%S.%3fZ" } else { text }.into())
    }

    /// The time in this format.
    #[must_use]
    pub fn display(&self, time: SystemTime) -> impl fmt::Display {
        Shown { format: &self.0, civil: Civil::of(time) }
    }
}

/// A UTC time in calendar fields.
struct Civil {
    unix: u64,
    nanos: u32,
    year: u64,
    month: u64,
    day: u64,
    weekday: u64,
    year_day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    /// Times before 1970 count as 1970.
    fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix = since.as_secs();
        let (days, seconds) = (unix / 86_400, unix % 86_400);
        let (year, month, day) = civil_date(days);
        let year_day = days.saturating_sub(days_before(year)).saturating_add(1);
        Self {
            unix,
            nanos: since.subsec_nanos(),
            year,
            month,
            day,
            weekday: (days + 4) % 7,
            year_day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

/// Days from 1970-01-01 to the first of January of `year`.
fn days_before(year: u64) -> u64 {
    let y = year.saturating_sub(1);
    (y * 365 + y / 4 - y / 100 + y / 400).saturating_sub(719_162)
}

/// (year, month, day) of a day since 1970-01-01, by eras of 400 years that begin on the first of March.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

struct Shown<'a> {
    format: &'a str,
    civil: Civil,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                write!(f, "{c}")?;
                continue;
            }
            match chars.next() {
                Some(digit @ '1'..='9') => {
                    let width = digit.to_digit(10).unwrap_or(3);
                    match chars.next() {
                        Some('f') => self.fraction(f, width)?,
                        other => write!(f, "%{digit}{}", other.map(String::from).unwrap_or_default())?,
                    }
                }
                Some(conversion) => self.conversion(f, conversion)?,
                None => f.write_str("%")?,
            }
        }
        Ok(())
    }
}

impl Shown<'_> {
    fn fraction(&self, f: &mut fmt::Formatter<'_>, width: u32) -> fmt::Result {
        let value = self.civil.nanos / 10u32.pow(9 - width);
        write!(f, "{value:0width$}", width = width as usize)
    }

    fn conversion(&self, f: &mut fmt::Formatter<'_>, conversion: char) -> fmt::Result {
        let c = &self.civil;
        let name = |names: &[&'static str], at: u64| {
            usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or("")
        };
        let month = name(&MONTHS, c.month.saturating_sub(1));
        let weekday = name(&DAYS, c.weekday);
        let half_day = (c.hour + 11) % 12 + 1;
        match conversion {
            'Y' => write!(f, "{}", c.year),
            'y' => write!(f, "{:02}", c.year % 100),
            'm' => write!(f, "{:02}", c.month),
            'd' => write!(f, "{:02}", c.day),
            'e' => write!(f, "{:2}", c.day),
            'j' => write!(f, "{:03}", c.year_day),
            'H' => write!(f, "{:02}", c.hour),
            'I' => write!(f, "{half_day:02}"),
            'M' => write!(f, "{:02}", c.minute),
            'S' => write!(f, "{:02}", c.second),
            'p' => f.write_str(if c.hour < 12 { "AM" } else { "PM" }),
            'B' => f.write_str(month),
            'b' | 'h' => f.write_str(month.get(..3).unwrap_or("")),
            'A' => f.write_str(weekday),
            'a' => f.write_str(weekday.get(..3).unwrap_or("")),
            'T' => write!(f, "{:02}:{:02}:{:02}", c.hour, c.minute, c.second),
            'R' => write!(f, "{:02}:{:02}", c.hour, c.minute),
            'F' => write!(f, "{}-{:02}-{:02}", c.year, c.month, c.day),
            'D' => write!(f, "{:02}/{:02}/{:02}", c.month, c.day, c.year % 100),
            's' => write!(f, "{}", c.unix),
            'f' => self.fraction(f, 9),
            'z' => f.write_str("+0000"),
            'Z' => f.write_str("UTC"),
            'n' => f.write_str("\n"),
            't' => f.write_str("\t"),
            '%' => f.write_str("%"),
            other => write!(f, "%{other}"),
        }
    }
}
