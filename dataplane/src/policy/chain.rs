//! The executable policies of one plan, in compiled order.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{LocalReply, Policy, RequestCx, ResponseCx, Verdict};

/// What a waiting policy does once its answer is there.
pub type Resume = Box<dyn FnOnce(&mut RequestCx<'_>) -> Verdict + Send>;

/// What a policy waits for. Must end by itself: every wait has a deadline.
pub type Waiting = Pin<Box<dyn Future<Output = Resume> + Send>>;

/// A policy and the type URL that it came under.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) type_url: &'static str,
    pub(super) policy: Arc<dyn Policy>,
}

/// An ordered list of policies. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Chain(pub(super) Arc<[Step]>);

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
}

impl Chain {
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

    /// Runs the request side from the first policy.
    pub fn request(&self, cx: &mut RequestCx<'_>) -> Progress {
        self.run(0, cx)
    }

    /// Goes on after the policy at `at` waited and `resume` came of it.
    pub fn resume(&self, at: usize, resume: Resume, cx: &mut RequestCx<'_>) -> Progress {
        match resume(cx) {
            Verdict::Continue => self.run(at.saturating_add(1), cx),
            Verdict::Reply(reply) => Progress::Reply { at, reply },
            Verdict::Wait(waiting) => Progress::Wait { at, waiting },
        }
    }

    fn run(&self, from: usize, cx: &mut RequestCx<'_>) -> Progress {
        for (at, step) in self.0.iter().enumerate().skip(from) {
            match step.policy.request(cx) {
                Verdict::Continue => {}
                Verdict::Reply(reply) => return Progress::Reply { at, reply },
                Verdict::Wait(waiting) => return Progress::Wait { at, waiting },
            }
        }
        Progress::Done
    }

    /// Runs the response side in reverse order, through all policies.
    pub fn response(&self, cx: &mut ResponseCx<'_>) {
        self.response_from(self.0.len(), cx);
    }

    /// Runs the response side for the first `count` policies only, in reverse order: those that saw the request.
    pub fn response_from(&self, count: usize, cx: &mut ResponseCx<'_>) {
        for step in self.0.iter().take(count).rev() {
            step.policy.response(cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::UNIX_EPOCH;

    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::policy::{Facts, PlanBuilder, Slots};

    /// Says in `log` when it is called; answers with `verdict`.
    struct Noted(&'static str, Arc<Mutex<Vec<String>>>, Decide);

    type Decide = fn() -> Verdict;

    impl std::fmt::Debug for Noted {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Policy for Noted {
        fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
            self.1.lock().expect("lock").push(format!("> {}", self.0));
            cx.slots.put(self.0);
            (self.2)()
        }
        fn response(&self, cx: &mut ResponseCx<'_>) {
            let last = cx.slots.get::<&str>().copied().unwrap_or_default();
            self.1.lock().expect("lock").push(format!("< {} after {last}", self.0));
        }
    }

    fn reply() -> Verdict {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Verdict::Reply(LocalReply {
            status,
            reason: "enough",
            flag: "RL",
            headers: Vec::new(),
            body: Bytes::new(),
        })
    }

    fn wait() -> Verdict {
        Verdict::Wait(Box::pin(async {
            let resume: Resume = Box::new(|_| Verdict::Continue);
            resume
        }))
    }

    /// What was called, in order, for policies with these verdicts, the request side first.
    async fn calls(verdicts: &[(&'static str, Decide)]) -> Vec<String> {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut builder = PlanBuilder::default();
        for (name, verdict) in verdicts {
            builder.push(name, Arc::new(Noted(name, Arc::clone(&log), *verdict)));
        }
        let chain = builder.plan().policies;
        let any = "127.0.0.1:1".parse().expect("address");
        let facts = Facts {
            client: any,
            direct: any,
            local: any,
            sni: None,
            tls: None,
            protocol: http::Version::HTTP_11,
            started: UNIX_EPOCH,
            method: "GET",
            scheme: "http",
            authority: "a",
            path: "/",
            route_name: "r",
            upstream: None,
            upstream_host: None,
            attempts: 0,
            reason: None,
            flags: "-",
        };
        let (mut headers, mut slots) = (HeaderMap::new(), Slots::default());
        let mut cx = RequestCx { headers: &mut headers, facts: &facts, slots: &mut slots };
        let mut progress = chain.request(&mut cx);
        let seen = loop {
            match progress {
                Progress::Done => break chain.len(),
                Progress::Reply { at, .. } => break at + 1,
                Progress::Wait { at, waiting } => progress = chain.resume(at, waiting.await, &mut cx),
            }
        };
        let request_headers = HeaderMap::new();
        let status = StatusCode::OK;
        let mut cx = ResponseCx {
            status,
            headers: &mut headers,
            request_headers: &request_headers,
            facts: &facts,
            slots: &mut slots,
        };
        chain.response_from(seen, &mut cx);
        log.lock().expect("lock").clone()
    }

    #[tokio::test]
    async fn requests_pass_in_order_and_responses_in_reverse() {
        let go = || Verdict::Continue;
        assert_eq!(
            calls(&[("a", go), ("b", wait), ("c", go)]).await,
            ["> a", "> b", "> c", "< c after c", "< b after c", "< a after c"]
        );
    }

    #[tokio::test]
    async fn a_reply_is_seen_by_those_before_it_only() {
        let go = || Verdict::Continue;
        assert_eq!(
            calls(&[("a", go), ("b", reply), ("c", go)]).await,
            ["> a", "> b", "< b after b", "< a after b"]
        );
    }
}
