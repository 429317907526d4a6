//! How hard Claude is to think: which efforts there are, and how one is set while it runs.

use std::collections::BTreeSet;

use delight_proto::refusal::{Code, Refusal};
use serde_json::{Value, json};

/// The efforts Claude's models know; empty: it has not said.
#[derive(Debug, Default)]
pub(super) struct Efforts(BTreeSet<String>);

impl Efforts {
    /// Those of all models an answer to `initialize` names.
    pub(super) fn of(response: &Value) -> Self {
        let models = response["models"].as_array().map_or(&[][..], Vec::as_slice);
        let levels = models.iter().filter_map(|model| model["supportedEffortLevels"].as_array()).flatten();
        Self(levels.filter_map(|level| level.as_str().map(str::to_owned)).collect())
    }

    /// The requests that set one and ask what came of it: Claude takes any, and works on as before with one it does not
    /// know.
    ///
    /// # Errors
    /// `bad-params`: it is known not to know it.
    pub(super) fn set(&self, effort: &str) -> Result<[(&'static str, Value); 2], Refusal> {
        if !self.0.is_empty() && !self.0.contains(effort) {
            let known: Vec<_> = self.0.iter().map(String::as_str).collect();
            let why = format!("Claude has no effort {effort:?}");
            return Err(Refusal::new(Code::BadParams, "the effort was not changed", why)
                .fix(format!("choose one of {}", known.join(", "))));
        }
        let set = json!({"subtype": "apply_flag_settings", "settings": {"effortLevel": effort}});
        Ok([("effort", set), ("settings", json!({"subtype": "get_settings"}))])
    }
}

/// The one an answer to `get_settings` says it works with.
pub(super) fn applied(response: &Value) -> Option<String> {
    response["applied"]["effort"].as_str().map(str::to_owned)
}
