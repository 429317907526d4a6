//! A conversation as a model sees it, whatever the wire format.

use serde_json::Value;

use super::script;

/// A piece of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    User(String),
    Model(String),
    Call,
    Result(String),
}

/// A tool the agent offers.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) schema: Value,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) model: String,
    pub(super) turns: Vec<Turn>,
    pub(super) tools: Vec<Tool>,
    pub(super) stream: bool,
    /// The shape the answer must have.
    pub(super) schema: Option<Value>,
}

impl Conversation {
    /// Every prompt so far.
    pub(super) fn prompts(&self) -> Vec<String> {
        let prompt = |turn: &Turn| match turn {
            Turn::User(text) => Some(script::bare(text)).filter(|text| !text.is_empty()),
            _ => None,
        };
        self.turns.iter().filter_map(prompt).collect()
    }

    /// The script that is played: where its turn is, and its text.
    pub(super) fn script(&self) -> Option<(usize, String)> {
        let turns = self.turns.iter().enumerate().rev();
        let mut prompts = turns.filter_map(|(at, turn)| match turn {
            Turn::User(text) => Some((at, script::bare(text))).filter(|(_, text)| !text.is_empty()),
            _ => None,
        });
        prompts.next().filter(|(_, text)| !script::rounds(text).is_empty())
    }

    /// How many rounds of tools have been played after a turn.
    pub(super) fn rounds_after(&self, at: usize) -> usize {
        let (mut rounds, mut in_calls) = (0, false);
        for turn in &self.turns[at + 1..] {
            match turn {
                Turn::Call if !in_calls => {
                    rounds += 1;
                    in_calls = true;
                }
                Turn::Result(_) => in_calls = false,
                _ => {}
            }
        }
        rounds
    }

    /// What the last round of tools gave.
    pub(super) fn last_results(&self) -> Vec<String> {
        let mut results: Vec<String> = Vec::new();
        for turn in self.turns.iter().rev() {
            match turn {
                Turn::Result(text) => results.push(text.clone()),
                Turn::Call | Turn::Model(_) if !results.is_empty() => break,
                _ => {}
            }
        }
        results.reverse();
        results
    }
}

/// The words in a content of any shape.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let parts = parts.iter().map(text_of).filter(|text| !text.is_empty());
            parts.collect::<Vec<_>>().join("\n")
        }
        Value::Object(members) => {
            let named = ["text", "output", "content", "result", "error"];
            named.iter().find_map(|name| members.get(*name)).map(text_of).unwrap_or_default()
        }
        _ => String::new(),
    }
}
