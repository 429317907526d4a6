//! `why`: the events that led to the state a session is in.

use delight_proto::agent::RecordBody;
use delight_proto::api::method::{EventsParams, SessionEvents, SessionGet, SessionRef};
use delight_proto::event::{Event, EventBody};
use delight_proto::session::SessionView;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Tone;
use crate::{happening, span, view};

/// Events asked for at once: the daemon's own bound.
const PAGE: u32 = 1_000;

/// Events looked back at: a day of a busy agent.
const BACK: u64 = 5_000;

/// Show the chain of events that led to the state a session is in
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

#[derive(Serialize)]
struct Document<'a> {
    session: &'a SessionView,
    /// In the order they happened.
    because: Vec<&'a Event>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut daemon = context.daemon()?;
        let session = daemon.call::<SessionGet>(&SessionRef { session: self.session })?;
        let mut after = session.last_seq.saturating_sub(BACK);
        let mut events = Vec::new();
        loop {
            let params = EventsParams { session: session.id.to_string(), after, limit: PAGE };
            let mut page = daemon.call::<SessionEvents>(&params)?.events;
            let Some(last) = page.last() else { break };
            after = last.seq;
            events.append(&mut page);
        }
        let because = chain(&events);
        let document = Document { session: &session, because };
        context.out.result(&document, || {
            let mut words = format!(
                "{}  {}\n",
                context.out.paint(Tone::Strong, &view::title(&session)),
                context.out.paint(view::tone(&session), &view::state(&session))
            );
            for event in &document.because {
                words += &format!("  {}\n", happening::line(event, &span::clock));
            }
            words + &format!("next: delightctl events {}\n", view::handle(&session))
        })?;
        Ok(0)
    }
}

/// The events that still count, in order.
fn chain(events: &[Event]) -> Vec<&Event> {
    let mut kept: Vec<&Event> = Vec::new();
    for event in events {
        match &event.body {
            // A life begins: what led to the one before does not count any more, but who asked for this one.
            EventBody::Spawned { .. } | EventBody::Resumed { .. } => {
                kept.retain(|old| !is_life(&old.body));
                kept.push(event);
            }
            EventBody::Started { .. } => {
                kept.retain(|old| !matches!(old.body, EventBody::Started { .. } | EventBody::StartFailed { .. }));
                kept.push(event);
            }
            body if is_life(body) => kept.push(event),
            EventBody::ControlChanged { .. } => {
                kept.retain(|old| !matches!(old.body, EventBody::ControlChanged { .. }));
                kept.push(event);
            }
            EventBody::ActivityChanged { .. } => {
                kept.retain(|old| !matches!(old.body, EventBody::ActivityChanged { .. }));
                kept.push(event);
            }
            EventBody::BypassChanged { until_ms, .. } => {
                kept.retain(|old| !matches!(old.body, EventBody::BypassChanged { .. }));
                if until_ms.is_some() {
                    kept.push(event);
                }
            }
            EventBody::Trouble { warning } => {
                kept.retain(|old| !matches!(old.body, EventBody::Trouble { .. }));
                if !warning.is_empty() {
                    kept.push(event);
                }
            }
            EventBody::PermissionAsked { .. } => kept.push(event),
            EventBody::PermissionEnded { id, .. } => kept.retain(
                |old| !matches!(&old.body, EventBody::PermissionAsked { ask, .. } if ask.id == *id),
            ),
            EventBody::MessageAccepted { .. } => kept.push(event),
            EventBody::MessageDelivered { local_id } | EventBody::MessageDropped { local_id, .. } => kept.retain(
                |old| !matches!(&old.body, EventBody::MessageAccepted { message } if message.local_id == *local_id),
            ),
            EventBody::Recorded { record, .. } => match &record.body {
                RecordBody::TurnStarted { .. } => kept.push(event),
                RecordBody::TurnEnded { .. } => kept.retain(|old| !is_turn(&old.body)),
                _ => {}
            },
            _ => {}
        }
    }
    kept
}

/// Whether it is about the runner's life.
fn is_life(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::Spawned { .. }
            | EventBody::Resumed { .. }
            | EventBody::Started { .. }
            | EventBody::StartFailed { .. }
            | EventBody::Exited { .. }
            | EventBody::Interrupted { .. }
            | EventBody::Adopted { .. }
            | EventBody::StopRequested { .. }
            | EventBody::Signalled { .. }
            | EventBody::RestartScheduled { .. }
    )
}

fn is_turn(body: &EventBody) -> bool {
    matches!(body, EventBody::Recorded { record, .. } if matches!(record.body, RecordBody::TurnStarted { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::example;
    use delight_proto::agent::{Control, Outcome};
    use delight_proto::session::{Exit, Origin};

    fn because(bodies: Vec<EventBody>) -> Vec<u64> {
        let events: Vec<Event> =
            bodies.into_iter().zip(1..).map(|(body, seq)| Event { seq, at_ms: 0, offset: 0, body }).collect();
        chain(&events).iter().map(|event| event.seq).collect()
    }

    #[test]
    fn an_end_is_told_with_its_start_and_who_asked() {
        let by = || Origin::Daemon;
        let bodies = vec![
            EventBody::Spawned { origin: by() },
            EventBody::Started { generation: 1, pid: 1 },
            EventBody::Exited { generation: 1, exit: Exit::Code(1) },
            EventBody::Resumed { origin: by() },
            EventBody::Started { generation: 2, pid: 2 },
            EventBody::StopRequested { origin: by(), kill: false },
            EventBody::Exited { generation: 2, exit: Exit::Code(0) },
        ];
        assert_eq!(because(bodies), [4, 5, 6, 7]);
    }

    #[test]
    fn what_is_answered_does_not_count_any_more() {
        let ask = |id: &str| EventBody::PermissionAsked {
            ask: example::permission(id, "Bash", "x").ask,
            expires_ms: None,
        };
        let control = |control| EventBody::ControlChanged {
            control,
            generation: 2,
            origin: Origin::Daemon,
            why: String::new(),
        };
        let bodies = vec![
            control(Control::Local),
            ask("a"),
            control(Control::Remote),
            ask("b"),
            EventBody::PermissionEnded {
                id: "a".parse().unwrap(),
                outcome: Outcome::Allowed,
                decision: None,
                origin: Origin::Daemon,
                why: String::new(),
            },
        ];
        assert_eq!(because(bodies), [3, 4]);
    }
}
