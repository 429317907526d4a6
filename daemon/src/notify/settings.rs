//! What the owner wants to be told, and how.

use delight_proto::sync::bounded::Hidden;
use serde::Deserialize;

/// Words of a hook's command.
const MAX_COMMAND: usize = 64;
/// Longest time something may be kept from being told, in seconds: a day.
const MAX_SECONDS: u64 = 86_400;
/// Where Pushover is.
const PUSHOVER: &str = "https://api.pushover.net";

/// `[notify]` of the configuration. Without a way to tell (`command`, `desktop`, `pushover`) nothing is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NotifySettings {
    /// A program and its arguments, run for each notification with `DELIGHT_EVENT` (`needs-you`, `done`, `failed`),
    /// `DELIGHT_SESSION` and `DELIGHT_NAME` in its environment. It has ten seconds.
    pub(crate) command: Vec<String>,
    /// Whether the desktop shows them (`notify-send`, `osascript`), where there is one.
    pub(crate) desktop: bool,
    /// An account of Pushover.
    pub(crate) pushover: Option<PushoverSettings>,
    /// Seconds an agent must have worked for its being done to be told.
    pub(crate) done_after_s: u64,
    /// Seconds during which the same is not told again of one session.
    pub(crate) cooldown_s: u64,
}

/// `[notify.pushover]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushoverSettings {
    /// The application's token.
    pub(crate) token: Hidden<String>,
    /// The user's or group's key.
    pub(crate) user: Hidden<String>,
    /// Where the service is.
    #[serde(default = "pushover")]
    pub(crate) url: String,
}

fn pushover() -> String {
    PUSHOVER.to_owned()
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self { command: Vec::new(), desktop: false, pushover: None, done_after_s: 30, cooldown_s: 30 }
    }
}

impl NotifySettings {
    /// Whether there is a way to tell.
    pub(crate) fn tells(&self) -> bool {
        !self.command.is_empty() || self.desktop || self.pushover.is_some()
    }

    /// Checks what types cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.command.len() > MAX_COMMAND || self.command.first().is_some_and(String::is_empty) {
            return Err(format!("notify.command must name a program, with at most {MAX_COMMAND} words"));
        }
        for (name, seconds) in [("done_after_s", self.done_after_s), ("cooldown_s", self.cooldown_s)] {
            if seconds > MAX_SECONDS {
                return Err(format!("notify.{name} is {seconds}; it must be at most {MAX_SECONDS}"));
            }
        }
        let blank = |text: &Hidden<String>| text.expose().trim().is_empty();
        if self.pushover.as_ref().is_some_and(|pushover| blank(&pushover.token) || blank(&pushover.user)) {
            return Err("notify.pushover needs a token and a user".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_and_secrets_are_not_printed() {
        let read = |text: &str| toml::from_str::<NotifySettings>(text).map_err(|e| e.to_string());
        assert_eq!(read("").unwrap(), NotifySettings::default());
        assert!(!NotifySettings::default().tells());
        assert!(read("commands = []").is_err());
        assert!(read("cooldown_s = 100000").unwrap().check().is_err());
        assert!(read("command = [\"\"]").unwrap().check().is_err());
        let with = read("[pushover]\ntoken = \"canary1\"\nuser = \"canary2\"").unwrap();
        assert!(with.tells() && with.check().is_ok());
        assert_eq!(with.pushover.as_ref().unwrap().url, PUSHOVER);
        assert!(!format!("{with:?}").contains("canary"));
        assert!(read("[pushover]\ntoken = \"\"\nuser = \"x\"").unwrap().check().is_err());
    }
}
