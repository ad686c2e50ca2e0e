//! Which requests a listener's log is for.

use portcullis_shared::table::LogFilter;

use super::listener::Finished;
use crate::proxy::reply::grpc_status;

/// Whether `filter` lets the request pass.
pub(super) fn passes(filter: &LogFilter, request: &Finished<'_>) -> bool {
    match filter {
        LogFilter::Status(compare) => compare.holds(u64::from(request.status)),
        LogFilter::Duration(compare) => {
            compare.holds(u64::try_from(request.took.as_millis()).unwrap_or(u64::MAX))
        }
        LogFilter::NotHealthCheck => !request.health_check,
        LogFilter::Traceable => request.traced,
        LogFilter::Sample { parts_per_million, independent } => {
            let id = request.field("x-request-id").filter(|_| !independent);
            let number = id.as_deref().map_or_else(|| fastrand::u64(..), stable);
            number % 1_000_000 < u64::from(*parts_per_million)
        }
        LogFilter::All(filters) => filters.iter().all(|filter| passes(filter, request)),
        LogFilter::Any(filters) => filters.iter().any(|filter| passes(filter, request)),
        LogFilter::Header(matcher) => matcher.matches(&request.view()),
        LogFilter::HeaderRange { name, start, end, invert } => {
            let number: Option<i64> = request.field(name.as_str()).and_then(|text| text.parse().ok());
            number.is_some_and(|number| (*start..*end).contains(&number)) != *invert
        }
        LogFilter::ResponseFlags(flags) if flags.is_empty() => request.flags != "-",
        LogFilter::ResponseFlags(flags) => {
            request.flags.split(',').any(|flag| flags.iter().any(|wanted| **wanted == *flag))
        }
        LogFilter::GrpcStatus { codes, exclude } => {
            let code = request.grpc_code().unwrap_or_else(|| u32::from(grpc_status(request.code())));
            codes.contains(&code) != *exclude
        }
    }
}

/// A number that a UUID always gives: its first digits.
fn stable(id: &str) -> u64 {
    id.get(..8).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_else(|| fastrand::u64(..))
}
