//! Collecting children that end while the daemon lives, so that none stays as a zombie: holders, and errands whose status
//! somebody waits for.

use std::collections::HashMap;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use delight_proto::session::Exit;
use nix::errno::Errno;
use nix::libc::pid_t;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Children whose end somebody waits for, and how they ended once they have. The lock is held while one is started and
/// while any is collected, so that none can end unseen in between. One table for the process, because a process has one.
static AWAITED: Mutex<Option<HashMap<pid_t, Option<Exit>>>> = Mutex::new(None);

fn awaited() -> MutexGuard<'static, Option<HashMap<pid_t, Option<Exit>>>> {
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Collects every child that has ended. Call it on `SIGCHLD`.
pub(crate) fn collect() {
    let mut awaited = awaited();
    loop {
        let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
            Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(e) => {
                tracing::error!(error = %e, "collecting ended children failed");
                return;
            }
        };
        match awaited.as_mut().and_then(|awaited| awaited.get_mut(&pid.as_raw())) {
            Some(slot) => *slot = Some(exit),
            None if matches!(exit, Exit::Signal(_)) => {
                tracing::warn!(pid = pid.as_raw(), %exit, "a holder was killed");
            }
            None => tracing::debug!(pid = pid.as_raw(), %exit, "a holder ended"),
        }
    }
}

/// A child whose end somebody waits for. Forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Awaited(pid_t);

impl Awaited {
    /// Starts a child. Its `wait` must not be called: [`Self::ended`] says how it ended.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn start(command: &mut Command) -> std::io::Result<(Self, Child)> {
        let mut awaited = awaited();
        let child = command.spawn()?;
        // Process ids of every system we know fit.
        let pid = pid_t::try_from(child.id()).map_err(std::io::Error::other)?;
        awaited.get_or_insert_default().insert(pid, None);
        Ok((Self(pid), child))
    }

    /// How it ended, once it has. Look again after a `SIGCHLD`.
    pub(crate) fn ended(&self) -> Option<Exit> {
        let mut awaited = awaited();
        let slot = awaited.as_mut()?.get_mut(&self.0)?;
        if slot.is_none() {
            *slot = match waitpid(Pid::from_raw(self.0), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(Exit::Code(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(Exit::Signal(signal as i32)),
                _ => None,
            };
        }
        *slot
    }

    /// Does something with its id while that is surely its own: it has not ended, or nobody has collected it yet.
    pub(crate) fn while_its_own(&self, act: impl FnOnce(Pid)) {
        let awaited = awaited();
        if let Some(None) = awaited.as_ref().and_then(|awaited| awaited.get(&self.0)) {
            act(Pid::from_raw(self.0));
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        // Whoever has not ended yet is collected like a holder.
        if let Some(awaited) = awaited().as_mut() {
            awaited.remove(&self.0);
        }
    }
}
