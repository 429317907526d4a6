//! Starting the daemon when none runs.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::connection::Connection;
use crate::failure::{Failure, system};
use crate::unreachable::NoConnection;

/// How long a daemon may take to adopt its sessions and open its socket. Five hundred take a second or two.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Longest message on the readiness pipe: a refusal in one line.
const MESSAGE_MAX: u64 = 64 << 10;

/// A connection to the running daemon, or to one started now (then with a relay inside, if it is asked for).
///
/// # Errors
/// The daemon cannot be reached, found or started.
pub(crate) fn connect(place: &Place, relay: Option<SocketAddr>) -> Result<(Connection, bool), Failure> {
    let socket = place.control_socket();
    match Connection::open(&socket) {
        Ok(connection) => return Ok((connection, false)),
        Err(NoConnection::NobodyThere(_)) => {}
        Err(refused) => return Err(refused.into()),
    }
    match start(place, relay) {
        Ok(()) => Ok((Connection::open(&socket)?, true)),
        // Somebody else's `up` was quicker: its daemon holds the lock and will open the socket.
        Err(Failure::Refused(refusal)) if refusal.code == Code::Conflict || lock_is_held(place) => {
            Ok((await_other(&socket, &refusal)?, false))
        }
        Err(failure) => Err(failure),
    }
}

/// Whether a daemon is alive or about to be. The lock is looked at, never waited for, and given back at once.
fn lock_is_held(place: &Place) -> bool {
    let Ok(file) = File::open(place.daemon_lock()) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
}

/// Waits for the socket of a daemon that somebody else is starting.
fn await_other(socket: &Path, refusal: &Refusal) -> Result<Connection, Failure> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        match Connection::open(socket) {
            Err(NoConnection::NobodyThere(_)) if Instant::now() < deadline => {
                // There is nothing to wait on: a socket that does not exist cannot be polled.
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(NoConnection::NobodyThere(_)) => return Err(refusal.clone().into()),
            other => return Ok(other?),
        }
    }
}

/// One of our programs: beside this one, else in `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name));
    beside(name).into_iter().chain(in_path).find(|candidate| {
        candidate.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    })
}

fn beside(name: &str) -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join(name))
}

/// The daemon's program.
///
/// # Errors
/// It is nowhere.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    const NAME: &str = "delightd";
    find(NAME).ok_or_else(|| {
        let looked = beside(NAME).map_or_else(String::new, |path| format!(" at {}", path.display()));
        Refusal::new(
            Code::DaemonUnreachable,
            "no daemon is running and none can be started",
            format!("delightd is neither{looked} nor in PATH"),
        )
        .fix("install delightd beside delightctl, or put its directory into PATH")
        .into()
    })
}

/// Starts a daemon of its own session, away from this terminal, and waits until its API is open.
fn start(place: &Place, relay: Option<SocketAddr>) -> Result<(), Failure> {
    let program = program()?;
    let log_path = place.daemon_log();
    let log = open_log(place)?;
    let log_begin = log.metadata().map_or(0, |m| m.len());
    let (mut ready, ready_end) = io::pipe().map_err(|e| system("the daemon could not be started", e))?;
    let ready_fd = ready_end.as_raw_fd();
    let mut command = Command::new(&program);
    command
        .arg("run")
        .arg("--log-file")
        .arg(&log_path)
        .arg("--ready-fd")
        .arg(ready_fd.to_string())
        .args(relay.map(|address| ["--relay".to_owned(), address.to_string()]).into_iter().flatten())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    detach(&mut command, ready_end);
    let mut child = command.spawn().map_err(|e| {
        Refusal::new(
            Code::DaemonUnreachable,
            "the daemon could not be started",
            format!("{}: {e}", program.display()),
        )
    })?;
    // The command owns our copy of the pipe's writing end: without it here, the end of the daemon is the pipe's end.
    drop(command);
    child.wait().map_err(|e| system("the daemon could not be started", e))?;

    let line = ready_line(&mut ready)?;
    if line == "ready" {
        return Ok(());
    }
    if let Ok(refusal) = serde_json::from_str::<Refusal>(&line) {
        return Err(refusal.into());
    }
    let reason = if line.is_empty() { last_words(&log_path, log_begin) } else { line };
    Err(Refusal::new(Code::DaemonUnreachable, "the daemon ended before it was ready", reason)
        .fix(format!("look at {}", log_path.display()))
        .into())
}

/// The daemon's own log takes its standard error too, so that the words of a crash are somewhere.
fn open_log(place: &Place) -> Result<File, Failure> {
    let refused = |e: io::Error| {
        Refusal::new(
            Code::Storage,
            "the daemon could not be started",
            format!("{}: {e}", place.daemon_log().display()),
        )
        .fix("make the directory writable, or set DELIGHT_STATE_DIR to another")
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&place.state).map_err(refused)?;
    Ok(OpenOptions::new().append(true).create(true).mode(0o600).open(place.daemon_log()).map_err(refused)?)
}

/// Makes the child leave this session and this process: no terminal's hangup and no shell's job control reaches it,
/// and it is nobody's zombie later.
#[allow(unsafe_code)]
fn detach(command: &mut Command, ready_end: io::PipeWriter) {
    let between_fork_and_exec = move || {
        fcntl(&ready_end, FcntlArg::F_SETFD(FdFlag::empty()))?;
        nix::unistd::setsid()?;
        // SAFETY: this process has a single thread, and the parent side does nothing but `_exit`.
        match unsafe { nix::unistd::fork() }? {
            nix::unistd::ForkResult::Child => Ok(()),
            // SAFETY: `_exit` is async-signal-safe and does not return.
            nix::unistd::ForkResult::Parent { .. } => unsafe { nix::libc::_exit(0) },
        }
    };
    // SAFETY: the closure calls `fcntl`, `setsid`, `fork` and `_exit` only, all async-signal-safe; it allocates
    // nothing.
    unsafe { command.pre_exec(between_fork_and_exec) };
}

/// What the daemon says first: `ready`, a refusal, or nothing when it ended.
fn ready_line(pipe: &mut io::PipeReader) -> Result<String, Failure> {
    let deadline = Instant::now() + READY_LIMIT;
    let mut bytes = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Refusal::new(
                Code::DaemonUnreachable,
                "the daemon is not ready",
                format!("it was started {} s ago and has not opened its socket", READY_LIMIT.as_secs()),
            )
            .fix("look at its log, or try again: it may still be adopting sessions")
            .retry()
            .into());
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(pipe), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(e) => return Err(system("the daemon could not be waited for", e)),
        }
        let mut chunk = [0u8; 4_096];
        let read = pipe.read(&mut chunk).map_err(|e| system("the daemon could not be waited for", e))?;
        bytes.extend_from_slice(&chunk[..read]);
        if read == 0 || bytes.contains(&b'\n') || bytes.len() as u64 > MESSAGE_MAX {
            let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
            return Ok(String::from_utf8_lossy(line).trim().to_owned());
        }
    }
}

/// The last line this start added to the log.
fn last_words(path: &Path, begin: u64) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(begin.max(length.saturating_sub(MESSAGE_MAX))))?;
        file.take(MESSAGE_MAX).read_to_string(&mut text)
    });
    match (read, text.lines().rev().find(|line| !line.trim().is_empty())) {
        (Ok(_), Some(line)) => format!("its last words were: {}", line.trim()),
        _ => "it left no word in its log".to_owned(),
    }
}
