//! The way to Codex's app server, which nobody but this program may go; and who else is let in by it.
//!
//! The server asks nobody who he is: whoever reaches its socket may approve. So that a tool of the agent cannot approve
//! what the agent asked for, the socket loses its name as soon as it has been opened, and is reached by its descriptor
//! from then on. (Linux. Elsewhere its name stays, in a directory that is the owner's alone.) Others come by a socket of
//! ours, at which the kernel says which process they are: those inside sessions are turned away.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::getuid;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::process::ancestry::leads_to;

/// Visitors at once: each is a person's terminal.
const VISITORS: usize = 16;

/// What a holder's program is called, as the kernel says it.
#[cfg(target_os = "linux")]
const HOLDER: &str = "delight-holder";

/// The way to the server.
#[derive(Debug)]
pub(super) struct Door {
    #[cfg(target_os = "linux")]
    socket: std::os::fd::OwnedFd,
    #[cfg(not(target_os = "linux"))]
    socket: PathBuf,
}

impl Door {
    /// Takes the name from a server's socket that listens.
    ///
    /// # Errors
    /// It is not there.
    #[cfg(target_os = "linux")]
    pub(super) fn close_behind(path: &Path) -> io::Result<Self> {
        use nix::fcntl::{OFlag, open};
        // Codex listens below /tmp, where names are short, and leaves a link at the name it was given.
        let real = fs::canonicalize(path)?;
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let socket = open(&real, flags, nix::sys::stat::Mode::empty())?;
        fs::remove_file(&real)?;
        super::remove(path)?;
        Ok(Self { socket })
    }

    /// Keeps the name: without `/proc` a socket cannot be reached by its descriptor.
    ///
    /// # Errors
    /// None here.
    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unnecessary_wraps)] // Linux can fail here.
    pub(super) fn close_behind(path: &Path) -> io::Result<Self> {
        Ok(Self { socket: path.to_owned() })
    }

    #[cfg(target_os = "linux")]
    fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.socket.as_raw_fd()))
    }

    #[cfg(not(target_os = "linux"))]
    fn path(&self) -> PathBuf {
        self.socket.clone()
    }

    /// A connection to the server.
    ///
    /// # Errors
    /// The server is gone.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.path()).await
    }
}

/// Opens the socket for visitors, for the owner alone.
///
/// # Errors
/// The system's.
pub(super) fn listen(socket: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Lets visitors in for as long as it is polled.
pub(super) async fn let_in(listener: UnixListener, door: Arc<Door>) {
    let places = Arc::new(Semaphore::new(VISITORS));
    loop {
        // What waits in the queue waits for a place.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((visitor, _)) = listener.accept().await else {
            // No descriptors at present: others close theirs.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let door = door.clone();
        tokio::spawn(async move {
            show_in(visitor, &door).await;
            drop(place);
        });
    }
}

async fn show_in(mut visitor: UnixStream, door: &Door) {
    if let Err(why) = may_come_in(&visitor) {
        // What it asks is read first: an answer on a connection that is closed over unread bytes is lost.
        let _ = visitor.read(&mut [0; 4_096]).await;
        let words = format!("{why}\n");
        let head = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n", words.len());
        // It is turned away either way.
        let _ = visitor.write_all((head + &words).as_bytes()).await;
        return;
    }
    if let Ok(mut server) = door.connect().await {
        // However it ends, both connections end with it.
        let _ = copy_bidirectional(&mut visitor, &mut server).await;
    }
}

/// Who may come in: programs of the owner's, outside of any session.
fn may_come_in(visitor: &UnixStream) -> Result<(), String> {
    let unknown = |e: &dyn std::fmt::Display| format!("delight cannot tell who asks: {e}");
    let peer = visitor.peer_cred().map_err(|e| unknown(&e))?;
    if peer.uid() != getuid().as_raw() {
        return Err("delight lets the session's owner in, nobody else".to_owned());
    }
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| unknown(&"the platform does not say which process"))?;
    match leads_to(pid, |at| is_of_a_session(at).then_some(())).map_err(|e| unknown(&e))? {
        None => Ok(()),
        Some(()) => {
            Err(format!("process {pid} runs inside a delight session: its agent would approve for itself"))
        }
    }
}

/// Whether everything below the process belongs to a session: it is a holder, or this program.
fn is_of_a_session(pid: u32) -> bool {
    pid == std::process::id() || is_holder(pid)
}

#[cfg(target_os = "linux")]
fn is_holder(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == HOLDER)
}

#[cfg(not(target_os = "linux"))]
fn is_holder(pid: u32) -> bool {
    u32::try_from(nix::unistd::getppid().as_raw()).is_ok_and(|parent| parent == pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// The test as a program that knocks: it is told where by its environment.
    #[test]
    fn knock() {
        let Some(path) = std::env::var_os("DELIGHT_TEST_KNOCK") else { return };
        let mut door = std::os::unix::net::UnixStream::connect(path).unwrap();
        door.write_all(b"hello").unwrap();
        let mut answer = String::new();
        door.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("approve for itself"), "{answer}");
    }

    #[tokio::test]
    async fn a_server_without_a_name_is_reached_and_what_it_started_is_not_let_in() {
        let base = tempfile::tempdir().unwrap();
        let (real, link, open) = (base.path().join("real"), base.path().join("srv"), base.path().join("tui"));
        let server = UnixListener::bind(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let door = Arc::new(Door::close_behind(&link).unwrap());
        let (ours, theirs) = tokio::join!(door.connect(), server.accept());
        ours.unwrap().write_all(b"x").await.unwrap();
        let mut byte = [0u8; 1];
        theirs.unwrap().0.read_exact(&mut byte).await.unwrap();
        if cfg!(target_os = "linux") {
            assert!(!real.exists() && !link.exists(), "nobody else finds it");
        }
        let visitors = listen(&open).unwrap();
        assert_eq!(fs::metadata(&open).unwrap().permissions().mode() & 0o777, 0o600);
        let inside = tokio::task::spawn_blocking(move || {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "adapters::codex::host::door::tests::knock", "--nocapture"]);
            command.env("DELIGHT_TEST_KNOCK", open).output().unwrap()
        });
        tokio::select! {
            () = let_in(visitors, door) => unreachable!("it goes on"),
            output = inside => {
                let output = output.unwrap();
                assert!(output.status.success(), "{output:?}");
            }
        }
    }
}
