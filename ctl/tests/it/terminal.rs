//! A terminal for `delightctl` to run in.

use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::termios::{Termios, tcgetattr};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::scripted::Place;

/// Longest wait for anything: generous, because only a failing test waits it out.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Terminal {
    master: Box<dyn MasterPty + Send>,
    /// Keeps the terminal open when the client ends, as a shell would.
    _slave: Box<dyn portable_pty::SlavePty + Send>,
    keyboard: Box<dyn Write + Send>,
    pub(crate) client: Box<dyn Child + Send + Sync>,
    screen: Arc<(Mutex<Vec<u8>>, Condvar)>,
    /// Modes before the client was started.
    before: Termios,
}

impl Terminal {
    /// Runs `delightctl` with the arguments.
    pub(crate) fn run(place: &Place, arguments: &[&str]) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let before = modes(pair.master.as_ref());
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_delightctl"));
        command.args(arguments);
        for (name, value) in place.environment() {
            command.env(name, value);
        }
        command.env_remove("DELIGHT_SESSION_ID");
        command.env_remove("DELIGHT_DETACH_KEY");
        let client = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keyboard = pair.master.take_writer().unwrap();
        let screen = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let filled = screen.clone();
        thread::spawn(move || {
            let mut chunk = [0u8; 4_096];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                filled.0.lock().unwrap().extend_from_slice(&chunk[..n]);
                filled.1.notify_all();
            }
        });
        Self { master: pair.master, _slave: pair.slave, keyboard, client, screen, before }
    }

    pub(crate) fn type_keys(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    pub(crate) fn resize(&self, rows: u16, cols: u16) {
        self.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// Waits until all this has been written to the terminal; everything so far.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let (screen, changed) = (&self.screen.0, &self.screen.1);
        let missing = |bytes: &mut Vec<u8>| !String::from_utf8_lossy(bytes).contains(text);
        let (bytes, timeout) = changed.wait_timeout_while(screen.lock().unwrap(), LIMIT, missing).unwrap();
        let all = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!timeout.timed_out(), "{text:?} did not come; there is {all:?}");
        all
    }

    /// Waits for the client's end; its status.
    pub(crate) fn ended(&mut self) -> u32 {
        let mut status = None;
        eventually("the client ends", || {
            status = self.client.try_wait().unwrap();
            status.is_some()
        });
        status.map_or(u32::MAX, |status| status.exit_code())
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.client.process_id().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        let pid = self.client.process_id().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    pub(crate) fn is_raw(&self) -> bool {
        let local = modes(self.master.as_ref()).local_flags;
        !local.contains(nix::sys::termios::LocalFlags::ICANON)
    }

    pub(crate) fn is_restored(&self) -> bool {
        modes(self.master.as_ref()) == self.before
    }
}

#[allow(unsafe_code)]
fn modes(master: &dyn MasterPty) -> Termios {
    let fd = master.as_raw_fd().unwrap();
    // SAFETY: the descriptor belongs to `master`, which outlives this call.
    tcgetattr(unsafe { BorrowedFd::borrow_raw(fd) }).unwrap()
}

/// Polls a condition until it holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen: {what}");
        thread::yield_now();
    }
}
