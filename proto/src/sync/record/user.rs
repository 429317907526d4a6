//! What a person wrote, and how it is to be taken.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sync::bounded::{Hidden, Id, Line, Name, Text};
use crate::sync::bounds;
use crate::sync::open::open_object;
use crate::sync::tagged::tagged;

/// A message of a person's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRecord {
    /// What it says.
    pub content: UserContent,
    /// The sender's id for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_key: Option<Id>,
    /// How it is to be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<MessageMeta>,
}

tagged! {
    /// What a message says.
    pub enum UserContent by "type" {
        /// Words.
        Text(UserText) = "text",
        /// Words and pictures.
        Mixed(UserText) = "mixed",
    }
}

/// Words, and pictures if there are any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserText {
    /// The words.
    pub text: Hidden<Text<{ bounds::PLAINTEXT }>>,
    /// The pictures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
}

/// A picture beside the words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Where it is, or all of it as a `data:` URL.
    pub url: Hidden<Text<{ bounds::PLAINTEXT }>>,
    /// Pixels.
    #[serde(default)]
    pub width: u32,
    /// Pixels.
    #[serde(default)]
    pub height: u32,
    /// `image/png`, …
    #[serde(default)]
    pub mime_type: Name,
    /// A small impression of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbhash: Option<Line>,
}

open_object! {
    /// How a message is to be taken. Absent means "as before"; `null` means "back to the default" and stands in `rest`:
    /// see [`MessageMeta::resets`].
    pub struct MessageMeta {
        /// Which program sent it.
        sent_from: Name = "sentFrom",
        /// How much the agent may do unasked.
        permission_mode: Name = "permissionMode",
        /// The model.
        model: Name = "model",
        /// Whose model.
        model_provider_id: Name = "modelProviderId",
        /// The model when that one fails.
        fallback_model: Name = "fallbackModel",
        /// Instead of the agent's own instructions.
        custom_system_prompt: Hidden<String> = "customSystemPrompt",
        /// After the agent's own instructions.
        append_system_prompt: Hidden<String> = "appendSystemPrompt",
        /// Tools it may use unasked.
        allowed_tools: Vec<Line> = "allowedTools",
        /// Tools it may not use.
        disallowed_tools: Vec<Line> = "disallowedTools",
        /// The effort.
        effort: Name = "effort",
        /// What to show instead of the words.
        display_text: Hidden<String> = "displayText",
    }
}

impl MessageMeta {
    /// Whether the field of this wire name is to go back to its default.
    #[must_use]
    pub fn resets(&self, field: &str) -> bool {
        self.rest.get(field).is_some_and(Value::is_null)
    }
}
