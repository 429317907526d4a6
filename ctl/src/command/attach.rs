//! `attach`: the session's terminal becomes this one.

use delight_proto::api::method::{SessionGet, SessionRef};

use crate::attach;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::Failure;
use crate::keys::DetachKey;
use crate::unreachable::NoConnection;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first client that attaches controls the session: it types and its terminal's size counts. Later ones watch unless \
they take control with --take; when the controller leaves, one of those that wanted control gets it.
Detaching leaves the session running. Every other key goes to the session, ctrl-z and ctrl-c too.
The daemon is not in the way: its restart disturbs nobody who is attached.
A Codex session is driven by desktop and phone at once: Codex's own terminal program is started here as one more client \
of it, and its end (or the detach key) leaves the session running. With --view, or --machine, its transcript is shown.
With --machine everybody types; a broken link is said on the first line, and what was missed is shown afterwards.

Your terminal is put back as it was however this ends. Should it ever be left unusable, type: reset

Examples:
  delightctl attach                 the newest session
  delightctl attach build
  delightctl attach build --view    only watch
  delightctl attach build --detach-key ctrl-q")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    #[arg(default_value = "@last")]
    session: String,
    /// Watch only: no key is sent (but the detach key works), the size stays as it is
    #[arg(long)]
    view: bool,
    /// Take control from whoever has it; they go on watching
    #[arg(long, conflicts_with = "view")]
    take: bool,
    /// Exit as the session's command did, if it ends while attached (128 + signal when a signal ended it)
    #[arg(long)]
    exit_status: bool,
    /// Key that detaches: ctrl with a letter or one of \ ] ^ _, or none
    #[arg(long, value_name = "KEY", env = "DELIGHT_DETACH_KEY", default_value = "ctrl-\\", value_parser = DetachKey::parse)]
    detach_key: DetachKey,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        attach::terminal::require()?;
        let place = context.place()?;
        let wish = attach::Wish {
            detach_key: self.detach_key,
            control: !self.view,
            take: self.take,
            exit_status: self.exit_status,
        };
        let opened = match context.machine {
            Some(_) => Ok(context.daemon()?),
            None => Connection::open(&place.control_socket()),
        };
        match opened {
            Ok(mut daemon) => {
                let session = daemon.call::<SessionGet>(&SessionRef { session: self.session })?;
                // The daemon is not needed any more; keeping it waiting would only cost it a connection.
                drop(daemon);
                attach::run(&place, context.machine.as_deref(), &session, &wish)
            }
            Err(NoConnection::NobodyThere(refusal)) => {
                attach::run_without_daemon(&place, &self.session, &wish, refusal)
            }
            Err(refused) => Err(refused.into()),
        }
    }
}
