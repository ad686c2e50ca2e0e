//! The `date` field (RFC 9110 5.6.7), formatted once a second and thread.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

struct Cached {
    second: u64,
    text: String,
}

thread_local! {
    static CACHED: RefCell<Cached> = const { RefCell::new(Cached { second: u64::MAX, text: String::new() }) };
}

/// Calls `with` with the present time.
pub(super) fn now(with: impl FnOnce(&[u8])) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    CACHED.with_borrow_mut(|cached| {
        if cached.second != since.as_secs() {
            cached.second = since.as_secs();
            cached.text =
                httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(cached.second));
        }
        with(cached.text.as_bytes());
    });
}
