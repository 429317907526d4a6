//! A terminal for measuring: no emulator, no thread; what comes is read where it is waited for.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::time::Duration;

use delight_tests::kernel;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::unistd::{read, write};

/// Longest wait for anything: it bounds a failure.
const PATIENCE: u16 = 60_000;

/// A PTY with a command in it.
pub(crate) struct Screen {
    master: OwnedFd,
    child: Child,
}

impl Screen {
    /// Runs the command in a new terminal of 80×24 that is its controlling one.
    pub(crate) fn open(command: &Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        // setsid(1) gives the command the terminal; every peer pays the same for it.
        let mut inside = Command::new("setsid");
        inside.arg("--ctty").arg(command.get_program()).args(command.get_args());
        inside.env_clear();
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let slave = || pair.slave.try_clone().unwrap();
        let child = inside.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        Self { master: pair.master, child }
    }

    /// Types.
    pub(crate) fn keys(&self, bytes: &[u8]) {
        assert_eq!(write(self.master.as_fd(), bytes).unwrap(), bytes.len());
    }

    /// Reads what is there; waits for it.
    pub(crate) fn read<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        let mut wanted = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        assert_eq!(
            poll(&mut wanted, PollTimeout::from(PATIENCE)).unwrap(),
            1,
            "nothing came for {PATIENCE} ms"
        );
        let got = read(self.master.as_fd(), buffer).expect("the terminal is still there");
        &buffer[..got]
    }

    /// Reads until `marker` has come; returns how many bytes that were.
    pub(crate) fn until(&self, marker: &[u8]) -> u64 {
        let mut buffer = vec![0u8; 64 << 10];
        let (mut tail, mut all) = (Vec::new(), 0u64);
        loop {
            let got = self.read(&mut buffer);
            all += got.len() as u64;
            // The marker may be cut by two reads.
            tail.extend_from_slice(got);
            if tail.windows(marker.len()).any(|window| window == marker) {
                return all;
            }
            let keep = tail.len().saturating_sub(marker.len());
            tail.drain(..keep);
        }
    }

    /// Reads until nothing has come for a while.
    pub(crate) fn settle(&self) {
        let mut buffer = vec![0u8; 64 << 10];
        let quiet = PollTimeout::try_from(Duration::from_millis(200)).unwrap();
        while poll(&mut [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)], quiet).unwrap() == 1 {
            if read(self.master.as_fd(), &mut buffer).is_err() {
                return;
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        kernel::signal(self.child.id(), nix::sys::signal::Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
