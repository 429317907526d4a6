//! What people see of a message of Claude's conversation: the same from the stream and from the transcript, so that an
//! item read twice is one item.

use delight_proto::agent::{AgentRecord, RecordBody};

use super::shapes::{Block, Content, Said, Usage};
use super::tools;
use crate::adapters::shown;

/// What Claude writes in the user's name when a turn was stopped.
pub(super) const INTERRUPTED: &str = "[Request interrupted by user";

/// The records of an `assistant` line, or of the tool results of a `user` line.
pub(super) fn of(said: Said) -> Vec<AgentRecord> {
    let Said { message, uuid, parent_tool_use_id: parent, is_api_error, .. } = said;
    let blocks = match message.content {
        Content::Text(text) => vec![Block::Text { text }],
        Content::Blocks(blocks) => blocks,
    };
    let bodies = blocks.into_iter().enumerate().filter_map(|(n, block)| {
        // Both Claude's stream and its transcript have one block a line; a second one of a line gets a key of its own.
        let line = || uuid.as_ref().map(|uuid| if n == 0 { uuid.clone() } else { format!("{uuid}#{n}") });
        match block {
            Block::Text { text } if text.is_empty() => None,
            Block::Text { text } if is_api_error => {
                Some((line(), RecordBody::Error { message: text, retrying: false }))
            }
            Block::Text { text } => Some((line(), RecordBody::Text { text })),
            Block::Thinking { thinking } if thinking.is_empty() => None,
            Block::Thinking { thinking } => Some((line(), RecordBody::Thinking { text: thinking })),
            Block::ToolUse { id, name, input } => {
                let title = tools::title(&name, &input);
                Some((Some(id.clone()), RecordBody::ToolStarted { call: id, tool: name, title, input }))
            }
            Block::ToolResult { tool_use_id, content, is_error } => {
                let output = content.as_ref().map(text_of).filter(|text| !text.is_empty());
                let output = output.map(|text| shown::output(&text));
                let failed = is_error.unwrap_or(false);
                Some((Some(tool_use_id.clone()), RecordBody::ToolEnded { call: tool_use_id, failed, output }))
            }
            Block::Other => None,
        }
    });
    bodies.map(|(key, body)| AgentRecord { key, parent: parent.clone(), body }).collect()
}

/// The tool results of a `user` line alone: its words are not the agent's.
pub(super) fn tool_results(said: Said) -> Vec<AgentRecord> {
    let is_result = |record: &AgentRecord| matches!(record.body, RecordBody::ToolEnded { .. });
    of(said).into_iter().filter(is_result).collect()
}

/// The words in a content.
pub(super) fn text_of(content: &Content) -> String {
    match content {
        Content::Text(text) => text.clone(),
        Content::Blocks(blocks) => {
            let texts = blocks.iter().filter_map(|block| match block {
                Block::Text { text } => Some(text.as_str()),
                _ => None,
            });
            texts.collect::<Vec<_>>().join("\n")
        }
    }
}

/// Tokens as a record.
pub(super) fn usage(usage: &Usage, context_window: Option<u64>) -> RecordBody {
    RecordBody::Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_written_tokens: usage.cache_creation_input_tokens,
        cache_read_tokens: usage.cache_read_input_tokens,
        context_window,
    }
}
