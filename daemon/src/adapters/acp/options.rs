//! What an agent of the Agent Client Protocol lets people choose (its model, its permission mode, how hard it thinks), and
//! how each is set. There are two ways: plain lists of modes and models with a request each, and options of its
//! configuration. Agents have either, or both.

use delight_proto::agent::{Choice, Mode, Offers};
use delight_proto::refusal::{Code, Refusal};
use serde::Deserialize;
use serde_json::{Value, json};

use super::shapes::{AvailableMode, AvailableModel, Began, forgiving};

/// One thing there is to choose, in the protocol's words: the category of its option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    /// The permission mode.
    Mode,
    /// The model.
    Model,
    /// How hard it thinks.
    Effort,
}

impl Setting {
    /// All there are, first what an agent must never be without.
    pub(super) const ALL: [Self; 3] = [Self::Mode, Self::Model, Self::Effort];

    /// For people and for ids of requests.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Mode => "mode",
            Self::Effort => "effort",
        }
    }

    fn category(self) -> &'static str {
        match self {
            Self::Effort => "thought_level",
            _ => self.word(),
        }
    }

    /// Where a mode has it.
    pub(super) fn of(self, mode: &mut Mode) -> &mut Option<String> {
        match self {
            Self::Model => &mut mode.model,
            Self::Mode => &mut mode.permission_mode,
            Self::Effort => &mut mode.effort,
        }
    }
}

/// An option of an agent's configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ConfigOption {
    id: String,
    category: Option<String>,
    #[serde(deserialize_with = "forgiving")]
    current_value: Option<String>,
    #[serde(deserialize_with = "forgiving")]
    options: Option<Vec<Entry>>,
}

/// A value of an option, or several under a heading.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Value {
        value: String,
        name: String,
        #[serde(default)]
        description: Option<String>,
    },
    Group {
        options: Vec<Entry>,
    },
    Other(serde::de::IgnoredAny),
}

impl Entry {
    /// What of it can be chosen. Headings do not stand under headings.
    fn choices(self) -> Vec<Choice> {
        let choice = |entry| match entry {
            Self::Value { value: code, name, description } => Some(Choice { code, name, description }),
            Self::Group { .. } | Self::Other(_) => None,
        };
        match self {
            Self::Group { options } => options.into_iter().filter_map(choice).collect(),
            entry => choice(entry).into_iter().collect(),
        }
    }
}

impl From<AvailableMode> for Choice {
    fn from(AvailableMode { id: code, name, description }: AvailableMode) -> Self {
        Self { code, name, description }
    }
}

impl From<AvailableModel> for Choice {
    fn from(AvailableModel { model_id: code, name, description }: AvailableModel) -> Self {
        Self { code, name, description }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Options {
    has_modes: bool,
    /// Ids of the options of its configuration.
    ids: [Option<String>; 3],
}

impl Options {
    /// Takes in what an agent says when its conversation begins: what it offers, and how it works.
    pub(super) fn began(&mut self, began: Began) -> (Offers, Mode) {
        let (mut offers, mut mode) = self.configured(began.config_options.unwrap_or_default());
        if let Some(modes) = began.modes {
            self.has_modes = true;
            let choices = modes.available_modes.map(|list| list.into_iter().map(Choice::from).collect());
            offers.permission_modes = choices.or(offers.permission_modes);
            mode.permission_mode = modes.current_mode_id.or(mode.permission_mode);
        }
        if let Some(models) = began.models {
            // Where there is an option as well, its words are the ones that set it.
            if self.id(Setting::Model).is_none() {
                let choices = models.available_models;
                offers.models = choices.map(|list| list.into_iter().map(Choice::from).collect());
                mode.model = models.current_model_id;
            }
        }
        (offers, mode)
    }

    /// Takes in the options of its configuration as they are now.
    pub(super) fn configured(&mut self, options: Vec<ConfigOption>) -> (Offers, Mode) {
        let (mut offers, mut mode) = (Offers::default(), Mode::default());
        for option in options {
            let category = option.category.as_deref();
            let Some(setting) = Setting::ALL.into_iter().find(|s| category == Some(s.category())) else {
                continue;
            };
            let choices = option.options.unwrap_or_default().into_iter().flat_map(Entry::choices).collect();
            let list = match setting {
                Setting::Model => &mut offers.models,
                Setting::Mode => &mut offers.permission_modes,
                Setting::Effort => &mut offers.efforts,
            };
            *list = Some(choices);
            *setting.of(&mut mode) = option.current_value;
            self.ids[setting as usize] = Some(option.id);
        }
        (offers, mode)
    }

    fn id(&self, setting: Setting) -> Option<&str> {
        self.ids[setting as usize].as_deref()
    }

    /// The method and parameters that set one.
    ///
    /// # Errors
    /// `bad-params`: this agent has no efforts.
    pub(super) fn set(
        &self,
        setting: Setting,
        value: &str,
        session: Option<&str>,
    ) -> Result<(&'static str, Value), Refusal> {
        let by_option = match setting {
            Setting::Mode => !self.has_modes,
            Setting::Model | Setting::Effort => true,
        };
        match (self.id(setting), setting) {
            (Some(id), _) if by_option => Ok((
                "session/set_config_option",
                json!({"sessionId": session, "configId": id, "value": value}),
            )),
            (_, Setting::Model) => Ok(("session/set_model", json!({"sessionId": session, "modelId": value}))),
            (_, Setting::Mode) => Ok(("session/set_mode", json!({"sessionId": session, "modeId": value}))),
            (_, Setting::Effort) => {
                let why = "this agent knows no efforts";
                Err(Refusal::new(Code::BadParams, "the effort was not changed", why)
                    .fix("leave the effort out"))
            }
        }
    }
}
