//! The one way to wait for something: ask again until it is so, for a bounded time.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `condition` holds; fails the test with `what` if it does not within `timeout`.
#[track_caller]
pub fn eventually(timeout: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(comes_true(timeout, condition), "not within {timeout:?}: {what}");
}

/// Waits until `condition` holds; false if it does not within `timeout`.
pub fn comes_true(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        // Looked at before the condition: a slow machine still gets an answer from after the deadline.
        let last = Instant::now() >= deadline;
        if condition() {
            return true;
        }
        if last {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}
