//! One private world for a test.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use delight_proto::id::SessionId;
use delight_proto::place::Place;
use nix::sys::signal::Signal;

use crate::api::Client;
use crate::attached::Attached;
use crate::client::Ctl;
use crate::daemon::Daemon;
use crate::kernel::{self, Process};
use crate::{binaries, until};

/// The variable by which every process of a sandbox is known: sessions inherit it too, unlike `DELIGHT_*`.
const MARK: &str = "SANDBOX_OF_TEST";

/// Private directories and the processes that live in them.
pub struct Sandbox {
    directory: tempfile::TempDir,
    place: Place,
    daemons: AtomicU32,
}

impl Sandbox {
    /// An empty world. Nothing runs in it yet.
    #[must_use]
    pub fn new() -> Self {
        // Short, because socket paths must fit into 107 bytes.
        let directory = tempfile::Builder::new().prefix("dl").rand_bytes(6).tempdir_in("/tmp").unwrap();
        let root = directory.path();
        let place =
            Place { state: root.join("state"), runtime: root.join("run"), config: root.join("config.toml") };
        for made in [&root.join("home"), &place.state, &place.runtime] {
            std::fs::create_dir(made).unwrap();
            std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self { directory, place, daemons: AtomicU32::new(0) }
    }

    /// An empty world with a daemon that answers.
    #[must_use]
    pub fn with_daemon() -> (Self, Daemon) {
        let sandbox = Self::new();
        let daemon = sandbox.start_daemon();
        (sandbox, daemon)
    }

    /// Where things lie in it.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The home directory of everything in it.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// The environment of everything in it: nothing of the tester's own but `PATH`.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let own = std::env::var("PATH").unwrap_or_default();
        BTreeMap::from([
            ("DELIGHT_STATE_DIR".to_owned(), text(&self.place.state)),
            ("DELIGHT_RUNTIME_DIR".to_owned(), text(&self.place.runtime)),
            ("DELIGHT_CONFIG".to_owned(), text(&self.place.config)),
            ("HOME".to_owned(), text(&self.home())),
            ("PATH".to_owned(), format!("{}:{own}", binaries::dir().display())),
            ("SHELL".to_owned(), "/bin/sh".to_owned()),
            ("PS1".to_owned(), "$ ".to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("TERM".to_owned(), "xterm-256color".to_owned()),
            (MARK.to_owned(), text(self.path())),
        ])
    }

    /// A command that runs in it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.environment()).current_dir(self.home());
        command
    }

    /// Starts `delightd run` and returns once its socket answers.
    #[must_use]
    pub fn start_daemon(&self) -> Daemon {
        Daemon::start(self.command(binaries::program("delightd")), self.next_daemon_log(), &self.place)
    }

    /// A daemon log that is not used yet.
    #[must_use]
    pub fn next_daemon_log(&self) -> PathBuf {
        let number = self.daemons.fetch_add(1, Ordering::Relaxed);
        self.path().join(format!("daemon-{number}.log"))
    }

    /// What all daemons of this sandbox have said so far.
    #[must_use]
    pub fn daemon_logs(&self) -> String {
        let own = std::fs::read_to_string(self.place.daemon_log()).unwrap_or_default();
        let logs = (0..self.daemons.load(Ordering::Relaxed)).map(|n| {
            std::fs::read_to_string(self.path().join(format!("daemon-{n}.log"))).unwrap_or_default()
        });
        logs.chain([own]).collect()
    }

    /// A connection to the control socket that has said hello.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(&self.place.control_socket()).expect("the control socket answers")
    }

    /// Prepares a run of `delightctl`.
    #[must_use]
    pub fn ctl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ctl {
        let mut command = self.command(binaries::program("delightctl"));
        command.args(arguments);
        Ctl::new(command)
    }

    /// A connection to a session's holder.
    #[must_use]
    pub fn attach(&self, id: SessionId) -> Attached {
        Attached::connect(&self.place.holder_socket(id)).expect("the holder's socket answers")
    }

    /// Every living process of it, this test not counted.
    #[must_use]
    pub fn processes(&self) -> BTreeMap<u32, Process> {
        let entry = format!("{MARK}={}", self.path().display());
        // A holder has no environment; it is told its session's directory.
        let argument = format!("--dir {}/", self.path().display());
        let ours = |p: &Process| p.command.contains(&argument) || kernel::has_environment(p.pid, &entry);
        kernel::processes().into_iter().filter(|(_, p)| p.is_alive() && ours(p)).collect()
    }

    /// Living holders of its sessions. The one the daemon keeps waiting for the next session is none.
    #[must_use]
    pub fn holders(&self) -> Vec<Process> {
        self.holder_processes().into_iter().filter(|holder| self.has_session(holder)).collect()
    }

    /// Living holders that wait for a session.
    #[must_use]
    pub fn spare_holders(&self) -> Vec<Process> {
        self.holder_processes().into_iter().filter(|holder| !self.has_session(holder)).collect()
    }

    /// A session has events before its runner is started.
    fn has_session(&self, holder: &Process) -> bool {
        let mut words = holder.command.split(' ').skip_while(|word| *word != "--dir");
        words.nth(1).is_some_and(|dir| Path::new(dir).join("events").exists())
    }

    fn holder_processes(&self) -> Vec<Process> {
        // Between fork and exec a child still shows its parent's command line, so look at the program's own name.
        self.processes().into_values().filter(|p| p.command.contains("delight-holder")).collect()
    }

    /// Living processes that are neither daemon, holder nor client: the sessions' own.
    #[must_use]
    pub fn runners(&self) -> Vec<Process> {
        let ours =
            |p: &Process| ["delightd", "delight-holder", "delightctl"].iter().any(|n| program_is(p, n));
        self.processes().into_values().filter(|p| !ours(p)).collect()
    }

    /// Fails unless every process of it ends by itself.
    #[track_caller]
    pub fn ends_empty(&self) {
        until("all processes of the sandbox have ended", || self.processes().is_empty());
    }

    /// Ends everything in it, by process id, whatever that takes.
    fn end_everything(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let left = self.processes();
            if left.is_empty() {
                return true;
            }
            if Instant::now() > deadline {
                eprintln_left(&left);
                return false;
            }
            for pid in left.keys() {
                kernel::signal(*pid, Signal::SIGKILL);
            }
            std::thread::yield_now();
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.daemon_logs();
            let tail = logs.lines().rev().take(40).collect::<Vec<_>>();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            tell(&format!("the daemons' last words:\n{tail}"));
        }
        let ended = self.end_everything();
        assert!(ended || std::thread::panicking(), "processes of the sandbox cannot be ended");
    }
}

fn program_is(process: &Process, name: &str) -> bool {
    process.command.split(' ').next().is_some_and(|program| program.ends_with(name))
}

fn eprintln_left(left: &BTreeMap<u32, Process>) {
    tell(&format!("still alive: {left:#?}"));
}

#[allow(clippy::print_stderr)] // A failing test's report.
fn tell(text: &str) {
    eprintln!("{text}");
}
