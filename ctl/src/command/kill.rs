//! `kill`: ends sessions by force at once.

use super::stop;
use crate::context::Context;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  delightctl kill build")]
pub(crate) struct Args {
    /// Sessions: ID, unique prefix, name or @last
    sessions: Vec<String>,
    /// Every session that is alive
    #[arg(long, conflicts_with = "sessions")]
    all: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        stop::end(context, &self.sessions, self.all, true, None)
    }
}
