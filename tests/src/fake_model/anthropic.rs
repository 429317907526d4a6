//! Anthropic messages.

use std::io;

use serde_json::{Value, json};

use super::conversation::{Conversation, Tool, Turn, text_of};
use super::http::Body;
use super::plan::{Item, Reply};

pub(super) fn parse(body: &Value) -> Conversation {
    let mut turns = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let of_model = message["role"] == "assistant";
        let text = |text: String| if of_model { Turn::Model(text) } else { Turn::User(text) };
        if message["role"] == "system" {
            continue;
        }
        if let Some(content) = message["content"].as_str() {
            turns.push(text(content.to_owned()));
        }
        for block in message["content"].as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("text") => turns.push(text(text_of(block))),
                Some("tool_use") => turns.push(Turn::Call),
                Some("tool_result") => turns.push(Turn::Result(text_of(&block["content"]))),
                _ => {}
            }
        }
    }
    let tool = |tool: &Value| {
        Some(Tool { name: tool["name"].as_str()?.to_owned(), schema: tool["input_schema"].clone() })
    };
    let format = [&body["output_config"]["format"], &body["output_format"]];
    Conversation {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        turns,
        tools: body["tools"].as_array().into_iter().flatten().filter_map(tool).collect(),
        stream: body["stream"] == true,
        schema: format.into_iter().find(|f| f["type"] == "json_schema").map(|f| f["schema"].clone()),
    }
}

/// Waits where an item says so.
pub(super) type Wait<'a> = dyn FnMut(&Item) -> io::Result<()> + 'a;

pub(super) fn speak(
    body: &mut Body<'_>,
    conversation: &Conversation,
    reply: &Reply,
    wait: &mut Wait<'_>,
) -> io::Result<()> {
    let id = super::fresh("msg_");
    let mut event = |kind: &str, mut data: Value| {
        data["type"] = kind.into();
        body.event(Some(kind), &data)
    };
    let usage = json!({"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0});
    let start = json!({
        "id": id, "type": "message", "role": "assistant", "model": conversation.model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    });
    event("message_start", json!({"message": start}))?;
    let mut content = Vec::new();
    for item in &reply.items {
        let index = content.len();
        let (block, empty, deltas) = match item {
            Item::Wait(_) | Item::Gate(_) => {
                wait(item)?;
                continue;
            }
            Item::Say(pieces) | Item::Slow { pieces, .. } => {
                let delta = |piece: &String| json!({"type": "text_delta", "text": piece});
                let text = pieces.concat();
                let deltas: Vec<Value> = pieces.iter().map(delta).collect();
                (json!({"type": "text", "text": text}), json!({"type": "text", "text": ""}), deltas)
            }
            Item::Think(text) => (
                json!({"type": "thinking", "thinking": text, "signature": "ZmFrZQ=="}),
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                vec![
                    json!({"type": "thinking_delta", "thinking": text}),
                    json!({"type": "signature_delta", "signature": "ZmFrZQ=="}),
                ],
            ),
            Item::Call { tool, input } => {
                let id = super::fresh("toolu_");
                (
                    json!({"type": "tool_use", "id": id, "name": tool, "input": input}),
                    json!({"type": "tool_use", "id": id, "name": tool, "input": {}}),
                    vec![json!({"type": "input_json_delta", "partial_json": input.to_string()})],
                )
            }
        };
        event("content_block_start", json!({"index": index, "content_block": empty}))?;
        for delta in deltas {
            if let Item::Slow { each, .. } = item {
                wait(&Item::Wait(*each))?;
            }
            event("content_block_delta", json!({"index": index, "delta": delta}))?;
        }
        event("content_block_stop", json!({"index": index}))?;
        content.push(block);
    }
    let reason = if reply.uses_tools() { "tool_use" } else { "end_turn" };
    event("message_delta", json!({"delta": {"stop_reason": reason, "stop_sequence": null}, "usage": usage}))?;
    event("message_stop", json!({}))?;
    let mut whole = start;
    whole["content"] = content.into();
    whole["stop_reason"] = reason.into();
    body.whole(whole);
    Ok(())
}
