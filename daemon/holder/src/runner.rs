//! Starting a runner, and its streams.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use delight_proto::holder::{Start, Stdio};
use delight_proto::refusal::Refusal;
use delight_proto::session::Size;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::pty::{PtyMaster, grantpt, posix_openpt, unlockpt};
use nix::sys::termios::{self, InputFlags, SetArg};

use crate::exec_failure::diagnose;
use crate::forked::Forked;

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

/// A runner that is ready to run, and its streams.
pub(crate) struct Prepared {
    start: Start,
    process: Forked,
    streams: Streams,
}

impl Prepared {
    /// Makes everything ready short of executing the program.
    ///
    /// # Errors
    /// Why not, for its owner.
    pub(crate) fn new(start: Start) -> Result<Self, Refusal> {
        let forked = match start.stdio {
            Stdio::Pty => on_terminal(&start),
            Stdio::Pipes => on_pipes(&start),
        };
        match forked {
            Ok((process, streams)) => Ok(Self { start, process, streams }),
            Err(e) => Err(diagnose(&start, &e)),
        }
    }

    /// Whether it is what this start asks for.
    pub(crate) fn is_for(&self, start: &Start) -> bool {
        self.start == *start
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Lets it run. When this returns `Ok` its program has been executed.
    ///
    /// # Errors
    /// Why not, for its owner.
    pub(crate) fn go(self) -> Result<(Start, i32, Streams), Refusal> {
        let Self { start, process, streams } = self;
        let pid = process.pid();
        match process.go() {
            Ok(()) => Ok((start, pid, streams)),
            Err(e) => Err(diagnose(&start, &e)),
        }
    }
}

fn on_terminal(start: &Start) -> io::Result<(Forked, Streams)> {
    let (master, slave) = open_terminal(start.size)?;
    let process = Forked::new(start, [slave.as_fd(); 3], true)?;
    Ok((process, Streams { terminal: Some(master), ..Streams::default() }))
}

fn on_pipes(start: &Start) -> io::Result<(Forked, Streams)> {
    let ((reads, input), (output, writes), (errors, complains)) = (io::pipe()?, io::pipe()?, io::pipe()?);
    let process = Forked::new(start, [reads.as_fd(), writes.as_fd(), complains.as_fd()], false)?;
    let [input, output, errors] =
        [OwnedFd::from(input), OwnedFd::from(output), OwnedFd::from(errors)].map(File::from);
    for stream in [&input, &output, &errors] {
        fcntl(stream, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok((process, Streams { terminal: None, input: Some(input), output: Some(output), errors: Some(errors) }))
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
