//! What a failure means for the next attempt. When that is made is decided by who asks (`delight_core::uplink` in the daemon).

use std::time::Duration;

/// What a failure means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same may succeed later.
    Later,
    /// The server said how long to wait.
    After(Duration),
    /// The server knows us no longer: log in again, then try.
    Login,
    /// It fails for ever until somebody changes something.
    Never,
}
