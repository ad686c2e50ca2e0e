//! `includeRequestAttemptCount` and `includeAttemptCountInResponse` of a virtual host.

use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Levels, Policy};
use crate::ir;
use crate::translate::Notes;

/// The policy.
pub struct AttemptCount;

impl Policy for AttemptCount {
    fn option(&self) -> &'static str {
        "includeRequestAttemptCount"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        action.only_forward()
    }

    fn lower(&self, levels: &Levels<'_, '_>, _notes: &mut Notes) -> Option<ir::Policy> {
        let request = levels
            .in_host("includeRequestAttemptCount", |options| options.include_request_attempt_count.as_ref());
        let response = levels.in_host("includeAttemptCountInResponse", |options| {
            options.include_attempt_count_in_response.as_ref()
        });
        let message = wire::AttemptCount {
            request: request.is_some_and(|found| *found.value),
            response: response.is_some_and(|found| *found.value),
        };
        (message != wire::AttemptCount::default()).then(|| super::wire(&message))
    }
}
