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
