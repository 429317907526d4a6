//! A terminal with a person before it: a PTY, a program in it, and an emulator that reads the screen.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use delight_proto::session::Size;
use nix::libc;
use nix::sys::signal::Signal;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::{until, until_some};

/// What the terminal shows, and every byte that made it so.
struct Shown {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

/// A terminal.
pub struct Terminal {
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<Mutex<Shown>>,
}

/// A reference emulator of this size.
#[must_use]
pub fn emulator(size: Size) -> vt100::Parser {
    let side = |cells| NonZeroU16::new(cells).expect("a terminal has cells");
    vt100::Parser::new(side(size.rows), side(size.cols), 0)
}

impl Terminal {
    /// Opens one of this size and runs the command in it.
    #[must_use]
    pub fn open(command: &Command, size: Size) -> Self {
        let pair = native_pty_system().openpty(pty_size(size)).expect("a PTY can be opened");
        let mut builder = CommandBuilder::new(command.get_program());
        builder.env_clear();
        builder.args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                builder.env(name, value);
            }
        }
        if let Some(directory) = command.get_current_dir() {
            builder.cwd(directory);
        }
        let child = pair.slave.spawn_command(builder).expect("the command can be started");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let shown = Arc::new(Mutex::new(Shown { parser: emulator(size), bytes: Vec::new() }));
        let sink = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0u8; 16 << 10];
            // The end of the PTY is an error on Linux and a zero elsewhere.
            while let Ok(got @ 1..) = reader.read(&mut buffer) {
                let mut shown = sink.lock().unwrap();
                shown.parser.process(&buffer[..got]);
                shown.bytes.extend_from_slice(&buffer[..got]);
            }
        });
        Self { master: pair.master, writer, child, shown }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap()
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it has a pid")
    }

    /// Types.
    pub fn keys(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.write_all(bytes.as_ref()).unwrap();
        self.writer.flush().unwrap();
    }

    /// Drags the window to another size.
    pub fn resize(&mut self, size: Size) {
        let side = |cells| NonZeroU16::new(cells).expect("a terminal has cells");
        self.shown().parser.set_size(side(size.rows), side(size.cols));
        self.master.resize(pty_size(size)).unwrap();
    }

    /// The screen as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.shown().parser.screen().contents()
    }

    /// The screen itself.
    #[must_use]
    pub fn screen(&self) -> vt100::Screen {
        self.shown().parser.screen().clone()
    }

    /// Every byte so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.shown().bytes.clone()
    }

    /// Waits until the screen shows `text`.
    #[track_caller]
    pub fn until_shows(&self, text: &str) {
        self.until(&format!("the screen shows {text:?}"), |screen| screen.contents().contains(text));
    }

    /// Waits until the screen is as wanted.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let report = ReportScreen(self);
        until(what, || wanted(self.shown().parser.screen()));
        std::mem::forget(report);
    }

    /// Whether the terminal hands keys through at once and unechoed.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        let mode = self.master.get_termios().expect("the terminal has a mode");
        mode.local_flags.bits() & (libc::ICANON | libc::ECHO) == 0
    }

    /// Whether ctrl-c makes a signal: the part of raw mode that no line editor of a shell uses.
    #[must_use]
    pub fn makes_signals(&self) -> bool {
        let mode = self.master.get_termios().expect("the terminal has a mode");
        mode.local_flags.bits() & libc::ISIG != 0
    }

    /// The program's exit status, once it has ended.
    #[track_caller]
    pub fn ended(&mut self) -> u32 {
        let child = &mut self.child;
        until_some("the program in the terminal ends", || child.try_wait().unwrap()).exit_code()
    }

    /// `kill -9` of the program.
    pub fn kill9(&mut self) {
        crate::kernel::signal(self.pid(), Signal::SIGKILL);
    }
}

/// Says what the screen showed when waiting for something fails.
struct ReportScreen<'a>(&'a Terminal);

impl Drop for ReportScreen<'_> {
    #[allow(clippy::print_stderr)] // A failing test's report.
    fn drop(&mut self) {
        eprintln!("the screen shows:\n{}", self.0.text());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // `portable_pty`'s own kill is polite first; a test that is over need not be.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill9();
        }
        let _ = self.child.wait();
    }
}

fn pty_size(size: Size) -> PtySize {
    PtySize { rows: size.rows, cols: size.cols, pixel_width: 0, pixel_height: 0 }
}
