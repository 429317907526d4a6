//! What an agent says in pieces, told as one.

use delight_proto::agent::{AgentEvent, RecordBody, bounds};

use super::shapes::Chunk;
use crate::adapters::shown;

/// The words that have come and are not told yet.
#[derive(Debug, Default)]
pub(super) struct Words(Option<Message>);

/// Of one message or thought.
#[derive(Debug)]
struct Message {
    thought: bool,
    id: Option<String>,
    /// How many records of it went before.
    part: u32,
    text: String,
}

impl Words {
    /// Takes in a piece. What was said before is told first if this is of something else; very long words in parts.
    pub(super) fn said(&mut self, chunk: Chunk, thought: bool, events: &mut Vec<AgentEvent>) {
        let same = |message: &Message| message.thought == thought && message.id == chunk.message_id;
        if !self.0.as_ref().is_some_and(same) {
            self.tell(events);
            self.0 = Some(Message { thought, id: chunk.message_id, part: 0, text: String::new() });
        }
        let Some(message) = &mut self.0 else { return };
        message.text.push_str(&chunk.content.text);
        if message.text.len() >= bounds::RECORD_TEXT / 2 {
            let next =
                Message { text: String::new(), id: message.id.clone(), part: message.part + 1, ..*message };
            self.tell(events);
            self.0 = Some(next);
        }
    }

    /// Tells them.
    pub(super) fn tell(&mut self, events: &mut Vec<AgentEvent>) {
        let Some(Message { thought, id, part, text }) = self.0.take() else { return };
        if text.is_empty() {
            return;
        }
        let key = id.map(|id| if part == 0 { id } else { format!("{id}#{part}") });
        let body = if thought { RecordBody::Thinking { text } } else { RecordBody::Text { text } };
        events.push(shown::record(key, body));
    }
}
