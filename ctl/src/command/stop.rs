//! `stop`: ends sessions, politely first.

use std::time::Duration;

use delight_proto::api::method::{SessionStop, StopParams};

use super::batch;
use crate::context::Context;
use crate::failure::Failure;
use crate::{span, view};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every process of the session is ended, also those that went into the background.

Examples:
  delightctl stop build
  delightctl stop --grace 30s build
  delightctl stop --all")]
pub(crate) struct Args {
    /// Sessions: ID, unique prefix, name or @last
    sessions: Vec<String>,
    /// Every session that is alive
    #[arg(long, conflicts_with = "sessions")]
    all: bool,
    /// Time between asking and forcing, instead of the session's own
    #[arg(long, value_name = "DURATION", value_parser = span::duration)]
    grace: Option<Duration>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        end(context, &self.sessions, self.all, false, self.grace)
    }
}

/// Ends the named sessions, or all; `kill` without asking first.
pub(super) fn end(
    context: &Context,
    named: &[String],
    all: bool,
    kill: bool,
    grace: Option<Duration>,
) -> Result<u8, Failure> {
    let mut daemon = context.daemon()?;
    let sessions = batch::select(&mut daemon, named, all, |view| view.phase.is_live())?;
    let params = |session: &str| StopParams {
        session: session.to_owned(),
        kill,
        grace_ms: grace.map(|grace| grace.as_millis() as u64),
    };
    let told = |view: &_| format!("{} {}", view::title(view), view::state(view));
    let next = "delightctl resume ID starts one again, delightctl rm ID forgets it";
    batch::each::<SessionStop>(context, &mut daemon, &sessions, params, told, next)
}
