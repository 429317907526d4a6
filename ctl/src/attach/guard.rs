//! A tiny process that restores the terminal when this one cannot: `kill -9` runs no handler.
//!
//! It is a fork without an exec, waits on a pipe whose other end only the client holds, and is in a session of its
//! own, so that neither the job's signals nor the terminal's hangup reach it before it has done its work.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};

use nix::errno::Errno;
use nix::libc;
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, close, fork, setsid};

use super::reset;

/// The client's end of it.
pub(super) struct Guard {
    /// Its end without a byte is the client's death.
    alive: PipeWriter,
    process: Pid,
}

impl Guard {
    /// Starts it. `before` is what it would restore, `raw` what the client is about to set, `forget` descriptors of
    /// the client that it must not keep open.
    ///
    /// # Errors
    /// Those of `pipe` and `fork`.
    #[allow(unsafe_code)]
    pub(super) fn start(
        before: &Termios,
        raw: &Termios,
        out: Option<&File>,
        forget: &[i32],
    ) -> io::Result<Self> {
        let (watch, alive) = io::pipe()?;
        // SAFETY: this process has a single thread, so no lock can be held by another one at the fork.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { alive, process: child }),
            ForkResult::Child => {
                drop(alive);
                for fd in forget.iter().chain(&[libc::STDERR_FILENO]) {
                    let _ = close(*fd);
                }
                stand_by(watch, before, raw, out);
                // SAFETY: `_exit` runs no destructor: those of the client's objects are the client's to run.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Tells it that everything is in order, and waits until it is gone.
    pub(super) fn dismiss(mut self) {
        let _ = self.alive.write_all(b".");
        while waitpid(self.process, None) == Err(Errno::EINTR) {}
    }
}

/// The guard's life.
fn stand_by(mut watch: PipeReader, before: &Termios, raw: &Termios, out: Option<&File>) {
    let _ = setsid();
    let mut word = [0u8; 1];
    let dismissed = loop {
        match watch.read(&mut word) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => break other.is_ok_and(|n| n > 0),
        }
    };
    if dismissed {
        return;
    }
    // The shell may have been quicker and set modes of its own: only ours are undone.
    if tcgetattr(io::stdin()).is_ok_and(|now| same(&now, raw)) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
    }
    // Never waits: a terminal that takes nothing would keep this process for ever.
    if let Some(mut out) = out {
        let _ = out.write_all(reset::LEAVING.as_bytes());
    }
}

fn same(a: &Termios, b: &Termios) -> bool {
    (a.input_flags, a.output_flags, a.control_flags, a.local_flags)
        == (b.input_flags, b.output_flags, b.control_flags, b.local_flags)
}
