//! Waiting for conditions.

use std::time::{Duration, Instant};

/// Deadline for anything that should happen at once: generous, because CI machines stall. It bounds a failure, it never
/// slows a success.
pub const LONG: Duration = Duration::from_secs(60);

/// Between the first two looks at a condition; each further pause is a little longer, so that looking costs little.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

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
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        std::thread::sleep(pause);
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    }
}
