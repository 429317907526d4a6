//! `why`: the events that led to the state a session is in.

use delight_proto::api::method::{SessionRef, SessionWhy};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Tone;
use crate::{happening, span, view};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only what still counts is shown: how it was last started or ended and by whom, who drives and since when, what it waits \
for. delightctl events shows all of them.

Example:
  delightctl why review")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let document = context.daemon()?.call::<SessionWhy>(&SessionRef { session: self.session })?;
        let session = &document.session;
        context.out.result(&document, || {
            let mut words = format!(
                "{}  {}\n",
                context.out.paint(Tone::Strong, &view::title(session)),
                context.out.paint(view::tone(session), &view::state(session))
            );
            for event in &document.because {
                words += &format!("  {}\n", happening::line(event, &span::clock));
            }
            words + &format!("next: delightctl events {}\n", view::handle(session))
        })?;
        Ok(0)
    }
}
