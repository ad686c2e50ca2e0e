//! The executable policies of one plan, in execution order.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use portcullis_shared::policy::place;

use super::{Answer, LocalReply, Policy, RequestCx, ResponseCx, Verdict};

/// What a waiting policy does once its answer is there.
pub type Resume = Box<dyn FnOnce(&mut RequestCx<'_>) -> Verdict + Send>;

/// What a policy waits for. Must end by itself: every wait has a deadline.
pub type Waiting = Pin<Box<dyn Future<Output = Resume> + Send>>;

/// A policy and the type URL that it came under.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) type_url: &'static str,
    pub(super) policy: Arc<dyn Policy>,
    place: usize,
}

impl Step {
    pub(super) fn new(type_url: &'static str, policy: Arc<dyn Policy>) -> Self {
        Self { type_url, policy, place: place(type_url) }
    }
}

/// An ordered list of policies, each type once. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Chain(Arc<[Step]>);

/// How far the request side got.
pub enum Progress {
    /// Every policy has let the request pass.
    Done,
    /// The policy at `at` answered; responses pass through the policies up to and with it.
    Reply {
        /// Its place in the chain.
        at: usize,
        /// Its answer.
        reply: LocalReply,
    },
    /// The policy at `at` waits; go on with [`Chain::resume`].
    Wait {
        /// Its place in the chain.
        at: usize,
        /// What to await.
        waiting: Waiting,
    },
    /// The policy at `at` wants the whole body; go on with [`Chain::request_body`].
    Body {
        /// Its place in the chain.
        at: usize,
        /// In bytes.
        limit: usize,
    },
    /// The policy at `at` wants the beginning of the body; go on with [`Chain::request_start`].
    Start {
        /// Its place in the chain.
        at: usize,
        /// In bytes.
        limit: usize,
    },
    /// The route shall be chosen again; go on behind `at` with what [`Chain::rerouted`] gives.
    Reroute {
        /// The place of the policy that wants it.
        at: usize,
    },
}

/// How far the response side got.
#[derive(Debug)]
pub enum Passed {
    /// Every policy has seen it.
    Done,
    /// The policy at `at` wants the whole body; go on with [`Chain::response_body`].
    Body {
        /// Its place in the chain.
        at: usize,
        /// In bytes.
        limit: usize,
    },
    /// The policy at `at` puts this in its place; those before `at` have not seen any response yet.
    Reply {
        /// Its place in the chain.
        at: usize,
        /// Its answer.
        reply: LocalReply,
    },
}

impl Chain {
    /// `base` with each step of `over` in the place of the one of its type, or at its own.
    pub(super) fn merged(base: &Self, over: &[Step]) -> Self {
        if over.is_empty() {
            return base.clone();
        }
        let kept = base.0.iter().filter(|step| !over.iter().any(|other| other.type_url == step.type_url));
        let mut steps: Vec<Step> = kept.chain(over).cloned().collect();
        // Stable, though a type stands here once.
        steps.sort_by_key(|step| step.place);
        Self(steps.into())
    }

    /// Policies behind the first `seen` that see every answer of their route, whatever kept the request from them.
    fn behind(&self, seen: usize) -> impl DoubleEndedIterator<Item = &Step> {
        self.0.iter().skip(seen).filter(|step| step.policy.sees_every_answer())
    }

    /// There are some behind the first `seen`.
    #[must_use]
    pub fn has_late(&self, seen: usize) -> bool {
        self.behind(seen).next().is_some()
    }

    /// Runs the response side of those behind the first `seen`. They want nothing but the header.
    pub fn late(&self, seen: usize, cx: &mut ResponseCx<'_>) {
        for step in self.behind(seen).rev() {
            step.policy.response(cx);
        }
    }

    /// This chain on a listener that has policies of its own: where both have a type, this one's counts.
    #[must_use]
    pub fn on(&self, listener: &Self) -> Self {
        if listener.is_empty() { self.clone() } else { Self::merged(listener, &self.0) }
    }

    /// After the policy at `at` had the route chosen again: what has run, and of `next`, which is the new route's, what
    /// comes later than that.
    #[must_use]
    pub fn rerouted(&self, at: usize, next: &Self) -> Self {
        let ran = self.0.get(..=at).unwrap_or(&self.0);
        let behind = ran.last().map_or(0, |step| step.place);
        Self(ran.iter().chain(next.0.iter().filter(|step| step.place > behind)).cloned().collect())
    }

    /// No policy at all: the engine need not build a context.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of policies.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Runs the request side from the policy at `from`.
    pub fn request(&self, from: usize, cx: &mut RequestCx<'_>) -> Progress {
        for (at, step) in self.0.iter().enumerate().skip(from) {
            match stopped(at, step.policy.request(cx), cx) {
                None => {}
                Some(progress) => return progress,
            }
        }
        Progress::Done
    }

    /// Goes on after the policy at `at` waited and `resume` came of it.
    pub fn resume(&self, at: usize, resume: Resume, cx: &mut RequestCx<'_>) -> Progress {
        self.after(at, resume(cx), cx)
    }

    /// Goes on with the whole body that the policy at `at` asked for.
    pub fn request_body(&self, at: usize, body: &mut Bytes, cx: &mut RequestCx<'_>) -> Progress {
        match self.0.get(at) {
            Some(step) => self.after(at, step.policy.request_body(cx, body), cx),
            None => Progress::Done,
        }
    }

    /// Goes on with the beginning of the body that the policy at `at` asked for.
    pub fn request_start(
        &self,
        at: usize,
        (start, whole): (&Bytes, bool),
        cx: &mut RequestCx<'_>,
    ) -> Progress {
        match self.0.get(at) {
            Some(step) => self.after(at, step.policy.request_start(cx, start, whole), cx),
            None => Progress::Done,
        }
    }

    fn after(&self, at: usize, verdict: Verdict, cx: &mut RequestCx<'_>) -> Progress {
        stopped(at, verdict, cx).unwrap_or_else(|| self.request(at.saturating_add(1), cx))
    }

    /// Runs the response side of the first `count` policies in reverse order.
    pub fn response(&self, count: usize, cx: &mut ResponseCx<'_>) -> Passed {
        for (at, step) in self.0.iter().enumerate().take(count).rev() {
            match step.policy.response(cx) {
                Answer::Continue => {}
                Answer::Body { limit } => return Passed::Body { at, limit },
                Answer::Reply(reply) => return Passed::Reply { at, reply },
            }
        }
        Passed::Done
    }

    /// Goes on with the whole body that the policy at `at` asked for.
    pub fn response_body(&self, at: usize, body: &mut Bytes, cx: &mut ResponseCx<'_>) -> Passed {
        match self.0.get(at).map(|step| step.policy.response_body(cx, body)) {
            Some(Answer::Reply(reply)) => Passed::Reply { at, reply },
            // The whole body is what it has.
            Some(Answer::Continue | Answer::Body { .. }) | None => self.response(at, cx),
        }
    }
}

/// What stops the chain at the policy at `at`, if anything does.
fn stopped(at: usize, verdict: Verdict, cx: &mut RequestCx<'_>) -> Option<Progress> {
    match verdict {
        Verdict::Continue if std::mem::take(cx.reroute) => Some(Progress::Reroute { at }),
        Verdict::Continue => None,
        Verdict::Reply(reply) => Some(Progress::Reply { at, reply }),
        Verdict::Wait(waiting) => Some(Progress::Wait { at, waiting }),
        Verdict::Body { limit } => Some(Progress::Body { at, limit }),
        Verdict::Start { limit } => Some(Progress::Start { at, limit }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::StatusCode;

    use super::*;
    use crate::policy::testing::{Request, Response};

    /// Says in `log` when it is called; answers with `verdict`.
    struct Noted(&'static str, Arc<Mutex<Vec<String>>>, Decide);

    type Decide = fn() -> Verdict;

    impl std::fmt::Debug for Noted {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Noted {
        fn say(&self, what: std::fmt::Arguments<'_>) {
            self.1.lock().expect("lock").push(what.to_string());
        }
    }

    impl Policy for Noted {
        fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
            self.say(format_args!("> {}", self.0));
            cx.slots.put(self.0);
            (self.2)()
        }
        fn request_body(&self, _cx: &mut RequestCx<'_>, body: &mut Bytes) -> Verdict {
            self.say(format_args!("> {} {}", self.0, body.len()));
            Verdict::Continue
        }
        fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
            let last = cx.slots.get::<&str>().copied().unwrap_or_default();
            self.say(format_args!("< {} after {last}", self.0));
            Answer::Continue
        }
    }

    fn reply() -> Verdict {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let (headers, body) = (Vec::new(), Bytes::new());
        Verdict::Reply(LocalReply { status, reason: "enough", flag: "-", headers, body })
    }

    fn wait() -> Verdict {
        Verdict::Wait(Box::pin(async {
            let resume: Resume = Box::new(|_| Verdict::Continue);
            resume
        }))
    }

    const GO: Decide = || Verdict::Continue;

    fn chain(log: &Arc<Mutex<Vec<String>>>, verdicts: &[(&'static str, Decide)]) -> Chain {
        let steps = verdicts
            .iter()
            .map(|(name, verdict)| Step::new(name, Arc::new(Noted(name, Arc::clone(log), *verdict))));
        Chain(steps.collect())
    }

    /// What was called, in order, for policies with these verdicts, the request side first.
    async fn calls(verdicts: &[(&'static str, Decide)]) -> Vec<String> {
        let log = Arc::default();
        let chain = chain(&log, verdicts);
        let mut request = Request::default();
        let mut progress = chain.request(0, &mut request.cx());
        let seen = loop {
            match progress {
                Progress::Done | Progress::Reroute { .. } => break chain.len(),
                Progress::Reply { at, .. } => break at + 1,
                Progress::Wait { at, waiting } => {
                    let resume = waiting.await;
                    progress = chain.resume(at, resume, &mut request.cx());
                }
                Progress::Body { at, limit } => {
                    progress = chain.request_body(at, &mut vec![0; limit].into(), &mut request.cx());
                }
                Progress::Start { at, limit } => {
                    progress = chain.request_start(at, (&vec![0; limit].into(), true), &mut request.cx());
                }
            }
        };
        let mut response = Response { slots: request.slots, ..Response::default() };
        assert!(matches!(chain.response(seen, &mut response.cx()), Passed::Done));
        log.lock().expect("lock").clone()
    }

    #[tokio::test]
    async fn requests_pass_in_order_and_responses_in_reverse() {
        let body: Decide = || Verdict::Body { limit: 7 };
        assert_eq!(
            calls(&[("a", GO), ("b", wait), ("c", body)]).await,
            ["> a", "> b", "> c", "> c 7", "< c after c", "< b after c", "< a after c"]
        );
    }

    #[tokio::test]
    async fn a_reply_is_seen_by_those_before_it_only() {
        assert_eq!(
            calls(&[("a", GO), ("b", reply), ("c", GO)]).await,
            ["> a", "> b", "< b after b", "< a after b"]
        );
    }

    fn names(chain: &Chain) -> Vec<&'static str> {
        chain.0.iter().map(|step| step.type_url).collect()
    }

    #[test]
    fn chains_are_put_together_in_the_order_of_all() {
        const FAULT: &str = "/portcullis.policy.v1.Fault";
        const CORS: &str = "/portcullis.policy.v1.Cors";
        const HEADERS: &str = "/portcullis.policy.v1.Headers";
        let log = Arc::default();
        let listener = chain(&log, &[(FAULT, GO), (CORS, GO)]);
        let route = chain(&log, &[(CORS, GO), (HEADERS, GO)]);
        let merged = route.on(&listener);
        assert_eq!(names(&merged), [FAULT, CORS, HEADERS]);
        assert!(Arc::ptr_eq(&merged.0[1].policy, &route.0[0].policy));
        let other = chain(&log, &[(FAULT, GO), (HEADERS, GO)]);
        assert_eq!(names(&merged.rerouted(1, &other)), [FAULT, CORS, HEADERS]);
        assert_eq!(names(&listener.rerouted(0, &listener)), [FAULT, CORS]);
    }
}
