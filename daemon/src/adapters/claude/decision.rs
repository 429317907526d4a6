//! The answer to a permission request of Claude's.

use delight_proto::agent::{Decision, PermissionAsk, Scope};
use serde_json::{Value, json};

use super::stream::Open;

/// What the model is told when the person who said no did not say why.
const NO: &str = "The user does not allow this.";

/// The answer's inner object. Without `open` (the request was not read in this life of the codec) nothing but this one
/// use can be allowed: what else Claude offered is not known.
pub(super) fn answer(ask: &PermissionAsk, decision: &Decision, open: Option<&Open>) -> Value {
    if !decision.allow {
        return json!({"behavior": "deny", "message": decision.reason.as_deref().unwrap_or(NO)});
    }
    let mut answer = json!({"behavior": "allow"});
    if let (true, Some(answers)) = (ask.question, &decision.answers) {
        let questions = open.map_or(&ask.input, |open| &open.input).get("questions").cloned();
        answer["updatedInput"] = json!({"questions": questions, "answers": answers});
    }
    let mut updates = Vec::new();
    if decision.scope == Scope::Session {
        let suggestions = open.map(|open| open.suggestions.as_slice()).unwrap_or_default();
        // Rules alone. The list also holds a change of the mode, and sending that back would allow far more than asked.
        let rules = suggestions.iter().filter(|suggestion| suggestion["type"] == "addRules");
        updates.extend(rules.map(|rule| {
            let mut rule = rule.clone();
            rule["destination"] = "session".into();
            rule
        }));
    }
    if let Some(mode) = &decision.permission_mode {
        updates.push(json!({"type": "setMode", "mode": mode, "destination": "session"}));
    }
    if !updates.is_empty() {
        answer["updatedPermissions"] = updates.into();
    }
    answer
}
