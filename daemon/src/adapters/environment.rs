//! The environment of a session: the daemon's own without what is the daemon's alone, then the session's entries.

use std::collections::BTreeMap;
use std::ffi::OsString;

use delight_proto::id::SessionId;

/// Set in every session.
const SESSION_ID: &str = "DELIGHT_SESSION_ID";

/// What a terminal session's `TERM` is when nobody says: what the holder's screen keeper emulates.
const TERM: (&str, &str) = ("TERM", "xterm-256color");

/// What the service manager says to the daemon and must not be heard by a session: a shell that inherits
/// `NOTIFY_SOCKET` can report the daemon ready or dead.
const OF_THE_DAEMON: &[&str] = &[
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "MANAGERPID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "CREDENTIALS_DIRECTORY",
    "RUST_LOG",
    "RUST_BACKTRACE",
];

/// What an agent says to the programs it starts. A daemon started from inside one must not hand it on: an agent that
/// believes to run inside another one behaves differently, or attaches itself to it (happy #682, #1444, #1546).
const OF_AN_AGENT: &[&str] = &[
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_EXECPATH",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_ENV_FILE",
    "CLAUDE_PID",
    "CLAUDE_PROJECT_DIR",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "CODEX_THREAD_ID",
    "GEMINI_CLI",
    "QWEN_CODE",
];

/// Prefixes of the same.
const PREFIXES: &[&str] = &["DELIGHT_", "LISTEN_", "HAPPY_"];

/// What sessions inherit.
#[derive(Debug)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Takes it from the daemon's own. Entries that are not UTF-8 are left out: a start is told as JSON.
    pub(crate) fn inherit(own: impl Iterator<Item = (OsString, OsString)>) -> Self {
        Self(
            own.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter(|(name, _)| {
                    let named = OF_THE_DAEMON.iter().chain(OF_AN_AGENT).any(|own| own == name);
                    !named && !PREFIXES.iter().any(|p| name.starts_with(p))
                })
                .collect(),
        )
    }

    /// What it says of one variable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of it, for looking for programs and logins outside any session.
    pub(crate) fn plain(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The whole environment of a session.
    pub(crate) fn of_session(
        &self,
        id: SessionId,
        entries: &BTreeMap<String, String>,
    ) -> Vec<(String, String)> {
        let mut all: BTreeMap<&str, &str> = BTreeMap::from([TERM]);
        // The daemon's own TERM says what the daemon was started from, not where the session will be shown.
        all.extend(self.0.iter().filter(|(name, _)| *name != TERM.0).map(|(n, v)| (n.as_str(), v.as_str())));
        all.extend(entries.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        all.insert(SESSION_ID, id.as_str());
        all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(own: &[(&str, &str)], entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = own.iter().map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let entries = entries.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Environment::inherit(own).of_session(SessionId::from_random([3; 10]), &entries).into_iter().collect()
    }

    #[test]
    fn what_is_the_daemons_alone_does_not_reach_a_session() {
        let env = of(
            &[
                ("PATH", "/bin"),
                ("NOTIFY_SOCKET", "/n"),
                ("LISTEN_FDS", "1"),
                ("DELIGHT_STATE_DIR", "/s"),
                ("TERM", "dumb"),
                ("CLAUDECODE", "1"),
                ("CODEX_THREAD_ID", "t"),
                ("HAPPY_RECONNECT_SESSION", "s"),
            ],
            &[],
        );
        let names: Vec<_> = env.keys().map(String::as_str).collect();
        assert_eq!(names, ["DELIGHT_SESSION_ID", "PATH", "TERM"]);
        assert_eq!(env["TERM"], "xterm-256color");
    }

    #[test]
    fn the_sessions_entries_win_but_not_over_its_id() {
        let env =
            of(&[("PATH", "/bin")], &[("PATH", "/opt"), ("TERM", "vt100"), ("DELIGHT_SESSION_ID", "x")]);
        assert_eq!((env["PATH"].as_str(), env["TERM"].as_str()), ("/opt", "vt100"));
        assert_eq!(env["DELIGHT_SESSION_ID"], SessionId::from_random([3; 10]).to_string());
    }
}
