//! Waiting for conditions.

use std::time::{Duration, Instant};

/// Deadline for anything that should happen at once: generous, because CI machines stall. It bounds a failure, it never
/// slows a success.
pub const LONG: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// Returns once `condition` holds.
///
/// # Panics
/// With `what`, when it does not hold within [`LONG`].
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_some(what, || condition().then_some(()));
}

/// Returns the first value `look` gives.
///
/// # Panics
/// With `what`, when it gives none within [`LONG`].
#[track_caller]
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
