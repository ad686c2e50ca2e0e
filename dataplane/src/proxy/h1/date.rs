//! The `date` field (RFC 9110 5.6.7), formatted once a second and thread.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::HeaderValue;

struct Cached {
    second: u64,
    value: Option<HeaderValue>,
}

thread_local! {
    static CACHED: RefCell<Cached> = const { RefCell::new(Cached { second: u64::MAX, value: None }) };
}

/// Calls `with` with the present time.
pub(super) fn now(with: impl FnOnce(&[u8])) {
    cached(|value| with(value.as_bytes()));
}

/// The present time as a value.
pub(in crate::proxy) fn value() -> HeaderValue {
    cached(HeaderValue::clone)
}

fn cached<T>(with: impl FnOnce(&HeaderValue) -> T) -> T {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    CACHED.with_borrow_mut(|cached| {
        if cached.second != since {
            cached.second = since;
            cached.value = None;
        }
        let text = || httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(since));
        // A date is a value; the other arm is for the type only.
        with(
            cached
                .value
                .get_or_insert_with(|| HeaderValue::try_from(text()).unwrap_or(HeaderValue::from_static(""))),
        )
    })
}
