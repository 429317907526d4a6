//! What an agent has to offer: what may be called, used and chosen in its session.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What an agent has to offer, as it says itself. A list that is none was never told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Offers {
    /// Tools it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Commands a message may begin with, after a `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<String>>,
    /// Skills it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skills: Option<Vec<String>>,
    /// Servers of tools (MCP) it was set up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<ToolServer>>,
    /// Models to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Choice>>,
    /// Permission modes to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_modes: Option<Vec<Choice>>,
    /// Efforts to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub efforts: Option<Vec<Choice>>,
}

/// A server of tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolServer {
    /// Its name.
    pub name: String,
    /// How it does, in the agent's words: `connected`, `failed`, …
    #[serde(default)]
    pub status: String,
}

/// One of several to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Choice {
    /// What chooses it: the name a [`super::Mode`] has.
    pub code: String,
    /// For people.
    pub name: String,
    /// For people who want to know more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Whether nothing was told, for serde. Views and records share one copy: it is large, and they are compared and copied
/// at every step of a session.
pub(super) fn is_nothing(offers: &Arc<Offers>) -> bool {
    offers.is_empty()
}

impl Offers {
    /// Whether nothing was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of it is not so already, as `known` has it.
    #[must_use]
    pub fn other_than(self, known: &Self) -> Self {
        fn other<T: PartialEq>(new: Option<Vec<T>>, known: Option<&Vec<T>>) -> Option<Vec<T>> {
            new.filter(|list| known != Some(list))
        }
        Self {
            tools: other(self.tools, known.tools.as_ref()),
            commands: other(self.commands, known.commands.as_ref()),
            skills: other(self.skills, known.skills.as_ref()),
            servers: other(self.servers, known.servers.as_ref()),
            models: other(self.models, known.models.as_ref()),
            permission_modes: other(self.permission_modes, known.permission_modes.as_ref()),
            efforts: other(self.efforts, known.efforts.as_ref()),
        }
    }

    /// Takes over the lists `news` has.
    pub fn learn(&mut self, news: &Self) {
        fn learn<T: Clone>(known: &mut Option<Vec<T>>, news: &Option<Vec<T>>) {
            if news.is_some() {
                known.clone_from(news);
            }
        }
        let Self { tools, commands, skills, servers, models, permission_modes, efforts } = news;
        learn(&mut self.tools, tools);
        learn(&mut self.commands, commands);
        learn(&mut self.skills, skills);
        learn(&mut self.servers, servers);
        learn(&mut self.models, models);
        learn(&mut self.permission_modes, permission_modes);
        learn(&mut self.efforts, efforts);
    }
}
