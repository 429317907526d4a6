//! The configuration file: a few settings, each with a default, each checked.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use delight_proto::refusal::{Code, Refusal};
use serde::Deserialize;

use crate::keys::ServerSettings;
use crate::notify::NotifySettings;
use crate::relay::RelaySettings;
use crate::remote::RemoteSettings;

/// Largest configuration file read: it holds a handful of lines.
const MAX_BYTES: u64 = 64 << 10;

/// Most live sessions a configuration may allow: each holds one descriptor of the daemon and one process.
const MAX_LIVE_BOUND: u32 = 10_000;

/// What the owner may set. Every key is optional; an unknown one is refused, because a misspelt key that is silently
/// ignored is a setting its owner believes in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Most sessions that may be live at once (1 to 10,000).
    pub(crate) max_live: u32,
    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter of the `tracing` kind.
    pub(crate) log: String,
    /// Whether what sessions are given is recorded, for `delightctl replay`. A recording holds what was typed.
    pub(crate) record: bool,
    /// The sync server.
    pub(crate) server: ServerSettings,
    /// The relay inside the daemon; absent: none.
    pub(crate) relay: Option<RelaySettings>,
    /// What a phone may do.
    pub(crate) remote: RemoteSettings,
    /// What the owner is told, and how.
    pub(crate) notify: NotifySettings,
}

impl Default for Config {
    fn default() -> Self {
        // A person's agents number in the tens; a thousand leaves room for scripts and stops a runaway one.
        Self {
            max_live: 1_000,
            log: "info".to_owned(),
            record: false,
            server: ServerSettings::default(),
            relay: None,
            remote: RemoteSettings::default(),
            notify: NotifySettings::default(),
        }
    }
}

/// Reads the file; one that is not there means all defaults.
pub(crate) fn load(path: &Path) -> Result<Config, Refusal> {
    let unreadable = |reason: String| {
        Refusal::new(Code::BadParams, format!("{} cannot be used", path.display()), reason)
            .fix("correct the file, or move it away to run with the defaults")
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Config::default()),
        Err(e) => return Err(unreadable(e.to_string())),
    };
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|e| unreadable(e.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("it is larger than {MAX_BYTES} bytes")));
    }
    parse(&text).map_err(unreadable)
}

fn parse(text: &str) -> Result<Config, String> {
    let config: Config = toml::from_str(text).map_err(|e| e.to_string().trim().replace('\n', " "))?;
    if !(1..=MAX_LIVE_BOUND).contains(&config.max_live) {
        return Err(format!("max_live is {}; it must be 1 to {MAX_LIVE_BOUND}", config.max_live));
    }
    config.remote.check()?;
    config.notify.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_file_and_empty_file_mean_defaults() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(load(&base.path().join("none")).unwrap(), Config::default());
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn settings_are_read_and_bounded() {
        assert_eq!(parse("max_live = 7").unwrap().max_live, 7);
        assert!(parse("max_live = 0").unwrap_err().contains("1 to 10000"));
        assert!(parse("max_live = \"many\"").is_err());
    }

    #[test]
    fn a_misspelt_key_is_refused_by_name() {
        assert!(parse("max_lives = 7").unwrap_err().contains("max_lives"));
    }

    #[test]
    fn a_huge_file_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("config.toml");
        std::fs::write(&path, "#".repeat(MAX_BYTES as usize + 1)).unwrap();
        assert!(load(&path).unwrap_err().reason.contains("larger"));
    }
}
