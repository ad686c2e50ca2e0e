//! A place in an Upstream: what is wrong there is told with its path.

use std::time::Duration;

use crate::resource::{GoDuration, ObjectRef};
use crate::translate::Notes;

/// See the module.
pub(super) struct Field<'a> {
    owner: &'a ObjectRef,
    path: String,
    notes: &'a mut Notes,
}

impl<'a> Field<'a> {
    pub(super) fn new(owner: &'a ObjectRef, path: &str, notes: &'a mut Notes) -> Self {
        Self { owner, path: path.to_owned(), notes }
    }

    /// A field inside this one.
    pub(super) fn at(&mut self, name: &str) -> Field<'_> {
        Field { owner: self.owner, path: format!("{}.{name}", self.path), notes: self.notes }
    }

    pub(super) fn error(&mut self, message: impl Into<String>) {
        self.notes.error(self.owner, self.path.as_str(), message);
    }

    pub(super) fn warning(&mut self, message: impl Into<String>) {
        self.notes.warning(self.owner, self.path.as_str(), message);
    }

    /// An error in place of a value.
    pub(super) fn fail<T>(&mut self, message: impl Into<String>) -> Option<T> {
        self.error(message);
        None
    }

    /// A duration above 0, if there is one. Less than a millisecond is one.
    pub(super) fn positive(&mut self, value: Option<GoDuration>) -> Option<Duration> {
        let value = value?;
        match value.to_millis() {
            Some(millis @ 1..) => Some(Duration::from_millis(millis)),
            _ => self.fail(format!("{value} is not above 0")),
        }
    }

    /// A duration above 0.
    pub(super) fn needed(&mut self, value: Option<GoDuration>) -> Option<Duration> {
        if value.is_none() {
            self.error("is needed: a duration such as `5s`");
        }
        self.positive(value)
    }

    /// A duration that is not negative, if there is one.
    pub(super) fn at_least_nothing(&mut self, value: Option<GoDuration>) -> Option<Duration> {
        let value = value?;
        match value.to_millis() {
            Some(millis) => Some(Duration::from_millis(millis)),
            None => self.fail(format!("{value} is negative")),
        }
    }

    /// A percentage, if there is one.
    pub(super) fn percent(&mut self, value: Option<f64>) -> Option<f64> {
        let value = value?;
        if !(0.0..=100.0).contains(&value) {
            return self.fail(format!("{value} is not a percentage: write 0 to 100"));
        }
        Some(value)
    }
}
