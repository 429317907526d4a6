//! `rename`: gives a session another name.

use delight_proto::api::method::{RenameParams, SessionRename};
use delight_proto::id::SessionName;

use crate::context::Context;
use crate::failure::Failure;
use crate::view::{self, OneSession};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  delightctl rename k3f9x2ab build
  delightctl rename build --clear")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
    /// The new name: letters, digits and . _ -
    #[arg(required_unless_present = "clear", value_parser = parse_name)]
    name: Option<SessionName>,
    /// Take the name away
    #[arg(long, conflicts_with = "name")]
    clear: bool,
}

/// Reads a session name.
pub(super) fn parse_name(text: &str) -> Result<SessionName, String> {
    text.parse().map_err(|e: delight_proto::id::BadName| e.to_string())
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let params = RenameParams { session: self.session, name: self.name };
        let session = context.daemon()?.call::<SessionRename>(&params)?;
        context.out.result(&OneSession { session: &session }, || match &session.name {
            Some(name) => format!("{} is now called {name}\n", session.id.short()),
            None => format!(
                "{} has no name now\nnext: delightctl show {}\n",
                session.id.short(),
                view::handle(&session)
            ),
        })?;
        Ok(0)
    }
}
