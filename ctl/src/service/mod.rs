//! The daemon as a service of the user's own service manager.

mod launchd;
mod systemd;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use delight_proto::refusal::{Code, Refusal};
use serde::Serialize;

use crate::failure::Failure;

/// Variables that decide where daemon and client meet: a service must see the same as the client that installs it.
const CARRIED: [&str; 3] = ["DELIGHT_STATE_DIR", "DELIGHT_RUNTIME_DIR", "DELIGHT_CONFIG"];

/// What is to be installed.
pub(crate) struct Plan {
    /// The daemon's program.
    pub(crate) program: PathBuf,
    /// Where its messages go when there is no journal.
    pub(crate) log: PathBuf,
    /// Of [`CARRIED`], those that are set.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Plan {
    /// A plan for the daemon beside this client.
    pub(crate) fn new(program: PathBuf, log: PathBuf) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let environment = CARRIED.into_iter().filter_map(|name| Some((name, set(name)?))).collect();
        Self { program, log, environment }
    }
}

/// How things stand.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct State {
    /// `systemd` or `launchd`.
    pub(crate) manager: &'static str,
    /// The file that describes the service.
    pub(crate) file: PathBuf,
    /// Whether that file is there.
    pub(crate) installed: bool,
    /// Whether it starts by itself.
    pub(crate) enabled: bool,
    /// Whether it runs now.
    pub(crate) active: bool,
    /// Whether it goes on after the last logout; absent where the manager has no such question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) linger: Option<bool>,
    /// The manager's answer when it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unreachable: Option<String>,
}

/// A service manager.
pub(crate) trait Manager {
    /// How things stand. Never fails: what cannot be asked is told as such.
    fn state(&self) -> State;
    /// Writes the service's file, replacing an older one, and has it read.
    ///
    /// # Errors
    /// No manager answers; the file cannot be written.
    fn install(&self, plan: &Plan) -> Result<(), Failure>;
    /// Starts it now and at every login; a running one is started anew.
    ///
    /// # Errors
    /// The manager's own.
    fn start(&self) -> Result<(), Failure>;
    /// Ends it and removes every trace.
    ///
    /// # Errors
    /// The file cannot be removed.
    fn uninstall(&self) -> Result<(), Failure>;
}

/// This machine's manager for user services.
///
/// # Errors
/// There is no home directory, or the system is one we have no service for.
pub(crate) fn manager() -> Result<Box<dyn Manager>, Failure> {
    let home =
        std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()).ok_or_else(|| {
            Refusal::new(Code::BadParams, "there is no place for the service's file", "HOME is not set")
                .fix("set HOME")
        })?;
    if cfg!(target_os = "macos") {
        Ok(Box::new(launchd::Launchd::new(&home)))
    } else if cfg!(target_os = "linux") {
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        Ok(Box::new(systemd::Systemd::new(&config.unwrap_or_else(|| home.join(".config")))))
    } else {
        Err(Refusal::new(
            Code::WrongState,
            "there is no service for this system",
            "only systemd and launchd are known",
        )
        .fix("delightctl up starts the daemon without one")
        .into())
    }
}

/// Runs a program of the system.
fn run(program: &str, arguments: &[&str]) -> Result<Output, String> {
    Command::new(program).args(arguments).output().map_err(|e| format!("{program}: {e}"))
}

/// Runs a program that must succeed.
fn must(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let reason = match run(program, arguments) {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => words(&output),
        Err(reason) => reason,
    };
    Err(Refusal::new(Code::StartFailed, format!("{program} {} failed", arguments.join(" ")), reason)
        .fix("run it yourself to see more")
        .into())
}

/// What a program said when it failed, in one line.
fn words(output: &Output) -> String {
    let text =
        String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr })
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
    if text.is_empty() { output.status.to_string() } else { text }
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let refused = |e: std::io::Error| {
        Refusal::new(Code::Storage, format!("{} cannot be written", path.display()), e.to_string())
            .fix("make its directory writable")
    };
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).map_err(refused)?;
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::File::create(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // A half-written draft is of no use to anybody.
        let _ = fs::remove_file(&draft);
    }
    Ok(written.map_err(refused)?)
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Refusal::new(Code::Storage, format!("{} cannot be removed", path.display()), e.to_string())
                .fix("remove it by hand")
                .into())
        }
        _ => Ok(()),
    }
}
