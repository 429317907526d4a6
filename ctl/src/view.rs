//! A session as a person reads it.

use std::path::Path;

use delight_proto::session::{Phase, SessionView};
use serde::Serialize;

use crate::output::Tone;
use crate::{span, text};

/// The phase's word, the same as in JSON.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Stopping => "stopping",
        Phase::BackingOff => "backing-off",
        Phase::Exited => "exited",
        Phase::Stopped => "stopped",
        Phase::Failed => "failed",
        Phase::Interrupted => "interrupted",
    }
}

/// State and the reason for it: `exited: exit status 3`. A warning comes first: it is what its owner can act on.
pub(crate) fn state(view: &SessionView) -> String {
    let word = phase(view.phase);
    let why = if let Some(warning) = view.warnings.first() {
        warning.clone()
    } else if !view.reason.is_empty() {
        view.reason.clone()
    } else {
        match (view.phase, view.exit) {
            (Phase::Exited, Some(exit)) => exit.to_string(),
            _ => String::new(),
        }
    };
    if why.is_empty() { word.to_owned() } else { text::visible(&format!("{word}: {why}")) }
}

/// How a state looks.
pub(crate) fn tone(view: &SessionView) -> Tone {
    match view.phase {
        _ if !view.warnings.is_empty() => Tone::Warn,
        Phase::Running => Tone::Good,
        Phase::Starting | Phase::Stopping | Phase::BackingOff => Tone::Warn,
        Phase::Failed | Phase::Interrupted => Tone::Bad,
        Phase::Exited if view.exit.is_some_and(|exit| !exit.is_success()) => Tone::Bad,
        Phase::Exited | Phase::Stopped => Tone::Faint,
    }
}

/// Who needs the owner first: 0 something is wrong with a live one, 1 it could not run or was cut off, 2 alive and
/// well, 3 ended.
pub(crate) fn attention(view: &SessionView) -> u8 {
    match view.phase {
        Phase::BackingOff => 0,
        phase if phase.is_live() && !view.warnings.is_empty() => 0,
        Phase::Failed | Phase::Interrupted => 1,
        phase if phase.is_live() => 2,
        _ => 3,
    }
}

/// What one calls it: its name, else the short id.
pub(crate) fn handle(view: &SessionView) -> &str {
    view.name.as_ref().map_or(view.id.short(), |name| name.as_str())
}

/// `k3f9x2ab (build)`, or the short id alone.
pub(crate) fn title(view: &SessionView) -> String {
    match &view.name {
        Some(name) => format!("{} ({name})", view.id.short()),
        None => view.id.short().to_owned(),
    }
}

/// The command as typed, or what runs when none was given.
pub(crate) fn command(view: &SessionView) -> String {
    if view.command.is_empty() {
        format!("({} default)", view.kind)
    } else {
        text::command_line(&view.command)
    }
}

/// The directory, with the home directory as `~`.
pub(crate) fn place(cwd: &str, home: Option<&Path>) -> String {
    let short = home.filter(|home| home.components().count() > 1).and_then(|home| {
        let below = Path::new(cwd).strip_prefix(home).ok()?;
        Some(if below.as_os_str().is_empty() { "~".to_owned() } else { format!("~/{}", below.display()) })
    });
    text::visible(&short.unwrap_or_else(|| cwd.to_owned()))
}

/// The caller's home directory.
pub(crate) fn home() -> Option<std::path::PathBuf> {
    std::env::var_os("HOME").map(std::path::PathBuf::from).filter(|home| home.is_absolute())
}

/// How long it has been in its state.
pub(crate) fn since(view: &SessionView, now_ms: u64) -> String {
    span::age(now_ms.saturating_sub(view.since_ms))
}

/// What `--json` says of one session.
#[derive(Serialize)]
pub(crate) struct OneSession<'a> {
    pub(crate) session: &'a SessionView,
}

#[cfg(test)]
pub(crate) mod example {
    use super::*;
    use delight_proto::id::SessionId;
    use delight_proto::session::Desired;

    /// A session that was spawned at 1,000,000 ms.
    pub(crate) fn session(seed: u8, phase: Phase) -> SessionView {
        SessionView {
            id: SessionId::from_random([seed; 10]),
            name: None,
            kind: "pty".to_owned(),
            command: vec!["bash".to_owned()],
            cwd: "/home/u/src".to_owned(),
            desired: Desired::Running,
            phase,
            reason: String::new(),
            since_ms: 1_000_000,
            created_ms: 1_000_000,
            generation: 1,
            pid: None,
            holder: None,
            exit: None,
            last_seq: 3,
            agent: None,
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::session::Exit;

    #[test]
    fn state_names_the_reason_and_warnings_first() {
        let mut view = example::session(1, Phase::Exited);
        view.exit = Some(Exit::Code(3));
        assert_eq!(state(&view), "exited: exit status 3");
        view.reason = "it said \x1b[31mno".to_owned();
        assert_eq!(state(&view), "exited: it said \\e[31mno");
        view.warnings = vec!["the disk is full".to_owned()];
        assert_eq!(state(&view), "exited: the disk is full");
        assert_eq!(state(&example::session(1, Phase::Running)), "running");
    }

    #[test]
    fn words_are_those_of_the_json() {
        for p in [
            Phase::Starting,
            Phase::Running,
            Phase::Stopping,
            Phase::BackingOff,
            Phase::Exited,
            Phase::Stopped,
            Phase::Failed,
            Phase::Interrupted,
        ] {
            assert_eq!(serde_json::to_value(p).unwrap(), phase(p));
        }
    }

    #[test]
    fn home_is_abbreviated_only_as_a_whole_part() {
        let home = Some(Path::new("/home/u"));
        assert_eq!(place("/home/u", home), "~");
        assert_eq!(place("/home/u/src", home), "~/src");
        assert_eq!(place("/home/user", home), "/home/user");
        assert_eq!(place("/etc", Some(Path::new("/"))), "/etc");
    }
}
