//! What an agent does while the phone drives, as lines for the attached terminal.

use delight_proto::agent::{Activity, Outcome, RecordBody, TurnStatus};
use delight_proto::event::{Event, EventBody};
use delight_proto::session::SessionView;

use crate::output::{Output, Tone, paint};
use crate::{happening, text, view};

/// Most lines of one text that are shown; the whole of it is in `delightctl events --json`.
const MOST_LINES: usize = 200;

/// How events are written.
#[derive(Debug, Clone)]
pub(super) struct Transcript {
    /// How words are written.
    pub(super) out: Output,
    /// What a person calls the session.
    pub(super) handle: String,
}

impl Transcript {
    /// The lines of an event; none for what only programs care for.
    pub(super) fn lines(&self, event: &Event) -> Vec<String> {
        match &event.body {
            EventBody::MessageAccepted { message } => self.block("> ", Tone::Strong, &message.text),
            EventBody::Recorded { record, .. } => self.item(&record.body, record.parent.is_some()),
            EventBody::PermissionAsked { ask, .. } => {
                let what = if ask.question { "question" } else { "permission" };
                let line = format!("? {what} {} {}", ask.tool, happening::excerpt(&ask.title));
                let answer = if ask.question { " --answer KEY=VALUE" } else { "" };
                let how = format!(
                    "  in another terminal: delightctl allow {h} {id}{answer}, or delightctl deny {h} {id}",
                    h = self.handle,
                    id = ask.id
                );
                vec![self.one(Tone::Warn, &line), self.one(Tone::Faint, &self.out.directed(&how))]
            }
            EventBody::PermissionEnded { outcome, origin, why, .. } => {
                let tone = if *outcome == Outcome::Allowed { Tone::Good } else { Tone::Bad };
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                let line = format!("  {} by {}{why}", happening::outcome(*outcome), happening::who(origin));
                vec![self.one(tone, &line)]
            }
            EventBody::ControlChanged { control, why, .. } => {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                vec![self.one(Tone::Strong, &format!("── {} drives{why} ──", happening::driver(*control)))]
            }
            EventBody::MessageDropped { reason, .. } => {
                vec![self.one(Tone::Bad, &format!("! a message was not delivered: {reason}"))]
            }
            EventBody::ActivityChanged { .. }
            | EventBody::MessageDelivered { .. }
            | EventBody::DecisionDelivered { .. }
            | EventBody::ConversationChanged { .. }
            | EventBody::InputSent { .. }
            | EventBody::Signalled { .. } => Vec::new(),
            body => vec![self.one(Tone::Faint, &format!("  {}", happening::words(body)))],
        }
    }

    fn item(&self, body: &RecordBody, inner: bool) -> Vec<String> {
        let indent = if inner { "    " } else { "" };
        match body {
            RecordBody::UserText { text } => self.block("> ", Tone::Strong, text),
            RecordBody::Text { text } => self.block(indent, Tone::Plain, text),
            RecordBody::Thinking { text } => {
                vec![self.one(Tone::Faint, &format!("{indent}… {}", happening::excerpt(text)))]
            }
            RecordBody::ToolStarted { tool, title, .. } => {
                vec![self.one(Tone::Plain, &format!("{indent}• {tool} {}", happening::excerpt(title)))]
            }
            RecordBody::ToolEnded { failed: true, output, .. } => {
                let why = output.as_deref().map(happening::excerpt).unwrap_or_default();
                vec![self.one(Tone::Bad, &format!("{indent}  failed {why}"))]
            }
            RecordBody::TurnEnded { status, .. } => match status {
                TurnStatus::Completed => Vec::new(),
                TurnStatus::Failed => vec![self.one(Tone::Bad, "── failed ──")],
                TurnStatus::Cancelled => vec![self.one(Tone::Warn, "── stopped ──")],
            },
            RecordBody::Error { message, retrying } => {
                let again = if *retrying { " (it tries again)" } else { "" };
                vec![self.one(Tone::Bad, &format!("! {}{again}", happening::excerpt(message)))]
            }
            RecordBody::Notice { message } => {
                vec![self.one(Tone::Faint, &format!("  {}", happening::excerpt(message)))]
            }
            RecordBody::ToolEnded { failed: false, .. }
            | RecordBody::TurnStarted { .. }
            | RecordBody::Usage { .. } => Vec::new(),
        }
    }

    fn one(&self, tone: Tone, line: &str) -> String {
        paint(self.out.colour, tone, &text::visible(line))
    }

    /// A text of several lines, the first with a mark and the rest below it.
    fn block(&self, mark: &str, tone: Tone, words: &str) -> Vec<String> {
        let below = " ".repeat(text::width(mark));
        let mut lines: Vec<String> = words
            .trim_end()
            .lines()
            .take(MOST_LINES)
            .enumerate()
            .map(|(n, line)| {
                // Tabs are text here; other control characters are shown, not obeyed.
                let line = line.replace('\t', "    ");
                self.one(tone, &format!("{}{line}", if n == 0 { mark } else { &below }))
            })
            .collect();
        let left = words.trim_end().lines().count().saturating_sub(MOST_LINES);
        if left > 0 {
            lines.push(self.one(Tone::Faint, &format!("{below}… {}", text::count(left as u64, "more line"))));
        }
        lines
    }

    /// The line at the bottom: who drives, what the agent does, what keys do.
    pub(super) fn status(&self, view: &SessionView, hint: &str) -> String {
        let agent = view.agent.as_deref();
        let driver = match agent {
            Some(agent) if agent.shared => "desktop and phone drive".to_owned(),
            Some(agent) if agent.switching => format!("{} is taking over", happening::driver(agent.control)),
            Some(agent) => format!("{} drives", happening::driver(agent.control)),
            None => "nobody drives".to_owned(),
        };
        let doing = match agent {
            Some(agent) if !agent.pending.is_empty() => "needs you".to_owned(),
            Some(agent) => match agent.activity.map(|now| now.activity) {
                None | Some(Activity::Unknown) => view::phase(view.phase).to_owned(),
                Some(activity) => happening::activity(activity).to_owned(),
            },
            None => String::new(),
        };
        format!("[{}] {driver} · {doing} · {hint}", text::visible(&self.handle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::example;
    use delight_proto::agent::{AgentRecord, Mark, Message, Source};
    use delight_proto::session::Origin;

    const PLAIN: Output = Output { json: false, colour: false, machine: None };

    fn lines(body: EventBody) -> Vec<String> {
        let transcript = Transcript { out: PLAIN, handle: "web".to_owned() };
        transcript.lines(&Event { seq: 1, at_ms: 1, offset: 0, body })
    }

    fn item(body: RecordBody) -> Vec<String> {
        let record = AgentRecord { key: None, parent: None, body };
        lines(EventBody::Recorded { source: Source::Stream, mark: Mark::default(), record })
    }

    #[test]
    fn a_conversation_reads_like_one() {
        let message = Message {
            local_id: "l".parse().unwrap(),
            text: "fix it\nplease".to_owned(),
            origin: Origin::Phone { device: "d".to_owned() },
        };
        assert_eq!(lines(EventBody::MessageAccepted { message }), ["> fix it", "  please"]);
        assert_eq!(
            item(RecordBody::Text { text: "I will.\n\n\tsoon\n".to_owned() }),
            ["I will.", "", "    soon"]
        );
        let tool = RecordBody::ToolStarted {
            call: "c".to_owned(),
            tool: "Bash".to_owned(),
            title: "npm test".to_owned(),
            input: serde_json::Value::Null,
        };
        assert_eq!(item(tool), ["• Bash npm test"]);
        let ask = example::permission("p1", "Bash", "rm x").ask;
        assert_eq!(
            lines(EventBody::PermissionAsked { ask, expires_ms: None }),
            [
                "? permission Bash rm x",
                "  in another terminal: delightctl allow web p1, or delightctl deny web p1"
            ]
        );
    }

    #[test]
    fn what_an_agent_says_cannot_move_the_cursor() {
        let said = item(RecordBody::Text { text: "a\x1b[2Jb\rc".to_owned() });
        assert_eq!(said, ["a\\e[2Jb\\rc"]);
        assert_eq!(item(RecordBody::Text { text: "x\n".repeat(500) }).len(), MOST_LINES + 1);
    }

    #[test]
    fn the_status_says_who_drives_and_what_keys_do() {
        let transcript = Transcript { out: PLAIN, handle: "web".to_owned() };
        let mut view = example::agent_session(1);
        view.agent.as_mut().unwrap().control = delight_proto::agent::Control::Remote;
        assert_eq!(transcript.status(&view, "hint"), "[web] the phone drives · running · hint");
        view.agent.as_mut().unwrap().shared = true;
        assert_eq!(transcript.status(&view, "h"), "[web] desktop and phone drive · running · h");
        view.agent.as_mut().unwrap().pending = vec![example::permission("p", "Bash", "x")];
        assert!(transcript.status(&view, "").contains("needs you"));
    }
}
