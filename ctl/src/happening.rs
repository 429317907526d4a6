//! What happened to a session, as a person reads it.

use delight_proto::agent::{Activity, Control, Offers, Outcome, RecordBody, TurnStatus};
use delight_proto::event::{Event, EventBody};
use delight_proto::session::Origin;

use crate::{span, text};

/// Characters of a text that are shown in a line; the whole of it is in `--json`.
const EXCERPT: usize = 120;

/// One event in one line.
pub(crate) fn line(event: &Event, clock: &impl Fn(u64) -> String) -> String {
    format!("{:>4}  {}  {}", event.seq, clock(event.at_ms), text::visible(&words(&event.body)))
}

/// What happened, without number and time.
pub(crate) fn words(body: &EventBody) -> String {
    match body {
        EventBody::Spawned { origin } => format!("spawned by {}", who(origin)),
        EventBody::HolderStarted { holder } => format!("holder started (pid {})", holder.process.pid),
        EventBody::Started { generation: 1, pid } => format!("started (pid {pid})"),
        EventBody::Started { generation, pid } => format!("started again (pid {pid}, start {generation})"),
        EventBody::StartFailed { reason, .. } => format!("could not be started: {reason}"),
        EventBody::Exited { exit, .. } => format!("exited: {exit}"),
        EventBody::Interrupted { reason } => format!("interrupted: {reason}"),
        EventBody::Adopted { .. } => "found alive by a new daemon".to_owned(),
        EventBody::InputSent { origin, bytes } => format!("{bytes} bytes of input sent by {}", who(origin)),
        EventBody::StopRequested { origin, kill: false } => format!("stop asked for by {}", who(origin)),
        EventBody::StopRequested { origin, kill: true } => format!("kill asked for by {}", who(origin)),
        EventBody::Signalled { signal } => format!("signal {signal} sent to its processes"),
        EventBody::RestartScheduled { attempt, due_ms } => {
            format!("restart {attempt} due at {}", span::clock(*due_ms))
        }
        EventBody::Resumed { origin } => format!("resumed by {}", who(origin)),
        EventBody::Renamed { name: Some(name) } => format!("renamed to {name}"),
        EventBody::Renamed { name: None } => "name taken away".to_owned(),
        EventBody::Trouble { warning } if warning.is_empty() => "trouble is over".to_owned(),
        EventBody::Trouble { warning } => format!("trouble: {warning}"),
        EventBody::Recorded { record, .. } => item(&record.body),
        EventBody::ConversationChanged { conversation } => format!("conversation {conversation}"),
        EventBody::ActivityChanged { view } => format!("agent: {}", activity(view.activity)),
        EventBody::ModeChanged { mode, origin } => {
            let set = [
                ("model", &mode.model),
                ("permission mode", &mode.permission_mode),
                ("effort", &mode.effort),
            ];
            let set = set.map(|(what, name)| name.as_ref().map(|name| format!("{what} {name}")));
            let set: Vec<_> = set.into_iter().flatten().collect();
            format!("set by {}: {}", who(origin), set.join(", "))
        }
        EventBody::OffersChanged { offers } => format!("has to offer: {}", self::offers(offers)),
        EventBody::PermissionAsked { ask, .. } => {
            format!("asks (permission {}): {} {}", ask.id, ask.tool, excerpt(&ask.title))
        }
        EventBody::PermissionEnded { id, outcome, origin, why, .. } => {
            format!("permission {id} {} by {}{}", self::outcome(*outcome), who(origin), because(why))
        }
        EventBody::DecisionDelivered { id } => format!("agent has the answer to permission {id}"),
        EventBody::MessageAccepted { message } => {
            format!("message of {}: {}", who(&message.origin), excerpt(&message.text))
        }
        EventBody::MessageDelivered { local_id } => format!("agent has message {local_id}"),
        EventBody::MessageDropped { local_id, reason } => format!("message {local_id} dropped: {reason}"),
        EventBody::AbortRequested { origin } => format!("abort asked for by {}", who(origin)),
        EventBody::ControlChanged { control, origin, why, .. } => {
            format!("{} drives, by {}{}", driver(*control), who(origin), because(why))
        }
        EventBody::BypassChanged { until_ms: Some(until), origin } => {
            format!("everything allowed unasked until {}, by {}", span::clock(*until), who(origin))
        }
        EventBody::BypassChanged { until_ms: None, origin } => {
            format!("permissions are asked for again, by {}", who(origin))
        }
        EventBody::Skipped { bytes, what, .. } => format!("{bytes} bytes of the agent left out: {what}"),
    }
}

/// An item of the conversation in one line.
fn item(body: &RecordBody) -> String {
    match body {
        RecordBody::TurnStarted { .. } => "turn started".to_owned(),
        RecordBody::TurnEnded { status, .. } => format!(
            "turn {}",
            match status {
                TurnStatus::Completed => "completed",
                TurnStatus::Failed => "failed",
                TurnStatus::Cancelled => "cancelled",
            }
        ),
        RecordBody::UserText { text } => format!("typed: {}", excerpt(text)),
        RecordBody::Text { text } => format!("says: {}", excerpt(text)),
        RecordBody::Thinking { text } => format!("thinks: {}", excerpt(text)),
        RecordBody::ToolStarted { tool, title, .. } => format!("tool {tool}: {}", excerpt(title)),
        RecordBody::ToolEnded { failed: true, .. } => "tool failed".to_owned(),
        RecordBody::ToolEnded { failed: false, .. } => "tool done".to_owned(),
        RecordBody::Usage { input_tokens, output_tokens, .. } => {
            format!("{input_tokens} tokens read, {output_tokens} written")
        }
        RecordBody::Error { message, retrying: false } => format!("error: {}", excerpt(message)),
        RecordBody::Error { message, retrying: true } => format!("error, tries again: {}", excerpt(message)),
        RecordBody::Notice { message } => format!("note: {}", excerpt(message)),
    }
}

/// The first line of a text, cut to what fits a line.
pub(crate) fn excerpt(text: &str) -> String {
    let text = text.trim();
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(EXCERPT).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// Who drives, for a person.
pub(crate) fn driver(control: Control) -> &'static str {
    match control {
        Control::Local => "the desktop",
        Control::Remote => "the phone",
    }
}

/// What an agent is doing, in a word.
pub(crate) fn activity(activity: Activity) -> &'static str {
    match activity {
        Activity::Unknown => "unknown",
        Activity::Idle => "idle",
        Activity::Working => "working",
        Activity::NeedsDecision => "needs you",
    }
}

/// How a permission ended, in a word.
pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allowed => "allowed",
        Outcome::Denied => "denied",
        Outcome::Expired => "expired",
        Outcome::Withdrawn => "withdrawn",
    }
}

/// Which lists of what an agent offers there are, and how long they are.
pub(crate) fn offers(offers: &Offers) -> String {
    fn count<T>(list: &Option<Vec<T>>) -> Option<usize> {
        list.as_ref().map(Vec::len)
    }
    let lists = [
        (count(&offers.tools), "tools"),
        (count(&offers.commands), "commands"),
        (count(&offers.skills), "skills"),
        (count(&offers.servers), "tool servers"),
        (count(&offers.models), "models"),
        (count(&offers.permission_modes), "permission modes"),
        (count(&offers.efforts), "efforts"),
    ];
    let words = lists.into_iter().filter_map(|(count, what)| Some(format!("{} {what}", count?)));
    words.collect::<Vec<_>>().join(", ")
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

/// Who did something.
pub(crate) fn who(origin: &Origin) -> String {
    match origin {
        Origin::Desktop { pid: Some(pid) } => format!("this machine (pid {pid})"),
        Origin::Desktop { pid: None } => "this machine".to_owned(),
        Origin::Phone { device } => format!("phone {device}"),
        Origin::Daemon => "the daemon".to_owned(),
    }
}
