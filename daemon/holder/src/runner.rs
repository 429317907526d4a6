//! Starting a runner, and its streams.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio as ProcessStdio};

use delight_proto::holder::{Start, Stdio};
use delight_proto::session::Size;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::pty::{PtyMaster, grantpt, posix_openpt, unlockpt};
use nix::sys::termios::{self, InputFlags, SetArg};

use crate::exec_failure::diagnose;

/// A runner's ends of its streams, all non-blocking and close-on-exec.
#[derive(Default)]
pub(crate) struct Streams {
    /// The terminal: reads output, takes input, has a size.
    terminal: Option<File>,
    input: Option<File>,
    output: Option<File>,
    errors: Option<File>,
}

/// Which output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Output,
    Errors,
}

/// What a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing ever again; the stream is closed.
    End,
}

impl Streams {
    /// Where output (or errors) can be waited for.
    pub(crate) fn source(&self, source: Source) -> Option<BorrowedFd<'_>> {
        self.reader(source).map(AsFd::as_fd)
    }

    /// Where room for input can be waited for.
    pub(crate) fn sink(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().or(self.input.as_ref()).map(AsFd::as_fd)
    }

    /// Whether the runner has a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    fn reader(&self, source: Source) -> Option<&File> {
        match source {
            Source::Output => self.terminal.as_ref().or(self.output.as_ref()),
            Source::Errors => self.errors.as_ref(),
        }
    }

    /// Reads once. The end of a stream closes it.
    pub(crate) fn read(&mut self, source: Source, buffer: &mut [u8]) -> Got {
        let Some(mut file) = self.reader(source) else { return Got::End };
        loop {
            match file.read(buffer) {
                Ok(n) if n > 0 => return Got::Bytes(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Got::Nothing,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A terminal whose last process has let go of it says EIO, a pipe says 0.
                Ok(_) | Err(_) => {
                    match source {
                        Source::Output => (self.terminal, self.output) = (None, None),
                        Source::Errors => self.errors = None,
                    }
                    return Got::End;
                }
            }
        }
    }

    /// Writes what there is room for; 0 when there is none.
    ///
    /// # Errors
    /// When the runner can take no input any more.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(mut file) = self.terminal.as_ref().or(self.input.as_ref()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        loop {
            match file.write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                other => return other,
            }
        }
    }

    /// Tells the terminal its size; the kernel tells the processes (`SIGWINCH`).
    pub(crate) fn resize(&self, size: Size) {
        if let Some(terminal) = &self.terminal {
            set_size(terminal.as_fd(), size);
        }
    }

    /// Closes the input: it has nobody to read it any more.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }
}

#[allow(unsafe_code)]
fn set_size(terminal: BorrowedFd<'_>, size: Size) {
    use std::os::fd::AsRawFd;
    let size = libc::winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, which outlives the call. It cannot fail on a terminal's master.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) };
}

/// Starts a runner. When this returns `Ok` its program has been executed.
///
/// # Errors
/// Why not, for its owner.
pub(crate) fn start(start: &Start) -> Result<(i32, Streams), delight_proto::refusal::Refusal> {
    let Some((program, arguments)) = start.argv.split_first() else {
        return Err(diagnose(start, &io::Error::from(io::ErrorKind::InvalidInput)));
    };
    let mut command = Command::new(OsStr::new(program));
    command.args(arguments).env_clear().current_dir(&start.cwd);
    command.envs(start.env.iter().map(|(name, value)| (name, value)));
    let spawned = match start.stdio {
        Stdio::Pty => on_terminal(&mut command, start.size),
        Stdio::Pipes => on_pipes(&mut command),
    };
    spawned.map_err(|e| diagnose(start, &e))
}

fn on_terminal(command: &mut Command, size: Size) -> io::Result<(i32, Streams)> {
    let (master, slave) = open_terminal(size)?;
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    before_exec(command, true);
    let child = command.spawn()?;
    Ok((child.id() as i32, Streams { terminal: Some(master), ..Streams::default() }))
}

fn on_pipes(command: &mut Command) -> io::Result<(i32, Streams)> {
    command.stdin(ProcessStdio::piped()).stdout(ProcessStdio::piped()).stderr(ProcessStdio::piped());
    before_exec(command, false);
    let mut child = command.spawn()?;
    let input = child.stdin.take().map(|s| File::from(OwnedFd::from(s)));
    let output = child.stdout.take().map(|s| File::from(OwnedFd::from(s)));
    let errors = child.stderr.take().map(|s| File::from(OwnedFd::from(s)));
    for stream in [&input, &output, &errors].into_iter().flatten() {
        fcntl(stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok((child.id() as i32, Streams { terminal: None, input, output, errors }))
}

fn open_terminal(size: Size) -> io::Result<(File, OwnedFd)> {
    let master = open_master()?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = open_slave(&master)?;
    let mut settings = termios::tcgetattr(&slave)?;
    // Erasing a character erases all its bytes.
    settings.input_flags.insert(InputFlags::IUTF8);
    termios::tcsetattr(&slave, SetArg::TCSANOW, &settings)?;
    set_size(slave.as_fd(), size);
    Ok((File::from(OwnedFd::from(master)), slave))
}

#[cfg(target_os = "linux")]
fn open_master() -> io::Result<PtyMaster> {
    Ok(posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?)
}

/// POSIX knows no further flags of that call. There is one thread: nothing is executed in between.
#[cfg(target_os = "macos")]
fn open_master() -> io::Result<PtyMaster> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY)?;
    fcntl(&master, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
    Ok(master)
}

#[cfg(target_os = "linux")]
fn open_slave(master: &PtyMaster) -> io::Result<OwnedFd> {
    let name = nix::pty::ptsname_r(master)?;
    Ok(File::options().read(true).write(true).custom_flags_noctty().open(name)?.into())
}

#[cfg(target_os = "macos")]
#[allow(unsafe_code)]
fn open_slave(master: &PtyMaster) -> io::Result<OwnedFd> {
    // SAFETY: the name lies in static memory; there is one thread, and nobody else asks for a name.
    let name = unsafe { nix::pty::ptsname(master)? };
    Ok(File::options().read(true).write(true).custom_flags_noctty().open(name)?.into())
}

trait NoControllingTerminal {
    /// Opening a terminal must not make it ours: the holder is a session leader without one.
    fn custom_flags_noctty(&mut self) -> &mut Self;
}

impl NoControllingTerminal for std::fs::OpenOptions {
    fn custom_flags_noctty(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        self.custom_flags(libc::O_NOCTTY)
    }
}

/// Between fork and exec: a session of its own, the terminal as its controlling one (which makes the new process
/// group the foreground one), and signals as a program expects them.
#[allow(unsafe_code)]
fn before_exec(command: &mut Command, terminal: bool) {
    let prepare = move || {
        // SAFETY: only async-signal-safe calls on numbers and on memory of this frame.
        unsafe {
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            if terminal && libc::ioctl(0, libc::TIOCSCTTY as _, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
            // What the daemon or this holder ignores would stay ignored. Numbers without a signal are refused.
            for signal in 1..=64 {
                libc::signal(signal, libc::SIG_DFL);
            }
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
}
