//! Errands: short programs that are run for somebody, bounded in time and output, and ended as trees.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Exit;
use nix::sys::signal::{Signal, killpg};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::reap::Awaited;
use crate::keys;

/// By this variable the processes of an errand are known, wherever they have gone.
const MARK: &str = "DELIGHT_ERRAND";

/// How long the last output may take to arrive when everything that could write it has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Looks for processes of an errand before giving up on ending them all: each look takes in a generation of forks.
const MAX_ROUNDS: usize = 50;

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Errand {
    /// The program; without `/` it is looked up in `PATH` of `env`.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) directory: PathBuf,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// How long it may take.
    pub(crate) limit: Duration,
    /// Bytes kept of each of its outputs; the rest is read and counted.
    pub(crate) most: usize,
}

/// What became of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How it ended by itself; none: its time was over, and it was ended with everything it had started.
    pub(crate) exit: Option<Exit>,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
}

/// Output.
#[derive(Debug, Default, Clone)]
pub(crate) struct Captured {
    /// The beginning of it.
    pub(crate) bytes: Vec<u8>,
    /// Bytes that were left out after that.
    pub(crate) left_out: u64,
}

/// What a person's programs need of the daemon's environment; nothing of it is the daemon's alone.
pub(crate) fn plain_environment() -> Vec<(OsString, OsString)> {
    const NAMES: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"];
    std::env::vars_os()
        .filter(|(name, _)| {
            name.to_str().is_some_and(|name| {
                NAMES.contains(&name) || name.starts_with("LC_") || name.starts_with("XDG_")
            })
        })
        .chain([("TERM".into(), "dumb".into())])
        .collect()
}

/// Runs an errand: standard input is empty, and nothing of it is alive when this returns, not even what it left in the
/// background. (A process that leaves its group, loses its parent **and** clears its environment is not found.)
///
/// Dropping the future ends the errand's process group.
///
/// # Errors
/// `not-found` when there is no such program, `start-failed`.
pub(crate) async fn run(errand: Errand) -> Result<Outcome, Refusal> {
    let failed = |code, e: std::io::Error| {
        Refusal::new(code, format!("{} cannot be run", errand.program.display()), e.to_string())
    };
    let mark = keys::hex(&keys::bytes::<16>()?);
    // Before it starts, so that its end is not missed.
    let mut child_ended = signal(SignalKind::child()).map_err(|e| failed(Code::Internal, e))?;
    let mut command = Command::new(&errand.program);
    command
        .args(&errand.arguments)
        .current_dir(&errand.directory)
        .env_clear()
        .envs(errand.env.iter().map(|(name, value)| (name, value)))
        .env(MARK, &mark)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let started = spawn_blocking(move || Awaited::start(&mut command)).await;
    let started = started.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    let (awaited, mut child) = started.map_err(|e| {
        let code = if e.kind() == std::io::ErrorKind::NotFound { Code::NotFound } else { Code::StartFailed };
        failed(code, e)
    })?;
    let running = Running(awaited);
    let stdout = Capture::start(child.stdout.take().map(Into::into), errand.most);
    let stderr = Capture::start(child.stderr.take().map(Into::into), errand.most);
    let ended = async {
        loop {
            if let Some(exit) = running.0.ended() {
                return exit;
            }
            child_ended.recv().await;
        }
    };
    let exit = timeout(errand.limit, ended).await.ok();
    running.end_group();
    let searched = spawn_blocking(move || end_marked(&mark)).await;
    if !matches!(searched, Ok(true)) {
        tracing::warn!("processes of an errand could not all be ended");
    }
    Ok(Outcome { exit, stdout: stdout.finish().await, stderr: stderr.finish().await })
}

/// Ends the group when dropped.
struct Running(Awaited);

impl Running {
    fn end_group(&self) {
        // A group that is gone already is what is wanted.
        self.0.while_its_own(|leader| {
            let _ = killpg(leader, Signal::SIGKILL);
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end_group();
    }
}

/// An output that is being read.
struct Capture {
    kept: Arc<Mutex<Captured>>,
    reading: JoinHandle<()>,
}

impl Capture {
    fn start(pipe: Option<OwnedFd>, most: usize) -> Self {
        let kept = Arc::new(Mutex::new(Captured::default()));
        let into = Arc::clone(&kept);
        let reading = tokio::spawn(async move {
            let Some(Ok(mut pipe)) = pipe.map(Receiver::from_owned_fd) else { return };
            let mut chunk = vec![0; 16 << 10];
            while let Ok(read) = pipe.read(&mut chunk).await {
                if read == 0 {
                    return;
                }
                let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
                let room = most.saturating_sub(into.bytes.len()).min(read);
                into.bytes.extend_from_slice(&chunk[..room]);
                into.left_out += (read - room) as u64;
            }
        });
        Self { kept, reading }
    }

    async fn finish(mut self) -> Captured {
        if timeout(LAST_OUTPUT, &mut self.reading).await.is_err() {
            // Somebody we did not find holds the pipe: what came is what there is.
            self.reading.abort();
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Ends every process with this mark in its environment; `false` when new ones kept turning up.
#[cfg(target_os = "linux")]
fn end_marked(mark: &str) -> bool {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    let entry = format!("{MARK}={mark}");
    let is_marked = |pid: i32| {
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|env| env.split(|byte| *byte == 0).any(|one| one == entry.as_bytes()))
    };
    for _ in 0..MAX_ROUNDS {
        let Ok(all) = std::fs::read_dir("/proc") else { return false };
        let pids = all.filter_map(|one| one.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let mut found = false;
        for pid in pids.filter(|pid| is_marked(*pid)) {
            found = true;
            // The handle is of one process; looking again makes sure that it is this one.
            if let Some(handle) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
                && is_marked(pid)
            {
                // One that has ended meanwhile needs no signal.
                let _ = pidfd_send_signal(handle, Signal::KILL);
            }
        }
        if !found {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// The same; programs of the system itself do not show their environment, and are found by their group alone.
#[cfg(target_os = "macos")]
fn end_marked(mark: &str) -> bool {
    let entry = format!("{MARK}={mark}");
    let me = nix::unistd::getuid().as_raw();
    for _ in 0..MAX_ROUNDS {
        let Ok(all) = delight_darwin::all() else { return false };
        let mut found = false;
        for process in all.into_iter().filter(|process| process.user == me && !process.ended) {
            if delight_darwin::started_with(process.pid, &entry) {
                found = true;
                // One that has ended meanwhile needs no signal.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid), Signal::SIGKILL);
            }
        }
        if !found {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shell(script: &str) -> Errand {
        Errand {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            directory: "/".into(),
            env: plain_environment(),
            limit: Duration::from_secs(30),
            most: 1_000,
        }
    }

    #[tokio::test]
    async fn status_and_both_outputs_are_told_and_nothing_waits_for_input() {
        let done = run(shell("cat; echo out; echo err >&2; exit 3")).await.unwrap();
        assert_eq!(done.exit, Some(Exit::Code(3)));
        assert_eq!(
            (done.stdout.bytes.as_slice(), done.stderr.bytes.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );
    }

    #[tokio::test]
    async fn a_flood_is_counted_and_not_kept() {
        let done = run(shell("head -c 5000000 /dev/zero")).await.unwrap();
        assert_eq!(done.exit, Some(Exit::Code(0)));
        assert_eq!((done.stdout.bytes.len(), done.stdout.left_out), (1_000, 4_999_000));
    }

    #[tokio::test]
    async fn a_missing_program_is_told_as_that() {
        let errand = Errand { program: "no-such-program-of-ours".into(), ..shell("") };
        assert_eq!(run(errand).await.unwrap_err().code, Code::NotFound);
    }

    /// Ends when every process that holds the pipe has.
    fn tree(base: &std::path::Path, rest: &str) -> Errand {
        let pids = base.join("pids");
        let mut errand = shell(&format!(
            "sleep 1000 & echo $! >> {0}; setsid sleep 1000 & sh -c 'setsid sleep 1000 & echo $! >> {0}' & \
             sleep 0.1; echo ready; {rest}",
            pids.display()
        ));
        errand.limit = Duration::from_secs(2);
        errand
    }

    fn alive(base: &std::path::Path) -> Vec<String> {
        let pids = std::fs::read_to_string(base.join("pids")).unwrap();
        assert_eq!(pids.lines().count(), 2);
        let is_alive = |pid: &&str| {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        };
        pids.lines().filter(is_alive).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn a_late_errand_is_ended_with_everything_it_started() {
        let base = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let done = run(tree(base.path(), "sleep 1000")).await.unwrap();
        assert_eq!(done.exit, None);
        assert_eq!(done.stdout.bytes, b"ready\n");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(alive(base.path()), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_an_errand_leaves_behind_ends_with_it() {
        let base = tempfile::tempdir().unwrap();
        let done = run(tree(base.path(), "exit 0")).await.unwrap();
        assert_eq!(done.exit, Some(Exit::Code(0)));
        assert_eq!(alive(base.path()), Vec::<String>::new());
    }
}
