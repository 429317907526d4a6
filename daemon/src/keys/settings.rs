//! What the owner may set of the sync server.

use std::path::PathBuf;

use delight_crypto::Dialect;
use serde::Deserialize;

/// `[server]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerSettings {
    /// The base URL new links are made with; without it the relay inside the daemon, if it runs.
    pub(crate) url: Option<String>,
    /// A file of PEM certificates that are trusted besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// The family of phones and servers a new link belongs to.
    pub(crate) dialect: Family,
}

/// A [`Dialect`] by its name in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Family {
    /// Happy's apps, and ours.
    #[default]
    Happy,
    /// Delight at its beginning.
    EarlyDelight,
    /// Delight later.
    LateDelight,
}

impl From<Family> for Dialect {
    fn from(family: Family) -> Self {
        match family {
            Family::Happy => Self::Happy,
            Family::EarlyDelight => Self::EarlyDelight,
            Family::LateDelight => Self::LateDelight,
        }
    }
}

impl From<Dialect> for Family {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Happy => Self::Happy,
            Dialect::EarlyDelight => Self::EarlyDelight,
            Dialect::LateDelight => Self::LateDelight,
        }
    }
}
