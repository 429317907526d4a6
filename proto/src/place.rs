//! Where things lie: the one rule by which daemon and client find the same directories.
//!
//! It is a rule only: lookups come in as a function, paths go out, and nothing is opened or made. Whoever uses a
//! path checks its owner and mode: a directory under `/tmp` can be somebody else's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::id::SessionId;
use crate::refusal::{Code, Refusal};

/// Longest path a Unix socket may have, without its closing zero byte (`sun_path`).
pub const SOCKET_PATH_MAX: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// The directories of one user on one machine. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What must survive a reboot: registry, sessions, lock.
    pub state: PathBuf,
    /// Sockets.
    pub runtime: PathBuf,
    /// The configuration file, which need not exist.
    pub config: PathBuf,
}

impl Place {
    /// Finds the directories.
    ///
    /// `lookup` is the environment (`std::env::var_os`), `uid` the user's number, `home` the home directory when
    /// `HOME` does not say (from the user database; `None` where there is no such thing). An empty variable counts as
    /// unset. A relative `XDG_*` is ignored, as its specification demands; a relative `DELIGHT_*` is refused, because
    /// daemon and client may run in different directories and would silently miss each other.
    ///
    /// # Errors
    /// [`Code::BadParams`]: a `DELIGHT_*` is relative; no home directory is known; the runtime directory is so deep
    /// that a session's socket would not fit into [`SOCKET_PATH_MAX`] bytes.
    pub fn resolve(
        lookup: impl Fn(&str) -> Option<OsString>,
        uid: u32,
        home: Option<&Path>,
    ) -> Result<Self, Refusal> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let ours = |name: &str| match get(name) {
            Some(path) if path.is_relative() => Err(Refusal::new(
                Code::BadParams,
                format!("{name} cannot be used"),
                format!("{} is not an absolute path", path.display()),
            )
            .fix(format!("set {name} to an absolute path, or unset it"))),
            other => Ok(other),
        };
        let xdg = |name: &str| get(name).filter(|path| path.is_absolute());
        let in_home = |xdg_name: &str, below: &str| {
            if let Some(base) = xdg(xdg_name) {
                return Ok(base);
            }
            let home = get("HOME").filter(|path| path.is_absolute()).or_else(|| home.map(Path::to_owned));
            home.map(|home| home.join(below)).ok_or_else(|| {
                Refusal::new(
                    Code::BadParams,
                    "there is no place for delight's files",
                    "neither HOME nor the user database names a home directory",
                )
                .fix("set HOME, or DELIGHT_STATE_DIR and DELIGHT_CONFIG")
            })
        };
        let state = match ours("DELIGHT_STATE_DIR")? {
            Some(path) => path,
            None => in_home("XDG_STATE_HOME", ".local/state")?.join("delight"),
        };
        let config = match ours("DELIGHT_CONFIG")? {
            Some(path) => path,
            None => in_home("XDG_CONFIG_HOME", ".config")?.join("delight/config.toml"),
        };
        let runtime = match ours("DELIGHT_RUNTIME_DIR")? {
            Some(path) => path,
            None => match xdg("XDG_RUNTIME_DIR") {
                Some(base) => base.join("delight"),
                None => PathBuf::from(format!("/tmp/delight-{uid}")),
            },
        };
        let deepest = runtime.as_os_str().len() + "/h/".len() + SessionId::LEN + ".sock".len();
        if deepest > SOCKET_PATH_MAX {
            return Err(Refusal::new(
                Code::BadParams,
                "the runtime directory cannot hold sockets",
                format!(
                    "{} makes socket paths of {deepest} bytes; the system allows {SOCKET_PATH_MAX}",
                    runtime.display()
                ),
            )
            .fix("set DELIGHT_RUNTIME_DIR to a shorter path"));
        }
        Ok(Self { state, runtime, config })
    }

    /// The daemon's control socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.runtime.join("daemon.sock")
    }

    /// The directory of the holders' sockets.
    #[must_use]
    pub fn holder_sockets(&self) -> PathBuf {
        self.runtime.join("h")
    }

    /// One holder's socket.
    #[must_use]
    pub fn holder_socket(&self, id: SessionId) -> PathBuf {
        self.holder_sockets().join(format!("{id}.sock"))
    }

    /// Where an agent's own terminal program meets the agent, in a session that phone and desktop share.
    #[must_use]
    pub fn agent_socket(&self, id: SessionId) -> PathBuf {
        self.holder_sockets().join(format!("{id}.tui"))
    }

    /// The daemon's lock.
    #[must_use]
    pub fn daemon_lock(&self) -> PathBuf {
        self.state.join("daemon.lock")
    }

    /// The log of a daemon that was not started by a service manager.
    #[must_use]
    pub fn daemon_log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }

    /// The spawn registry.
    #[must_use]
    pub fn registry(&self) -> PathBuf {
        self.state.join("registry")
    }

    /// The directory of all sessions' directories.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.state.join("sessions")
    }

    /// The directory of the account's keys.
    #[must_use]
    pub fn account(&self) -> PathBuf {
        self.state.join("account")
    }

    /// The database of the relay that runs inside the daemon.
    #[must_use]
    pub fn relay(&self) -> PathBuf {
        self.state.join("relay")
    }

    /// One session's directory: `journal/`, `events/`, `holder.lock`, `holder.log`.
    #[must_use]
    pub fn session(&self, id: SessionId) -> PathBuf {
        self.sessions().join(id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(env: &[(&str, &str)], home: Option<&str>) -> Result<Place, Refusal> {
        let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Place::resolve(lookup, 1000, home.map(Path::new))
    }

    #[test]
    fn bare_machine_uses_home_and_tmp() {
        let place = resolve(&[("HOME", "/home/u")], None).unwrap();
        assert_eq!(place.state, Path::new("/home/u/.local/state/delight"));
        assert_eq!(place.config, Path::new("/home/u/.config/delight/config.toml"));
        assert_eq!(place.control_socket(), Path::new("/tmp/delight-1000/daemon.sock"));
    }

    #[test]
    fn own_variables_win_over_xdg_and_xdg_over_home() {
        let xdg = [
            ("HOME", "/home/u"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_RUNTIME_DIR", "/r"),
            ("XDG_CONFIG_HOME", "/c"),
        ];
        let place = resolve(&xdg, None).unwrap();
        assert_eq!(place.state, Path::new("/s/delight"));
        assert_eq!(place.runtime, Path::new("/r/delight"));
        assert_eq!(place.config, Path::new("/c/delight/config.toml"));
        let own = [
            &xdg[..],
            &[("DELIGHT_STATE_DIR", "/a"), ("DELIGHT_RUNTIME_DIR", "/b"), ("DELIGHT_CONFIG", "/d")],
        ]
        .concat();
        let place = resolve(&own, None).unwrap();
        assert_eq!(
            (place.state, place.runtime, place.config),
            (PathBuf::from("/a"), PathBuf::from("/b"), PathBuf::from("/d"))
        );
    }

    #[test]
    fn empty_counts_as_unset_and_relative_xdg_is_ignored() {
        let env = [("HOME", "/home/u"), ("DELIGHT_STATE_DIR", ""), ("XDG_STATE_HOME", "state")];
        assert_eq!(resolve(&env, None).unwrap().state, Path::new("/home/u/.local/state/delight"));
    }

    #[test]
    fn relative_own_variable_is_refused() {
        let refusal = resolve(&[("HOME", "/h"), ("DELIGHT_RUNTIME_DIR", "run")], None).unwrap_err();
        assert_eq!(refusal.code, Code::BadParams);
        assert!(refusal.fix.contains("DELIGHT_RUNTIME_DIR"), "{refusal:?}");
    }

    #[test]
    fn home_comes_from_the_user_database_when_the_variable_is_missing() {
        assert_eq!(resolve(&[], Some("/var/u")).unwrap().state, Path::new("/var/u/.local/state/delight"));
        assert!(resolve(&[], None).is_err());
    }

    #[test]
    fn the_deepest_socket_path_must_fit() {
        let fits = format!("/{}", "x".repeat(SOCKET_PATH_MAX - 1 - 24));
        let id = SessionId::from_random([7; 10]);
        let place = resolve(&[("HOME", "/h"), ("DELIGHT_RUNTIME_DIR", &fits)], None).unwrap();
        assert_eq!(place.holder_socket(id).as_os_str().len(), SOCKET_PATH_MAX);
        let deep = format!("{fits}x");
        assert!(resolve(&[("HOME", "/h"), ("DELIGHT_RUNTIME_DIR", &deep)], None).is_err());
    }
}
