//! Finds the first route that matches, at a cost that does not grow with the number of routes.
//!
//! A few simple routes are scanned. Of more, exact paths lie in a hash map, prefixes in a radix tree, and so does an
//! expression under the texts it begins with. Whatever a request's path leads to are candidates; they are tried in route
//! order, and the first that matches wins. The answer is that of a scan, which a property test asserts.

use std::collections::{BTreeMap, HashMap};

use smallvec::SmallVec;

use super::{
    Matcher, PathMatcher, RequestView,
    bucket::{Bucket, NONE},
    pattern,
    radix::Radix,
};

/// Paths up to this length are lowered without allocating.
const INLINE: usize = 256;

/// Simple routes up to this number are scanned: that is as quick, and there may be many thousands of such tables.
const SCAN: usize = 8;

/// Index over the matchers of a virtual host's routes. It holds positions only; the matchers stay with their routes.
#[derive(Debug)]
pub struct RouteIndex(Form);

#[derive(Debug)]
enum Form {
    /// So many routes.
    Scan(usize),
    Index(Box<Index>),
}

#[derive(Debug)]
struct Index {
    buckets: Vec<Bucket>,
    exact: HashMap<Box<[u8]>, u32>,
    /// Lower case.
    exact_any_case: HashMap<Box<[u8]>, u32>,
    /// Prefixes, and beginnings of expressions.
    prefix: Radix,
    /// Lower case.
    prefix_any_case: Radix,
    connect: Option<Bucket>,
}

impl Default for RouteIndex {
    fn default() -> Self {
        Self(Form::Scan(0))
    }
}

/// Routes by what they are filed under.
type Filed = BTreeMap<Box<[u8]>, Vec<u32>>;

impl RouteIndex {
    /// Builds the index over matchers in route order.
    pub fn build(matchers: &[&Matcher]) -> Self {
        Self(match matchers.len() <= SCAN && matchers.iter().all(|matcher| is_simple(matcher)) {
            true => Form::Scan(matchers.len()),
            false => Form::Index(Box::new(Index::build(matchers))),
        })
    }

    /// The first route that matches `request`. `matcher` gives the matcher of a route by its position in `build`.
    pub fn find<'m>(
        &self,
        matcher: impl Fn(usize) -> Option<&'m Matcher>,
        request: &RequestView<'_>,
    ) -> Option<usize> {
        let matches = |route: usize| matcher(route).is_some_and(|matcher| matcher.matches(request));
        match &self.0 {
            Form::Scan(routes) => (0..*routes).find(|route| matches(*route)),
            Form::Index(index) => index.find(matches, request),
        }
    }
}

/// Whether it costs no more to ask the matcher than to look for it.
fn is_simple(matcher: &Matcher) -> bool {
    matcher.headers.is_empty()
        && matcher.query.is_empty()
        && !matches!(matcher.path, PathMatcher::Regex { .. })
}

impl Index {
    fn build(matchers: &[&Matcher]) -> Self {
        let [mut exact, mut exact_any_case, mut prefix, mut prefix_any_case] = [const { Filed::new() }; 4];
        let mut connect = Vec::new();
        // More routes than numbers do not fit a wire resource.
        for (route, matcher) in (0..NONE).zip(matchers) {
            match &matcher.path {
                PathMatcher::Exact { text, ignore_case: false } => file(&mut exact, text.as_bytes(), route),
                PathMatcher::Exact { text, ignore_case: true } => {
                    file(&mut exact_any_case, &lower(text), route)
                }
                PathMatcher::Prefix { text, ignore_case: false } => file(&mut prefix, text.as_bytes(), route),
                PathMatcher::Prefix { text, ignore_case: true } => {
                    file(&mut prefix_any_case, &lower(text), route)
                }
                PathMatcher::Regex { text, .. } => {
                    pattern::beginnings(text).iter().for_each(|text| file(&mut prefix, text, route));
                }
                PathMatcher::Connect => connect.push(route),
            }
        }
        let mut buckets = Vec::new();
        let mut number = |filed: Filed| -> BTreeMap<Box<[u8]>, u32> {
            let bucket = |(text, routes): (Box<[u8]>, Vec<u32>)| {
                buckets.push(Bucket::build(&routes, matchers));
                (text, (buckets.len() - 1) as u32)
            };
            filed.into_iter().map(bucket).collect()
        };
        Self {
            exact: number(exact).into_iter().collect(),
            exact_any_case: number(exact_any_case).into_iter().collect(),
            prefix: Radix::build(&number(prefix)),
            prefix_any_case: Radix::build(&number(prefix_any_case)),
            connect: (!connect.is_empty()).then(|| Bucket::build(&connect, matchers)),
            buckets,
        }
    }

    fn find(&self, matches: impl Fn(usize) -> bool, request: &RequestView<'_>) -> Option<usize> {
        let mut candidates = Candidates { sure: NONE, lists: SmallVec::new(), request };
        let mut bucket = |number: u32| candidates.add(self.buckets.get(number as usize));
        let path = request.path.as_bytes();
        // Without a path there is only CONNECT.
        if !path.is_empty() {
            self.exact.get(path).copied().map(&mut bucket);
            if !self.exact_any_case.is_empty() {
                let mut lowered: SmallVec<[u8; INLINE]> = SmallVec::from_slice(path);
                lowered.make_ascii_lowercase();
                self.exact_any_case.get(&*lowered).copied().map(&mut bucket);
            }
            self.prefix.walk::<false>(path, &mut bucket);
            self.prefix_any_case.walk::<true>(path, &mut bucket);
        }
        if request.method == "CONNECT" {
            candidates.add(self.connect.as_ref());
        }
        candidates.first(|route| matches(route as usize))
    }
}

fn file(filed: &mut Filed, text: &[u8], route: u32) {
    filed.entry(text.into()).or_default().push(route);
}

fn lower(text: &str) -> Vec<u8> {
    text.as_bytes().to_ascii_lowercase()
}

/// Lists of routes in order, merged as far as needed.
struct Candidates<'b, 'r> {
    /// This route matches for certain.
    sure: u32,
    /// Routes that must be asked.
    lists: SmallVec<[&'b [u32]; 16]>,
    request: &'r RequestView<'r>,
}

impl<'b> Candidates<'b, '_> {
    fn add(&mut self, bucket: Option<&'b Bucket>) {
        let Some(bucket) = bucket else { return };
        self.sure = self.sure.min(bucket.sure());
        bucket.candidates(self.request, |list| {
            if !list.is_empty() {
                self.lists.push(list);
            }
        });
    }

    fn first(mut self, matches: impl Fn(u32) -> bool) -> Option<usize> {
        let head = |list: &&[u32]| list.first().copied().unwrap_or(NONE);
        let sure = self.sure;
        self.lists.retain(|list| head(&&**list) < sure);
        // The list with the smallest head is the last one.
        self.lists.sort_unstable_by_key(|list| std::cmp::Reverse(head(list)));
        while let Some(list) = self.lists.pop() {
            let Some((route, rest)) = list.split_first() else { continue };
            if *route >= sure {
                break;
            }
            if matches(*route) {
                return Some(*route as usize);
            }
            if let Some(next) = rest.first() {
                let at = self.lists.partition_point(|list| head(list) > *next);
                self.lists.insert(at, rest);
            }
        }
        (sure != NONE).then_some(sure as usize)
    }
}

#[cfg(test)]
mod tests;
