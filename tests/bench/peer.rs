//! Delight and its peers, each asked for the same things in its own words: as far as terminals go.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use delight_tests::binaries::program;
use delight_tests::daemon::Daemon;
use delight_tests::{Sandbox, kernel};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Delight,
    Dtach,
    Tmux,
    /// The smallest holder that appends a log (`delight-bench-floor`).
    Floor,
    /// Happy's daemon: only where the link to the server is measured (`link/happy.rs`).
    Happy,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delight => "delight",
            Self::Dtach => "dtach",
            Self::Tmux => "tmux",
            Self::Floor => "floor",
            Self::Happy => "happy",
        })
    }
}

/// Those that are installed here; delight is.
pub(crate) fn installed() -> Vec<Peer> {
    let there = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    };
    let mut peers = vec![Peer::Delight];
    peers.extend(there("dtach").then_some(Peer::Dtach));
    peers.extend(there("tmux").then_some(Peer::Tmux));
    peers
}

/// A private world in which all of them run, and end.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) daemon: Option<Daemon>,
}

impl World {
    /// A world with a warm daemon, and with a warm tmux server if there is a tmux.
    pub(crate) fn warm() -> Self {
        let (sandbox, daemon) = Sandbox::with_daemon();
        let world = Self { sandbox, daemon: Some(daemon) };
        if installed().contains(&Peer::Tmux) {
            run(world.spawn(Peer::Tmux, "warm", &["sleep", "100000"]));
        }
        world
    }

    /// A world in which nothing runs.
    pub(crate) fn cold() -> Self {
        Self { sandbox: Sandbox::new(), daemon: None }
    }

    /// The socket of a peer's session or server.
    fn socket(&self, peer: Peer, name: &str) -> PathBuf {
        self.sandbox.path().join(match peer {
            Peer::Tmux => "tmux.sock".to_owned(),
            _ => format!("{peer}-{name}.sock"),
        })
    }

    /// The command line that starts a session in the background.
    pub(crate) fn spawn(&self, peer: Peer, name: &str, argv: &[&str]) -> Command {
        let mut command = match peer {
            Peer::Delight => {
                let mut command = self.sandbox.command(program("delightctl"));
                command.args(["spawn", "--no-attach", "--name", name, "--"]);
                command
            }
            Peer::Dtach => {
                let mut command = self.sandbox.command("dtach");
                command.arg("-n").arg(self.socket(peer, name)).args(["-E", "-z"]);
                command
            }
            Peer::Tmux => {
                let mut command = self.sandbox.command("tmux");
                command.arg("-S").arg(self.socket(peer, name)).args(["-f", "/dev/null", "new-session", "-d"]);
                command.args(["-s", name]);
                command
            }
            Peer::Floor => {
                let mut command = self.sandbox.command(program("delight-bench-floor"));
                command.arg(self.sandbox.path().join(format!("floor-{name}.log")));
                command
            }
            Peer::Happy => unreachable!("happy has no terminals"),
        };
        command.args(argv);
        command
    }

    /// The command line that attaches a terminal to it.
    pub(crate) fn attach(&self, peer: Peer, name: &str) -> Command {
        match peer {
            Peer::Delight => {
                let mut command = self.sandbox.command(program("delightctl"));
                command.args(["attach", name]);
                command
            }
            Peer::Dtach => {
                let mut command = self.sandbox.command("dtach");
                command.arg("-a").arg(self.socket(peer, name)).args(["-E", "-z", "-r", "none"]);
                command
            }
            Peer::Tmux => {
                let mut command = self.sandbox.command("tmux");
                command.arg("-S").arg(self.socket(peer, name)).args(["attach", "-t", name]);
                command
            }
            Peer::Floor | Peer::Happy => unreachable!("nobody attaches to {peer}"),
        }
    }

    /// The process that serves the session's terminal.
    pub(crate) fn server(&self, peer: Peer, name: &str) -> u32 {
        match peer {
            Peer::Delight => {
                let sessions = self.sandbox.client().list();
                let named = |view: &&delight_proto::session::SessionView| {
                    view.name.as_ref().is_some_and(|given| given.as_str() == name)
                };
                sessions.iter().find(named).unwrap().holder.as_ref().unwrap().process.pid
            }
            Peer::Dtach | Peer::Floor => {
                let socket = self.socket(peer, name);
                let all = self.sandbox.processes();
                let serves = |p: &&kernel::Process| p.command.contains(socket.to_str().unwrap());
                all.values().find(serves).expect("its server runs").pid
            }
            Peer::Tmux => {
                let mut command = self.sandbox.command("tmux");
                command.arg("-S").arg(self.socket(peer, name)).args(["display-message", "-p", "#{pid}"]);
                let output = command.output().unwrap();
                String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
            }
            Peer::Happy => unreachable!("happy has no terminals"),
        }
    }
}

/// Runs a command that must succeed, as a script would.
pub(crate) fn run(mut command: Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
}
