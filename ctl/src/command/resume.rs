//! `resume`: starts an ended session again.

use delight_proto::api::method::{SessionRef, SessionResume};

use crate::context::Context;
use crate::failure::Failure;
use crate::view::{self, OneSession};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Its earlier output is kept; the new output follows it.

Example:
  delightctl resume build")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let place = context.place()?;
        let (mut daemon, _) = context.daemon_or_start(&place)?;
        let session = daemon.call::<SessionResume>(&SessionRef { session: self.session })?;
        context.out.result(&OneSession { session: &session }, || {
            let (title, state) = (view::title(&session), view::state(&session));
            format!("{title} {state}\nnext: delightctl attach {}\n", view::handle(&session))
        })?;
        Ok(0)
    }
}
