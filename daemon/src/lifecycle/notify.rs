//! Telling the service manager, and whoever started us, how we are.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use sd_notify::NotifyState;

/// Says `READY=1` with a line for people.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the daemon is ending on purpose.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// How often the watchdog wants to hear from us: half its limit. `None` when there is none, so that an idle daemon
/// without a watchdog never wakes up for it.
pub(crate) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Says that the daemon's loop still turns.
pub(crate) fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::warn!(error = %e, "the service manager could not be told");
    }
}

/// The pipe of whoever started us (`--ready-fd`): gets one line, `ready` or the refusal as JSON, and is closed.
#[derive(Debug, Default)]
pub(crate) struct ReadyPipe(Option<File>);

impl ReadyPipe {
    /// Takes the descriptor over.
    pub(crate) fn new(fd: Option<OwnedFd>) -> Self {
        Self(fd.map(File::from))
    }

    /// Writes the line. The reader may be gone: that is its own affair.
    pub(crate) fn say(&mut self, line: &str) {
        if let Some(mut pipe) = self.0.take()
            && let Err(e) = writeln!(pipe, "{}", line.replace('\n', " "))
        {
            tracing::debug!(error = %e, "nobody waits for the ready line");
        }
    }
}
