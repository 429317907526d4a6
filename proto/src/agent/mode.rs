//! How an agent works: what of it people choose.

use serde::{Deserialize, Serialize};

/// Bytes of the name of an effort: agents have `low`, `medium`, `xhigh` and the like.
const EFFORT: usize = 32;

/// The model, permission mode and effort of an agent, all in its own names. What is none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mode {
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The permission mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
    /// How hard it is to think. At most 32 letters, digits, `-` and `_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
}

impl Mode {
    /// Whether nothing of it is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of it is not so already, as `known` has it.
    #[must_use]
    pub fn other_than(self, known: &Self) -> Self {
        let other =
            |new: Option<String>, known: &Option<String>| new.filter(|name| known.as_ref() != Some(name));
        Self {
            model: other(self.model, &known.model),
            permission_mode: other(self.permission_mode, &known.permission_mode),
            effort: other(self.effort, &known.effort),
        }
    }

    /// Takes over what `news` names.
    pub fn learn(&mut self, news: &Self) {
        let Self { model, permission_mode, effort } = news;
        let named = [
            (&mut self.model, model),
            (&mut self.permission_mode, permission_mode),
            (&mut self.effort, effort),
        ];
        for (known, new) in named {
            if new.is_some() {
                known.clone_from(new);
            }
        }
    }
}

/// Whether this can be the name of an effort. It stands in argument lists and in an agent's configuration, so it never
/// holds anything but letters, digits, `-` and `_`.
#[must_use]
pub fn is_effort(name: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= EFFORT && name.chars().all(fit)
}
