//! `service`: the daemon starts by itself.

use clap::Subcommand;
use delight_proto::api::method::{DaemonStop, DaemonStopParams};

use super::down;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::Failure;
use crate::launch;
use crate::output::Tone;
use crate::service::{self, Manager, Plan, State};
use crate::text;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It is a service of yours, not of the system: no root is needed. Stopping, restarting or uninstalling it leaves \
sessions running.
With systemd, everything of yours ends when you log out of your last login, unless lingering is enabled for you:
  loginctl enable-linger
Installing exits with 8 when it is not.

Examples:
  delightctl service install
  delightctl service status
  delightctl service uninstall")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Install the service and start it
    Install,
    /// Stop the service and remove it; sessions go on
    Uninstall,
    /// Show how it stands
    Status,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let manager = service::manager()?;
        match self.action {
            Action::Install => install(context, manager.as_ref()),
            Action::Uninstall => uninstall(context, manager.as_ref()),
            Action::Status => status(context, manager.as_ref()),
        }
    }
}

fn install(context: &Context, manager: &dyn Manager) -> Result<u8, Failure> {
    let place = context.place()?;
    manager.install(&Plan::new(launch::program()?, place.daemon_log()))?;
    if !manager.state().active {
        // A daemon that was started by hand holds the lock: the service takes its place. Sessions go on.
        if let Ok(mut daemon) = Connection::open(&place.control_socket()) {
            daemon.call::<DaemonStop>(&DaemonStopParams { stop_sessions: false })?;
            down::ended(&mut daemon)?;
        }
    }
    manager.start()?;
    let state = manager.state();
    context.out.result(&state, || {
        let head = context.out.paint(Tone::Good, "the service is installed and runs");
        format!("{head}\n{}next: delightctl status\n", details(&state))
    })?;
    Ok(if state.linger == Some(false) { 8 } else { 0 })
}

fn uninstall(context: &Context, manager: &dyn Manager) -> Result<u8, Failure> {
    let was = manager.state();
    manager.uninstall()?;
    let state = manager.state();
    context.out.result(&state, || {
        let head = if was.installed {
            "the service is uninstalled; sessions that were running go on"
        } else {
            "the service was not installed"
        };
        format!("{}\nnext: delightctl up starts the daemon without it\n", context.out.paint(Tone::Good, head))
    })?;
    Ok(0)
}

fn status(context: &Context, manager: &dyn Manager) -> Result<u8, Failure> {
    let state = manager.state();
    context.out.result(&state, || {
        let (tone, head) = match (state.installed, state.active) {
            (true, true) => (Tone::Good, "the service is installed and runs"),
            (true, false) => (Tone::Warn, "the service is installed and does not run"),
            (false, _) => (Tone::Plain, "the service is not installed"),
        };
        let next = if state.installed { "delightctl status" } else { "delightctl service install" };
        format!("{}\n{}next: {next}\n", context.out.paint(tone, head), details(&state))
    })?;
    Ok(0)
}

fn details(state: &State) -> String {
    let mut words = format!("  {}  {}\n", state.manager, text::visible(&state.file.display().to_string()));
    words += &format!("  at login {}\n", if state.enabled { "it starts" } else { "it does not start" });
    match state.linger {
        Some(true) => words += "  after logout everything goes on (lingering is enabled)\n",
        Some(false) => {
            words += "  after your last logout systemd ends the daemon AND every session: lingering is not enabled\n  \
                      to change that: loginctl enable-linger\n";
        }
        None => {}
    }
    if let Some(reason) = &state.unreachable {
        words += &format!("  {} cannot be asked: {}\n", state.manager, text::visible(reason));
    }
    words
}
