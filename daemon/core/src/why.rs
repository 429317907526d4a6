//! Why a session is as it is: the events of its log that led to its present state.

use std::collections::BTreeMap;

use delight_proto::agent::RecordBody;
use delight_proto::event::{Event, EventBody};

/// Events looked back at: a day of a busy agent.
pub const BACK: u64 = 5_000;

/// Most events of one chain that are shown; of longer ones (a runner that is started again and again) the newest.
const LONGEST: usize = 16;

/// What is asked about: each has a chain of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About<'a> {
    /// Whether it runs, starts, ended.
    Phase,
    /// Who drives.
    Control,
    /// A permission that waits.
    Permission(&'a str),
    /// A message that waits.
    Message(&'a str),
    /// The turn that is open.
    Turn,
    /// What the agent does.
    Activity,
    /// Everything is allowed unasked.
    Bypass,
    /// Its holder's trouble.
    Trouble,
}

/// The events that explain the present state, in order: from whatever was asked for last to what came of it; and what
/// is open now.
#[must_use]
pub fn why(log: &[Event]) -> Vec<&Event> {
    let mut chains: BTreeMap<About<'_>, Vec<&Event>> = BTreeMap::new();
    for event in log {
        let Some((about, part)) = part(&event.body) else { continue };
        match part {
            Part::Begins => drop(chains.insert(about, vec![event])),
            Part::GoesOn => chains.entry(about).or_default().push(event),
            Part::Ends => drop(chains.remove(&about)),
        }
        if ended(&event.body) {
            // With the runner went what its agent had open.
            chains.retain(|about, _| !matches!(about, About::Turn | About::Activity));
        }
    }
    let mut events: Vec<&Event> = chains.into_values().flat_map(newest).collect();
    events.sort_unstable_by_key(|event| event.seq);
    events.dedup_by_key(|event| event.seq);
    events
}

/// The newest of a chain, and what it began with.
fn newest(chain: Vec<&Event>) -> Vec<&Event> {
    let skipped = chain.len().saturating_sub(LONGEST);
    let first = chain.first().copied().filter(|_| skipped > 0);
    first.into_iter().chain(chain.into_iter().skip(skipped)).collect()
}

/// What an event does to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Begins,
    GoesOn,
    Ends,
}

fn ended(body: &EventBody) -> bool {
    matches!(body, EventBody::Exited { .. } | EventBody::Interrupted { .. })
}

fn part(body: &EventBody) -> Option<(About<'_>, Part)> {
    let part = match body {
        EventBody::Spawned { .. } | EventBody::Resumed { .. } | EventBody::StopRequested { .. } => {
            (About::Phase, Part::Begins)
        }
        EventBody::HolderStarted { .. }
        | EventBody::Started { .. }
        | EventBody::StartFailed { .. }
        | EventBody::Exited { .. }
        | EventBody::Interrupted { .. }
        | EventBody::Adopted { .. }
        | EventBody::Signalled { .. }
        | EventBody::RestartScheduled { .. } => (About::Phase, Part::GoesOn),
        EventBody::ControlChanged { origin, .. } if *origin == delight_proto::session::Origin::Daemon => {
            // It fell back: whose wish that had been belongs to it.
            (About::Control, Part::GoesOn)
        }
        EventBody::ControlChanged { .. } => (About::Control, Part::Begins),
        EventBody::PermissionAsked { ask, .. } => (About::Permission(ask.id.as_str()), Part::Begins),
        EventBody::PermissionEnded { id, decision: Some(_), .. } => {
            (About::Permission(id.as_str()), Part::GoesOn)
        }
        EventBody::PermissionEnded { id, .. } | EventBody::DecisionDelivered { id } => {
            (About::Permission(id.as_str()), Part::Ends)
        }
        EventBody::MessageAccepted { message } => (About::Message(message.local_id.as_str()), Part::Begins),
        EventBody::MessageDelivered { local_id } | EventBody::MessageDropped { local_id, .. } => {
            (About::Message(local_id.as_str()), Part::Ends)
        }
        EventBody::ActivityChanged { .. } => (About::Activity, Part::Begins),
        EventBody::BypassChanged { until_ms: Some(_), .. } => (About::Bypass, Part::Begins),
        EventBody::BypassChanged { until_ms: None, .. } => (About::Bypass, Part::Ends),
        EventBody::Trouble { warning } if warning.is_empty() => (About::Trouble, Part::Ends),
        EventBody::Trouble { .. } => (About::Trouble, Part::Begins),
        EventBody::Recorded { record, .. } => match record.body {
            RecordBody::TurnStarted { .. } => (About::Turn, Part::Begins),
            RecordBody::TurnEnded { .. } => (About::Turn, Part::Ends),
            _ => return None,
        },
        EventBody::InputSent { .. }
        | EventBody::Renamed { .. }
        | EventBody::ConversationChanged { .. }
        | EventBody::ModeChanged { .. }
        | EventBody::OffersChanged { .. }
        | EventBody::AbortRequested { .. }
        | EventBody::Skipped { .. } => return None,
    };
    Some(part)
}
