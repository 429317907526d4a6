//! Joining a session that desktop and phone share: the agent's own terminal program runs here, in a terminal of its own,
//! as one more client of the agent.
//!
//! The session neither knows nor needs it: it is ended on leaving, and started again as often as one likes. It is not put
//! on this terminal directly, so that the detach key works in it and the terminal is put back however it ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use delight_proto::api::method::TerminalProgram;
use delight_proto::session::{Phase, Size};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use signal_hook::consts::{SIGCONT, SIGTSTP, SIGWINCH};

use super::desk::{Desk, News};
use super::detach::DetachScanner;
use super::signals::Signals;
use super::terminal::{self, RawTerminal};

/// Keys typed and not yet taken by the program. When it reads nothing and this is full, the terminal is no longer read.
const UNSENT_MAX: usize = 64 << 10;
/// How long the program may take to end once its terminal is gone.
const TO_END: Duration = Duration::from_secs(1);
/// Between two looks whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long the session may take to be seen to have ended, after a program that failed.
const TO_BE_SEEN: Duration = Duration::from_secs(2);

/// Why it is over.
pub(super) enum Parted {
    /// The detach key.
    Detached,
    /// The program ended.
    Program(ExitStatus),
    /// The session does not live any more.
    Session,
    /// The session has another runner: the program knows only the one before.
    Again,
    /// This process is to be stopped and continued later, or was.
    Paused {
        /// Whether it is still to be stopped.
        stop: bool,
    },
    /// This terminal is gone.
    TerminalGone,
    /// A signal asks this process to end.
    Signal(i32),
}

/// The program in its terminal.
pub(super) struct Joined {
    program: Program,
    master: File,
}

/// Its process.
struct Program(Child);

impl Joined {
    /// Starts it.
    ///
    /// # Errors
    /// There is no terminal for it, or it cannot be executed.
    pub(super) fn start(program: &TerminalProgram, cwd: &Path) -> io::Result<Self> {
        let Some((name, arguments)) = program.argv.split_first() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let pair = openpty(&winsize(terminal::size().unwrap_or_default()), None)?;
        // Nobody else may keep it: that its master is closed is how the program hears of the end.
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        fcntl(&pair.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut command = Command::new(name);
        command.args(arguments).envs(&program.env);
        if cwd.is_dir() {
            command.current_dir(cwd);
        }
        command.stdin(pair.slave.try_clone()?).stdout(pair.slave.try_clone()?).stderr(pair.slave);
        with_terminal(&mut command);
        Ok(Self { program: Program(command.spawn()?), master: File::from(pair.master) })
    }

    /// Its terminal, for processes that must not keep it open.
    pub(super) fn descriptor(&self) -> i32 {
        self.master.as_raw_fd()
    }

    /// Carries keys and output until there is a reason to stop.
    pub(super) fn carry(
        &mut self,
        raw: &RawTerminal,
        signals: &mut Signals,
        desk: &mut Desk,
        scanner: &mut DetachScanner,
    ) -> Parted {
        let generation = desk.view().generation;
        let (mut unsent, mut held) = (Vec::new(), Vec::new());
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            let ready = match wait(&self.master, raw, signals, desk, (&unsent, &held)) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                Err(_) => return Parted::TerminalGone,
            };
            if ready.signals {
                for signal in signals.pending() {
                    match signal {
                        SIGWINCH => self.resize(),
                        SIGTSTP => return Parted::Paused { stop: true },
                        SIGCONT => return Parted::Paused { stop: false },
                        other => return Parted::Signal(other),
                    }
                }
            }
            if ready.keys {
                match nix::unistd::read(io::stdin(), &mut buffer[..16 << 10]) {
                    Ok(0) | Err(Errno::EIO) => return Parted::TerminalGone,
                    Ok(n) => {
                        let ours = scanner.scan(&buffer[..n]);
                        unsent.extend_from_slice(&buffer[..ours]);
                        if ours < n {
                            return Parted::Detached;
                        }
                    }
                    Err(Errno::EINTR | Errno::EAGAIN) => {}
                    Err(_) => return Parted::TerminalGone,
                }
            }
            if !unsent.is_empty()
                && let Ok(taken) = (&self.master).write(&unsent)
            {
                unsent.drain(..taken);
            }
            if ready.output && held.is_empty() {
                match (&self.master).read(&mut buffer) {
                    Ok(n @ 1..) => held.extend_from_slice(&buffer[..n]),
                    Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                    // Its last process has let go of it.
                    Ok(_) | Err(_) => return self.ended(desk),
                }
            }
            if !held.is_empty() {
                match raw.write(&held) {
                    Ok(taken) => drop(held.drain(..taken)),
                    Err(_) => return Parted::TerminalGone,
                }
            }
            if let Some(parted) = heard(desk, ready.desk, generation) {
                return parted;
            }
        }
    }

    /// The program has ended: of itself, or because the session did.
    fn ended(&mut self, desk: &mut Desk) -> Parted {
        let status = match self.program.wait() {
            Some(status) => status,
            None => return Parted::Detached,
        };
        let until = Instant::now() + TO_BE_SEEN;
        while !status.success() && desk.view().phase.is_live() && Instant::now() < until {
            let Some(daemon) = desk.fd() else { break };
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            if poll(&mut [PollFd::new(daemon, PollFlags::POLLIN)], timeout) == Ok(0) {
                break;
            }
            desk.arrived();
        }
        if desk.view().phase.is_live() { Parted::Program(status) } else { Parted::Session }
    }

    fn resize(&self) {
        if let Some(size) = terminal::size() {
            set_size(&self.master, size);
        }
    }

    /// Ends it.
    pub(super) fn end(self) {
        let Self { mut program, master } = self;
        // Its terminal hangs up.
        drop(master);
        if program.wait().is_none() {
            // It has not been waited for: the number is its own.
            let _ = program.0.kill();
            let _ = program.0.wait();
        }
    }
}

impl Program {
    /// Its exit status, as soon as it has ended; none: it does not end.
    fn wait(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + TO_END;
        while Instant::now() < until {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(LOOK_AGAIN),
                Ok(Some(status)) => return Some(status),
                Err(_) => return None,
            }
        }
        None
    }
}

fn heard(desk: &mut Desk, arrived: bool, generation: u64) -> Option<Parted> {
    desk.look();
    let news = if arrived { desk.arrived() } else { Vec::new() };
    if news.iter().any(|news| matches!(news, News::Removed)) || !desk.view().phase.is_live() {
        return Some(Parted::Session);
    }
    let running = desk.view().phase == Phase::Running;
    (running && desk.view().generation != generation).then_some(Parted::Again)
}

/// What is ready.
struct Ready {
    keys: bool,
    output: bool,
    signals: bool,
    desk: bool,
}

/// Waits for keys, output, signals and the daemon; (`unsent`, `held`) are keys and output that wait to be written.
fn wait(
    master: &File,
    raw: &RawTerminal,
    signals: &Signals,
    desk: &Desk,
    (unsent, held): (&[u8], &[u8]),
) -> Result<Ready, Errno> {
    let input = |wanted: bool| if wanted { PollFlags::POLLIN } else { PollFlags::empty() };
    let mut to_program = input(held.is_empty());
    to_program.set(PollFlags::POLLOUT, !unsent.is_empty());
    let stdin = io::stdin();
    let mut fds = vec![
        PollFd::new(stdin.as_fd(), input(unsent.len() < UNSENT_MAX)),
        PollFd::new(master.as_fd(), to_program),
        PollFd::new(signals.readable(), PollFlags::POLLIN),
    ];
    let desk_at = desk.fd().map(|fd| {
        fds.push(PollFd::new(fd, PollFlags::POLLIN));
        fds.len() - 1
    });
    if !held.is_empty() {
        fds.push(raw.writable());
    }
    let timeout = desk.due().map_or(PollTimeout::NONE, |due| {
        let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    });
    poll(&mut fds, timeout)?;
    let over = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    let got = |at: usize| fds.get(at).and_then(PollFd::revents).is_some_and(|events| events.intersects(over));
    Ok(Ready {
        keys: got(0) && unsent.len() < UNSENT_MAX,
        output: got(1),
        signals: got(2),
        desk: desk_at.is_some_and(got),
    })
}

fn winsize(size: Size) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 }
}

#[allow(unsafe_code)]
fn set_size(master: &File, size: Size) {
    let size = winsize(size);
    // SAFETY: TIOCSWINSZ reads one winsize, which outlives the call. It cannot fail on a terminal's master.
    unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) };
}

/// Between fork and exec: a session of its own with its standard input as the terminal.
#[allow(unsafe_code)]
fn with_terminal(command: &mut Command) {
    let prepare = || {
        // SAFETY: only async-signal-safe calls on numbers.
        unsafe {
            if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY as _, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Joined {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let env = [("WORD".to_owned(), "laid over".to_owned())].into();
        Joined::start(&TerminalProgram { argv, env }, Path::new("/")).unwrap()
    }

    fn output(joined: &Joined) -> String {
        let mut all = Vec::new();
        let mut buffer = [0u8; 1_024];
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            let mut fds = [PollFd::new(joined.master.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, 100u16).unwrap();
            match (&joined.master).read(&mut buffer) {
                Ok(n @ 1..) => all.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                _ => break,
            }
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn it_has_a_terminal_of_its_own_the_environment_and_the_directory() {
        let mut joined = run("tty >/dev/null && echo $WORD in $PWD; exit 3");
        assert_eq!(output(&joined), "laid over in /\r\n");
        assert_eq!(joined.program.wait().and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn its_end_leaves_nothing_behind_however_stubborn_it_is() {
        for script in ["echo up; sleep 1000", "trap '' HUP TERM; echo up; while :; do sleep 1; done"] {
            let joined = run(script);
            let pid = nix::unistd::Pid::from_raw(i32::try_from(joined.program.0.id()).unwrap());
            let mut buffer = [0u8; 16];
            let mut fds = [PollFd::new(joined.master.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, 20_000u16), Ok(1));
            assert!((&joined.master).read(&mut buffer).unwrap() > 0);
            joined.end();
            assert_eq!(nix::sys::signal::kill(pid, None), Err(Errno::ESRCH), "{script}");
        }
    }
}
