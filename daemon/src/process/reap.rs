//! Collecting holders that end while the daemon lives: they are its children, and would stay as zombies.

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// Collects every child that has ended. Call it on `SIGCHLD`. The daemon has no other children than holders.
pub(crate) fn collect() {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                tracing::warn!(pid = pid.as_raw(), %signal, "a holder was killed");
            }
            Ok(status) => tracing::debug!(?status, "a holder ended"),
            Err(Errno::EINTR) => {}
            Err(e) => {
                tracing::error!(error = %e, "collecting ended holders failed");
                return;
            }
        }
    }
}
