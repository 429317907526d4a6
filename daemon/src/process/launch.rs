//! Starting a holder process.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};

use super::lock;

/// Starts holders; the same for all sessions.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// The holder program.
    pub(crate) program: PathBuf,
    /// Where the sessions lie.
    pub(crate) place: Place,
    /// The descriptor limit the daemon itself was started with: sessions get this one, not the daemon's raised one.
    pub(crate) inherited_files: Option<(u64, u64)>,
}

impl Launcher {
    /// Starts the holder of a session and returns the daemon's end of the control connection, on which nothing has
    /// been said yet.
    ///
    /// On Linux nothing here runs between fork and exec, so the standard library takes its `posix_spawn` path: the cost does
    /// not grow with the daemon.
    ///
    /// # Errors
    /// `conflict` when a holder of the session lives, `start-failed` otherwise. Blocks for about half a millisecond.
    pub(crate) fn launch(&self, id: SessionId, retain_bytes: u64) -> Result<UnixStream, Refusal> {
        let failed = |what: &str, e: &io::Error| {
            Refusal::new(
                Code::StartFailed,
                format!("the holder of {id} could not be started"),
                format!("{what}: {e}"),
            )
        };
        let dir = self.place.session(id);
        make_session_dir(&dir).map_err(|e| {
            failed(&format!("{} could not be made", dir.display()), &e)
                .fix("check free space and permissions of the state directory")
        })?;
        let held = lock::take(&dir).map_err(|e| failed("its lock could not be opened", &e))?;
        let Some(held) = held else {
            return Err(Refusal::new(
                Code::Conflict,
                format!("the holder of {id} could not be started"),
                "another holder of this session is alive",
            )
            .fix("restart the daemon: it will find and adopt it"));
        };
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(dir.join("holder.log"))
            .map_err(|e| failed("its log could not be opened", &e))?;
        let (ours, theirs) = UnixStream::pair().map_err(|e| failed("no socket pair", &e))?;
        ours.set_nonblocking(true).map_err(|e| failed("its connection could not be set up", &e))?;
        let mut command = Command::new(&self.program);
        #[cfg(target_os = "macos")]
        self.set_file_limit(&mut command);
        let child = command
            .arg("--session")
            .arg(id.as_str())
            .arg("--dir")
            .arg(&dir)
            .arg("--socket")
            .arg(self.place.holder_socket(id))
            .arg("--retain")
            .arg(retain_bytes.to_string())
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(held)
            .stderr(log)
            .spawn()
            .map_err(|e| {
                failed(&format!("{} could not be executed", self.program.display()), &e)
                    .fix("check that delight-holder lies beside delightd and can be executed")
            })?;
        self.restore_file_limit(child.id());
        // `child` is dropped without waiting: `reap` collects every holder that ends while this daemon lives.
        Ok(ours)
    }

    /// Gives the holder the descriptor limit a session expects. It has started nothing yet: it waits for `Start`.
    #[cfg(target_os = "linux")]
    fn restore_file_limit(&self, pid: u32) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let (Some((soft, hard)), Some(pid)) =
            (self.inherited_files, i32::try_from(pid).ok().and_then(Pid::from_raw))
        else {
            return;
        };
        let limit = Rlimit { current: Some(soft), maximum: Some(hard) };
        if let Err(e) = prlimit(Some(pid), Resource::Nofile, limit) {
            tracing::warn!(error = %e, "a holder keeps the daemon's descriptor limit");
        }
    }

    #[cfg(target_os = "macos")]
    #[allow(clippy::unused_self)] // Elsewhere it is needed.
    fn restore_file_limit(&self, _pid: u32) {}

    /// The same before it is executed: here a process can set its own limits only.
    #[cfg(target_os = "macos")]
    #[allow(unsafe_code)]
    fn set_file_limit(&self, command: &mut Command) {
        use nix::sys::resource::{Resource, setrlimit};
        use std::os::unix::process::CommandExt;
        let Some((soft, hard)) = self.inherited_files else { return };
        let set = move || setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(io::Error::from);
        // SAFETY: the closure makes one system call on numbers; it allocates nothing and takes no lock.
        unsafe { command.pre_exec(set) };
    }
}

fn make_session_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
