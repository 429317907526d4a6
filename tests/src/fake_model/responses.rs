//! OpenAI responses.

use std::io;

use serde_json::{Value, json};

use super::anthropic::Wait;
use super::conversation::{Conversation, Tool, Turn, text_of};
use super::http::Body;
use super::plan::{Item, Reply};

pub(super) fn parse(body: &Value) -> Conversation {
    let mut turns = Vec::new();
    let mut tools = named_tools(&body["tools"]);
    for item in body["input"].as_array().into_iter().flatten() {
        match item["type"].as_str().unwrap_or("message") {
            // Some agents send their tools within the conversation.
            "additional_tools" => tools.extend(named_tools(&item["tools"])),
            "message" => match item["role"].as_str() {
                // Several texts of one item are several prompts: the agent's own words come before the person's.
                Some("user") => {
                    let parts = item["content"].as_array().into_iter().flatten();
                    turns.extend(parts.map(|part| Turn::User(text_of(part))));
                }
                Some("assistant") => turns.push(Turn::Model(text_of(&item["content"]))),
                _ => {}
            },
            "function_call" | "custom_tool_call" | "local_shell_call" => turns.push(Turn::Call),
            kind if kind.ends_with("_output") => turns.push(Turn::Result(text_of(&item["output"]))),
            _ => {}
        }
    }
    let format = &body["text"]["format"];
    Conversation {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        turns,
        tools,
        stream: body["stream"] == true,
        schema: (format["type"] == "json_schema").then(|| format["schema"].clone()),
    }
}

fn named_tools(tools: &Value) -> Vec<Tool> {
    let mut named = Vec::new();
    for tool in tools.as_array().into_iter().flatten() {
        match (tool["type"].as_str(), tool["name"].as_str()) {
            (Some("function"), Some(name)) => {
                named.push(Tool { name: name.to_owned(), schema: tool["parameters"].clone() });
            }
            (Some("namespace"), _) => named.extend(named_tools(&tool["tools"])),
            _ => {}
        }
    }
    named
}

pub(super) fn speak(
    body: &mut Body<'_>,
    conversation: &Conversation,
    reply: &Reply,
    wait: &mut Wait<'_>,
) -> io::Result<()> {
    let id = super::fresh("resp_");
    let mut number = 0;
    let mut event = |kind: &str, mut data: Value| {
        data["type"] = kind.into();
        data["sequence_number"] = number.into();
        number += 1;
        body.event(Some(kind), &data)
    };
    let response = |status: &str, output: &[Value]| {
        let usage = json!({
            "input_tokens": 100, "output_tokens": 20, "total_tokens": 120,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        });
        json!({
            "id": id, "object": "response", "created_at": 1_767_225_600, "status": status,
            "model": conversation.model, "output": output, "parallel_tool_calls": true, "error": null,
            "incomplete_details": null, "usage": if status == "completed" { usage } else { Value::Null },
        })
    };
    event("response.created", json!({"response": response("in_progress", &[])}))?;
    let mut output: Vec<Value> = Vec::new();
    for item in &reply.items {
        let index = output.len();
        let done = match item {
            Item::Wait(_) | Item::Gate(_) => {
                wait(item)?;
                continue;
            }
            Item::Say(pieces) | Item::Slow { pieces, .. } => {
                let id = super::fresh("msg_");
                let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
                let message = |status: &str, content: Value| json!({"type": "message", "id": id, "role": "assistant", "status": status, "content": content});
                let place = |mut data: Value| {
                    data["output_index"] = index.into();
                    data["item_id"] = id.clone().into();
                    data["content_index"] = 0.into();
                    data
                };
                let text = pieces.concat();
                let added = json!({"output_index": index, "item": message("in_progress", json!([]))});
                event("response.output_item.added", added)?;
                event("response.content_part.added", place(json!({"part": part("")})))?;
                for piece in pieces {
                    if let Item::Slow { each, .. } = item {
                        wait(&Item::Wait(*each))?;
                    }
                    event("response.output_text.delta", place(json!({"delta": piece})))?;
                }
                event("response.output_text.done", place(json!({"text": text})))?;
                event("response.content_part.done", place(json!({"part": part(&text)})))?;
                message("completed", json!([part(&text)]))
            }
            Item::Think(text) => {
                let id = super::fresh("rs_");
                let whole = |summary: Value| json!({"type": "reasoning", "id": id, "encrypted_content": null, "summary": summary});
                event(
                    "response.output_item.added",
                    json!({"output_index": index, "item": whole(json!([]))}),
                )?;
                whole(json!([{"type": "summary_text", "text": text}]))
            }
            Item::Call { tool, input } => {
                let call = |status: &str, arguments: String, id: &str, call: &str| {
                    json!({
                        "type": "function_call", "id": id, "call_id": call, "status": status, "name": tool,
                        "arguments": arguments,
                    })
                };
                let (id, call_id) = (super::fresh("fc_"), super::fresh("call_"));
                let begun = call("in_progress", String::new(), &id, &call_id);
                event("response.output_item.added", json!({"output_index": index, "item": begun}))?;
                let arguments = input.to_string();
                let place = json!({"output_index": index, "item_id": id, "delta": arguments});
                event("response.function_call_arguments.delta", place)?;
                let place = json!({"output_index": index, "item_id": id, "arguments": arguments});
                event("response.function_call_arguments.done", place)?;
                call("completed", arguments, &id, &call_id)
            }
        };
        event("response.output_item.done", json!({"output_index": index, "item": done}))?;
        output.push(done);
    }
    let whole = response("completed", &output);
    event("response.completed", json!({"response": whole}))?;
    body.whole(whole);
    Ok(())
}
