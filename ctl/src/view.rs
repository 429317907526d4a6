//! A session as a person reads it.

use std::path::Path;

use delight_proto::agent::{Activity, AgentView, Control};
use delight_proto::session::{Phase, SessionView};
use serde::Serialize;

use crate::output::Tone;
use crate::{happening, span, text};

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
    if let Some(needs) = view.agent.as_deref().and_then(needs) {
        return text::visible(&needs);
    }
    let doing = view.agent.as_deref().filter(|_| view.phase == Phase::Running).map(doing);
    let why = if let Some(warning) = view.warnings.first() {
        warning.clone()
    } else if !view.reason.is_empty() {
        view.reason.clone()
    } else if let Some(doing) = doing {
        doing
    } else {
        match (view.phase, view.exit) {
            (Phase::Exited, Some(exit)) => exit.to_string(),
            _ => String::new(),
        }
    };
    if why.is_empty() { word.to_owned() } else { text::visible(&format!("{word}: {why}")) }
}

/// What an agent waits for its owner to decide: `needs you: permission Bash npm test`.
fn needs(agent: &AgentView) -> Option<String> {
    let first = agent.pending.first()?;
    let what = if first.ask.question { "question" } else { "permission" };
    let more = match agent.pending.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    Some(format!("needs you: {what} {} {}{more}", first.ask.tool, happening::excerpt(&first.ask.title)))
}

/// What an agent does and who drives it: `idle, the phone drives`.
fn doing(agent: &AgentView) -> String {
    let mut words = match agent.activity.map(|now| now.activity) {
        None | Some(Activity::Unknown) => String::new(),
        Some(activity) => happening::activity(activity).to_owned(),
    };
    if agent.switching || (agent.control == Control::Remote && !agent.shared) {
        let comma = if words.is_empty() { "" } else { ", " };
        let verb = if agent.switching { "is taking over" } else { "drives" };
        words = format!("{words}{comma}{} {verb}", happening::driver(agent.control));
    }
    words
}

/// How a state looks.
pub(crate) fn tone(view: &SessionView) -> Tone {
    if view.agent.as_ref().is_some_and(|agent| !agent.pending.is_empty()) {
        return Tone::Warn;
    }
    match view.phase {
        _ if !view.warnings.is_empty() => Tone::Warn,
        Phase::Running => Tone::Good,
        Phase::Starting | Phase::Stopping | Phase::BackingOff => Tone::Warn,
        Phase::Failed | Phase::Interrupted => Tone::Bad,
        Phase::Exited if view.exit.is_some_and(|exit| !exit.is_success()) => Tone::Bad,
        Phase::Exited | Phase::Stopped => Tone::Faint,
    }
}

/// Who needs the owner first: 0 an agent asks, or something is wrong with a live one, 1 it could not run or was cut off, 2 alive and
/// well, 3 ended.
pub(crate) fn attention(view: &SessionView) -> u8 {
    match view.phase {
        _ if view.agent.as_ref().is_some_and(|agent| !agent.pending.is_empty()) => 0,
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

/// Who drives it: the agent's driver, else the client that types into its terminal, without the family name of ours.
pub(crate) fn control(view: &SessionView) -> String {
    match (&view.agent, &view.controller) {
        _ if !view.phase.is_live() => String::new(),
        (Some(agent), _) if agent.shared => "both".to_owned(),
        (Some(agent), _) => match agent.control {
            Control::Local => "desktop".to_owned(),
            Control::Remote => "phone".to_owned(),
        },
        (None, Some(client)) => text::visible(client.strip_prefix("delightctl ").unwrap_or(client)),
        (None, None) => String::new(),
    }
}

/// How long it has been in its state: its agent's, while that is what the state tells.
pub(crate) fn since(view: &SessionView, now_ms: u64) -> String {
    let agent = view.agent.as_ref().filter(|_| view.phase == Phase::Running);
    let since = agent.and_then(|agent| {
        let asked = agent.pending.first().map(|waits| waits.asked_ms);
        asked.or_else(|| agent.activity.map(|now| now.since_ms))
    });
    span::age(now_ms.saturating_sub(since.unwrap_or(view.since_ms)))
}

/// What `--json` says of one session.
#[derive(Serialize)]
pub(crate) struct OneSession<'a> {
    pub(crate) session: &'a SessionView,
}

#[cfg(test)]
pub(crate) mod example {
    use super::*;
    use delight_proto::agent::{Mode, PermissionAsk, PermissionView};
    use delight_proto::id::SessionId;
    use delight_proto::session::{Desired, PhoneMessages};

    /// A session with an agent the desktop drives.
    pub(crate) fn agent_session(seed: u8) -> SessionView {
        let agent = AgentView {
            control: Control::Local,
            switching: false,
            controls: vec![Control::Local, Control::Remote],
            shared: false,
            conversation: None,
            mode: Mode::default(),
            activity: None,
            pending: Vec::new(),
            queued: 0,
            bypass_until_ms: None,
            phone_messages: PhoneMessages::Reject,
            offers: Default::default(),
        };
        SessionView {
            kind: "claude".to_owned(),
            agent: Some(Box::new(agent)),
            ..session(seed, Phase::Running)
        }
    }

    /// A permission asked for at 1,000 ms.
    pub(crate) fn permission(id: &str, tool: &str, title: &str) -> PermissionView {
        let ask = PermissionAsk {
            id: id.parse().unwrap(),
            tool: tool.to_owned(),
            title: title.to_owned(),
            input: serde_json::Value::Null,
            call: None,
            command: None,
            paths: Vec::new(),
            read_only: false,
            question: false,
        };
        PermissionView { ask, generation: 1, asked_ms: 1_000, expires_ms: None, ended: None }
    }

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
            controller: None,
            agent: None,
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::agent::{ActivityView, Source};
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
    fn an_agent_is_shown_with_what_it_waits_for_and_who_drives() {
        let mut view = example::agent_session(1);
        assert_eq!(state(&view), "running");
        let agent = view.agent.as_mut().unwrap();
        agent.control = Control::Remote;
        agent.activity =
            Some(ActivityView { activity: Activity::Idle, source: Source::Stream, since_ms: 2_000 });
        assert_eq!(
            (state(&view).as_str(), since(&view, 63_000).as_str()),
            ("running: idle, the phone drives", "1m")
        );
        assert_eq!(control(&view), "phone");
        view.agent.as_mut().unwrap().shared = true;
        assert_eq!((state(&view).as_str(), control(&view).as_str()), ("running: idle", "both"));
        view.agent.as_mut().unwrap().shared = false;
        view.warnings = vec!["everything is allowed".to_owned()];
        assert_eq!(state(&view), "running: everything is allowed");
        view.agent.as_mut().unwrap().pending = vec![example::permission("p", "Bash", "npm test")];
        assert_eq!(state(&view), "needs you: permission Bash npm test");
        assert_eq!(attention(&view), 0);
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
