//! `rm`: forgets ended sessions.

use delight_proto::api::method::{SessionRef, SessionRemove, SessionStop, StopParams};
use delight_proto::refusal::Code;

use super::batch;
use crate::context::Context;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A session that is alive is refused unless --force ends it first. What is deleted cannot be had again.

Examples:
  delightctl rm build
  delightctl rm --all            every ended session")]
pub(crate) struct Args {
    /// Sessions: ID, unique prefix, name or @last
    sessions: Vec<String>,
    /// Every session that has ended
    #[arg(long, conflicts_with_all = ["sessions", "force"])]
    all: bool,
    /// End live ones by force first
    #[arg(long, short)]
    force: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut daemon = context.daemon()?;
        let sessions = batch::select(&mut daemon, &self.sessions, self.all, |view| !view.phase.is_live())?;
        if self.force {
            for session in &sessions {
                let params = StopParams { session: session.clone(), kill: true, grace_ms: None };
                match daemon.call::<SessionStop>(&params) {
                    // One that has ended already is what we want; the removal tells of one that does not exist.
                    Err(failure) if !matches!(failure.code(), Some(Code::WrongState | Code::NotFound)) => {
                        return Err(failure);
                    }
                    _ => {}
                }
            }
        }
        let params = |session: &str| SessionRef { session: session.to_owned() };
        let told = |removed: &<SessionRemove as delight_proto::api::method::Method>::Result| {
            format!("{} removed", removed.id.short())
        };
        batch::each::<SessionRemove>(context, &mut daemon, &sessions, params, told, "delightctl list")
    }
}
