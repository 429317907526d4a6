//! `down`: no daemon runs.

use std::time::{Duration, Instant};

use delight_proto::api::method::{DaemonStop, DaemonStopParams};
use serde::Serialize;

use crate::connection::Connection;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Tone, note};
use crate::text;
use crate::unreachable::NoConnection;

/// After its answer the daemon has only to close its files.
const END_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  delightctl down          the daemon ends; every session goes on and is found again by the next `up`
  delightctl down --all    every session is stopped first")]
pub(crate) struct Args {
    /// Stop every session first
    #[arg(long)]
    all: bool,
}

#[derive(Serialize)]
struct Document {
    /// Whether a daemon ran.
    was_running: bool,
    /// Sessions that go on without it.
    left_running: u32,
    /// Sessions that were ended.
    stopped: u32,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let place = context.place()?;
        // Sessions can only be stopped by a daemon; without --all there is nothing to start one for.
        let mut daemon = if self.all {
            context.daemon_or_start(&place)?.0
        } else {
            match Connection::open(&place.control_socket()) {
                Ok(daemon) => daemon,
                Err(NoConnection::NobodyThere(_)) => {
                    let document = Document { was_running: false, left_running: 0, stopped: 0 };
                    context
                        .out
                        .result(&document, || "no daemon was running\nnext: delightctl up\n".to_owned())?;
                    return Ok(0);
                }
                Err(refused) => return Err(refused.into()),
            }
        };
        let result = daemon.call::<DaemonStop>(&DaemonStopParams { stop_sessions: self.all })?;
        let ended = ended(&mut daemon)?;
        let document =
            Document { was_running: true, left_running: result.left_running, stopped: result.stopped };
        context.out.result(&document, || {
            let mut words = context.out.paint(Tone::Good, "delightd has stopped") + "\n";
            if result.stopped > 0 {
                words += &format!("  {} stopped\n", text::count(result.stopped.into(), "session"));
            }
            if result.left_running > 0 {
                let (go, them) = if result.left_running == 1 { ("goes", "it") } else { ("go", "them") };
                words += &format!(
                    "  {} {go} on without it; the next daemon finds {them} again\n",
                    text::count(result.left_running.into(), "session"),
                );
            }
            words + "next: delightctl up\n"
        })?;
        if !ended {
            note(&format!(
                "warning: it said it would end, and its process still exists after {} s\n",
                END_LIMIT.as_secs()
            ));
            return Ok(8);
        }
        Ok(0)
    }
}

/// Waits for the end of a daemon that has answered `daemon.stop`; whether it came in time.
///
/// # Errors
/// The connection cannot be used.
pub(super) fn ended(daemon: &mut Connection) -> Result<bool, Failure> {
    let pid = daemon.hello().map_or(0, |hello| hello.pid);
    Ok(daemon.closed_within(END_LIMIT)? && gone(pid))
}

/// Waits until the process is gone, so that an `up` right after finds the lock free.
fn gone(pid: u32) -> bool {
    let deadline = Instant::now() + END_LIMIT;
    while exists(pid) {
        if Instant::now() >= deadline {
            return false;
        }
        // Not our child: there is nothing portable to wait on.
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

#[cfg(target_os = "linux")]
fn exists(pid: u32) -> bool {
    // A zombie has released its lock already; it only waits for its parent.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, None | Some('Z' | 'X'))
    })
}

#[cfg(not(target_os = "linux"))]
fn exists(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_counts_as_gone() {
        assert!(exists(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        assert!(gone(child.id()));
        child.wait().unwrap();
        assert!(!exists(child.id()));
    }
}
