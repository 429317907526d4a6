//! `events`: what happened to a session, numbered.

use delight_proto::api::method::{
    Change, EventsParams, SessionEvents, SessionGet, SessionRef, Subscribe, SubscribeParams,
};
use delight_proto::event::Event;
use serde::Serialize;

use crate::connection::Connection;
use crate::context::Context;
use crate::failure::Failure;
use crate::happening::line;
use crate::output::{Output, note, stdout};
use crate::span;

/// Events asked for at once: the daemon's own bound.
const PAGE: u32 = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  delightctl events build
  delightctl events build --follow --json")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
    /// Only events after this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// Go on with new ones until the session ends
    #[arg(long, short)]
    follow: bool,
}

#[derive(Serialize)]
struct Document {
    events: Vec<Event>,
    /// The oldest number still kept.
    first: u64,
    /// The newest number there is.
    last: u64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut daemon = context.daemon()?;
        let named = SessionRef { session: self.session };
        if self.follow {
            // The subscription comes first, so that nothing can happen unseen between the list and the changes.
            let mut watch = context.daemon()?;
            let session = daemon.call::<SessionGet>(&named)?;
            let id = session.id.to_string();
            let seen = watch.call::<Subscribe>(&SubscribeParams { session: Some(id.clone()) })?;
            let live = seen.sessions.first().is_some_and(|s| s.phase.is_live());
            return follow(context.out, &mut daemon, &mut watch, &id, self.after, live);
        }
        let params = |after| EventsParams { session: named.session.clone(), after, limit: PAGE };
        let mut page = daemon.call::<SessionEvents>(&params(self.after))?;
        let first = page.first;
        let mut events = Vec::new();
        while let Some(end) = page.events.last().map(|event| event.seq) {
            events.append(&mut page.events);
            page = daemon.call::<SessionEvents>(&params(end))?;
        }
        let last = page.last;
        if first > self.after + 1 && !events.is_empty() {
            note(&format!("events before number {first} are no longer kept\n"));
        }
        let document = Document { events, first, last };
        context.out.result(&document, || {
            let mut words: String =
                document.events.iter().map(|event| line(event, &span::clock) + "\n").collect();
            if words.is_empty() {
                words = "no events\n".to_owned();
            }
            words
        })?;
        Ok(0)
    }
}

fn follow(
    out: Output,
    daemon: &mut Connection,
    watch: &mut Connection,
    id: &str,
    mut after: u64,
    mut live: bool,
) -> Result<u8, Failure> {
    loop {
        loop {
            let params = EventsParams { session: id.to_owned(), after, limit: PAGE };
            let events = daemon.call::<SessionEvents>(&params)?.events;
            let Some(end) = events.last().map(|event| event.seq) else { break };
            after = end;
            for event in &events {
                if out.json {
                    out.document(event)?;
                } else {
                    stdout((line(event, &span::clock) + "\n").as_bytes())?;
                }
            }
        }
        if !live {
            return Ok(0);
        }
        match watch.change()? {
            Some(Change::Session { session }) => live = session.phase.is_live(),
            Some(Change::Removed { .. }) | None => live = false,
            // Whatever was missed is in the log, which is read next.
            Some(Change::Lagged { .. }) => {}
        }
    }
}
