//! Gemini's generateContent.

use std::io;

use serde_json::{Value, json};

use super::anthropic::Wait;
use super::conversation::{Conversation, Tool, Turn, text_of};
use super::http::Body;
use super::plan::{Item, Reply};

pub(super) fn parse(path: &str, body: &Value) -> Conversation {
    let mut turns = Vec::new();
    for content in body["contents"].as_array().into_iter().flatten() {
        for part in content["parts"].as_array().into_iter().flatten() {
            if part.get("functionCall").is_some() {
                turns.push(Turn::Call);
            } else if let Some(result) = part.get("functionResponse") {
                turns.push(Turn::Result(text_of(&result["response"])));
            } else if let (Some(text), false) = (part["text"].as_str(), part["thought"] == true) {
                let of_model = content["role"] == "model";
                turns.push(if of_model { Turn::Model(text.to_owned()) } else { Turn::User(text.to_owned()) });
            }
        }
    }
    let groups = body["tools"].as_array().into_iter().flatten();
    let declared = groups.filter_map(|group| group["functionDeclarations"].as_array()).flatten();
    let tool = |tool: &Value| {
        let schema = tool.get("parametersJsonSchema").or_else(|| tool.get("parameters"));
        Some(Tool { name: tool["name"].as_str()?.to_owned(), schema: schema.cloned().unwrap_or_default() })
    };
    let config = &body["generationConfig"];
    let schema = config.get("responseJsonSchema").or_else(|| config.get("responseSchema"));
    let model = path.rsplit('/').next().and_then(|name| name.split(':').next());
    Conversation {
        model: model.unwrap_or_default().to_owned(),
        turns,
        tools: declared.filter_map(tool).collect(),
        stream: path.ends_with(":streamGenerateContent"),
        schema: schema.cloned(),
    }
}

pub(super) fn speak(
    body: &mut Body<'_>,
    conversation: &Conversation,
    reply: &Reply,
    wait: &mut Wait<'_>,
) -> io::Result<()> {
    let chunk = |parts: Vec<Value>, finish: Option<&str>| {
        let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
        if let Some(finish) = finish {
            candidate["finishReason"] = finish.into();
        }
        json!({
            "candidates": [candidate], "modelVersion": conversation.model, "responseId": super::fresh("gem"),
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120},
        })
    };
    let mut all = Vec::new();
    for item in &reply.items {
        match item {
            Item::Wait(_) | Item::Gate(_) => wait(item)?,
            Item::Say(pieces) | Item::Slow { pieces, .. } => {
                for piece in pieces {
                    if let Item::Slow { each, .. } = item {
                        wait(&Item::Wait(*each))?;
                    }
                    body.event(None, &chunk(vec![json!({"text": piece})], None))?;
                }
                all.push(json!({"text": pieces.concat()}));
            }
            Item::Think(text) => {
                body.event(None, &chunk(vec![json!({"text": text, "thought": true})], None))?;
            }
            Item::Call { tool, input } => {
                let call = json!({"functionCall": {"id": super::fresh("fc"), "name": tool, "args": input}});
                body.event(None, &chunk(vec![call.clone()], None))?;
                all.push(call);
            }
        }
    }
    body.event(None, &chunk(vec![json!({"text": ""})], Some("STOP")))?;
    body.whole(chunk(all, Some("STOP")));
    Ok(())
}
