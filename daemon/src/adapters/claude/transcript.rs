//! Claude's transcript, line by line, while its own terminal program writes it.

use delight_proto::agent::{AgentEvent, RecordBody, TurnStatus};

use super::records;
use super::shapes::{Content, Entry, Said, System};
use crate::adapters::shown;

/// Who wrote a line: Claude in remote mode. Its stream has told it.
const REMOTE: &str = "sdk-cli";

/// The turn under way, as far as the transcript tells.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    pub(super) turn: Option<String>,
}

impl Transcript {
    /// What a line means.
    pub(super) fn line(&mut self, line: &[u8]) -> Vec<AgentEvent> {
        match serde_json::from_slice(line) {
            Ok(Entry::Assistant(said)) if is_news(said.entrypoint.as_deref(), &said) => {
                let usage = said.message.stop_reason.is_some().then(|| {
                    let usage = said.message.usage.as_ref().map(|usage| records::usage(usage, None))?;
                    Some(shown::record(said.message.id.clone(), usage))
                });
                let failed = said.is_api_error;
                let records = records::of(said).into_iter().map(|record| AgentEvent::Record { record });
                let mut events: Vec<AgentEvent> = records.chain(usage.flatten()).collect();
                // No line says that a turn is over which ends like this.
                if failed {
                    events.extend(self.over(TurnStatus::Failed));
                }
                events
            }
            Ok(Entry::User(said)) if is_news(said.entrypoint.as_deref(), &said) => self.user(said),
            Ok(Entry::System(System { subtype, entrypoint, .. }))
                if subtype == "turn_duration" && entrypoint.as_deref() != Some(REMOTE) =>
            {
                self.over(TurnStatus::Completed)
            }
            Ok(_) => Vec::new(),
            Err(_) if line.trim_ascii().is_empty() => Vec::new(),
            Err(e) => vec![shown::skipped(line, shown::not_understood(&e))],
        }
    }

    fn user(&mut self, said: Said) -> Vec<AgentEvent> {
        let words = match &said.message.content {
            Content::Text(text) => text.clone(),
            blocks @ Content::Blocks(_) => records::text_of(blocks),
        };
        let human = said.origin.as_ref().is_none_or(|origin| origin.kind.as_deref() == Some("human"));
        let uuid = said.uuid.clone();
        let mut events: Vec<AgentEvent> =
            records::tool_results(said).into_iter().map(|record| AgentEvent::Record { record }).collect();
        if words.starts_with(records::INTERRUPTED) {
            events.extend(self.over(TurnStatus::Cancelled));
        } else if human && !words.is_empty() && !words.starts_with('<') {
            events.push(shown::record(uuid.clone(), RecordBody::UserText { text: words }));
            // One typed while Claude works is part of the same turn.
            if let (None, Some(turn)) = (&self.turn, uuid) {
                self.turn = Some(turn.clone());
                events.push(shown::record(Some(turn.clone()), RecordBody::TurnStarted { turn }));
            }
        }
        events
    }

    /// Ends the turn under way, if there is one.
    pub(super) fn over(&mut self, status: TurnStatus) -> Vec<AgentEvent> {
        let ended = |turn: String| shown::record(Some(turn.clone()), RecordBody::TurnEnded { turn, status });
        self.turn.take().map(ended).into_iter().collect()
    }
}

/// Whether a line is for people, and was not told by the stream already.
fn is_news(entrypoint: Option<&str>, said: &Said) -> bool {
    entrypoint != Some(REMOTE) && !said.is_sidechain && !said.is_meta
}
