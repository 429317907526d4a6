//! What the model says to a request.

use std::time::Duration;

use serde_json::{Value, json};

use super::conversation::Conversation;
use super::script::{self, Step};
use super::tools;

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// Words, in pieces.
    Say(Vec<String>),
    /// A thought.
    Think(String),
    /// A tool is used.
    Call { tool: String, input: Value },
    /// Silence.
    Wait(Duration),
    /// Silence until a test says otherwise.
    Gate(String),
    /// Words that take their time: this long before each piece.
    Slow { pieces: Vec<String>, each: Duration },
}

/// A reply.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) items: Vec<Item>,
    /// The request fails instead: status and message.
    pub(super) failure: Option<(u16, String)>,
}

impl Reply {
    pub(super) fn uses_tools(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Call { .. }))
    }

    fn say(&mut self, text: &str) {
        self.items.push(Item::Say(pieces(text, 4)));
    }
}

/// Decides it.
pub(super) fn reply(conversation: &Conversation) -> Reply {
    let mut reply = Reply::default();
    if let Some(schema) = &conversation.schema {
        reply.say(&sample(schema).to_string());
        return reply;
    }
    // Agents ask on the side for a title or a summary; nobody can use a tool there.
    if conversation.tools.is_empty() {
        reply.say("Fake title");
        return reply;
    }
    let Some((at, text)) = conversation.script() else {
        reply.say(&format!("ok: {}", conversation.prompts().last().map_or("", String::as_str)));
        return reply;
    };
    let rounds = script::rounds(&text);
    match rounds.get(conversation.rounds_after(at)) {
        Some(round) => round.iter().for_each(|step| play(conversation, step, &mut reply)),
        None => reply.say(&format!("done: {}", conversation.last_results().join(" | ").trim())),
    }
    reply
}

fn play(conversation: &Conversation, step: &Step, reply: &mut Reply) {
    let argument = step.argument.as_str();
    let (first, rest) = argument.split_once(' ').unwrap_or((argument, ""));
    match step.verb {
        "say" => reply.say(argument),
        "think" => reply.items.push(Item::Think(argument.to_owned())),
        "slow" => {
            let seconds = first.parse().unwrap_or(10.0_f64).clamp(0.1, 300.0);
            let count = ((seconds * 5.0) as usize).max(2);
            let words = || (1..=count).map(|n| format!("word{n} ")).collect::<String>();
            let text = if rest.is_empty() { words() } else { rest.to_owned() };
            let pieces = pieces(&text, count);
            let each = Duration::from_secs_f64(seconds / pieces.len() as f64);
            reply.items.push(Item::Slow { pieces, each });
        }
        "big" => {
            let size = first.parse().unwrap_or(100_000_usize).min(8 << 20);
            let text: String = "0123456789abcdef".chars().cycle().take(size).collect();
            reply.items.push(Item::Say(pieces(&text, size.div_ceil(2_000))));
        }
        "recall" => {
            let prompts = conversation.prompts();
            let numbered = prompts.iter().enumerate().map(|(n, prompt)| format!("{}) {prompt}", n + 1));
            reply.say(&format!("recall: {}", numbered.collect::<Vec<_>>().join(" | ").replace('\n', " ")));
        }
        "hang" => reply.items.push(Item::Wait(Duration::from_secs_f64(first.parse().unwrap_or(60.0)))),
        "gate" => reply.items.push(Item::Gate(first.to_owned())),
        "error" => reply.failure = Some((first.parse().unwrap_or(500), format!("fake failure {rest}"))),
        verb => match tools::call(&conversation.tools, verb, argument) {
            Some((tool, input)) => reply.items.push(Item::Call { tool, input }),
            None => reply.say(&format!("fake model: no tool for {verb}")),
        },
    }
}

/// Cuts a text into about that many pieces.
pub(super) fn pieces(text: &str, count: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let size = chars.len().div_ceil(count.max(1)).max(1);
    chars.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// The plainest value of a JSON schema.
pub(super) fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let members = schema["properties"].as_object().into_iter().flatten();
            Value::Object(members.map(|(name, schema)| (name.clone(), sample(schema))).collect())
        }
        Some("array") => json!([]),
        Some("boolean") => json!(false),
        Some("integer" | "number") => json!(1),
        _ => json!("fake"),
    }
}
