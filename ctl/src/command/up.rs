//! `up`: a daemon runs.

use delight_proto::api::method::{DaemonStatus, Empty};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Tone;
use crate::text;

/// Start the daemon, if it does not run yet
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It goes on after you log out only where the system allows that: see `delightctl service install`.

Example:
  delightctl up")]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Document {
    /// Whether this call started it.
    started: bool,
    pid: u32,
    version: String,
    socket: String,
    state_dir: String,
    kinds: Vec<String>,
    /// Sessions that are alive.
    live: u32,
    /// Whether a phone or server is paired.
    paired: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let place = context.place()?;
        let (mut daemon, started) = context.daemon_or_start(&place)?;
        let status = daemon.call::<DaemonStatus>(&Empty {})?;
        let kinds = daemon.hello().map(|hello| hello.kinds.clone()).unwrap_or_default();
        let live = status.sessions.iter().filter(|(phase, _)| phase.is_live()).map(|(_, n)| n).sum();
        let document = Document {
            started,
            pid: status.pid,
            version: status.version,
            socket: status.socket,
            state_dir: status.state_dir,
            kinds,
            live,
            paired: false,
        };
        context.out.result(&document, || {
            let head = if started { "delightd is up" } else { "delightd was already running" };
            let next = if live == 0 { "delightctl spawn" } else { "delightctl list" };
            format!(
                "{} (version {}, pid {})\n  socket    {}\n  data      {}\n  sessions  {live} alive\n  kinds     {}\n  \
                 phone     nothing is paired; everything works on this machine without it\nnext: {next}\n",
                context.out.paint(Tone::Good, head),
                text::visible(&document.version),
                document.pid,
                text::visible(&document.socket),
                text::visible(&document.state_dir),
                text::visible(&document.kinds.join(", ")),
            )
        })?;
        Ok(0)
    }
}
