//! Carries a script out.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, SigHandler, Signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd;

use crate::conversation::Conversation;
use crate::script::{Query, Statement};

/// Longest line `read` and `ask` take, in bytes.
const MAX_LINE: usize = 64 << 10;

/// Longest answer of a terminal that is waited for, in bytes.
const MAX_ANSWER: usize = 256;

/// How long a terminal may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The monotonic clock, in nanoseconds.
pub(crate) fn stamp() -> io::Result<String> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(format!("{}", now.tv_sec() * 1_000_000_000 + now.tv_nsec()))
}

/// Runs the statements in order and returns the status to end with.
pub(crate) fn perform(script: &[Statement], conversation: Option<&Conversation>) -> io::Result<u8> {
    let mut out = io::stdout().lock();
    let mut at = 0;
    while let Some(statement) = script.get(at) {
        at += 1;
        match statement {
            Statement::Say(text) => writeln!(out, "{text}")?,
            Statement::Print(bytes) => out.write_all(bytes)?,
            Statement::Lines { count, rate } => lines(&mut out, *count, *rate)?,
            Statement::Stamp { count, between } => {
                for _ in 0..*count {
                    writeln!(out, "{}", stamp()?)?;
                    out.flush()?;
                    std::thread::sleep(*between);
                }
            }
            Statement::Flood(bytes) => flood(&mut out, *bytes)?,
            Statement::Read => match read_line()? {
                Some(line) => writeln!(out, "got: {line}")?,
                None => writeln!(out, "got: end of input")?,
            },
            Statement::Ask(text) => {
                writeln!(out, "permission: {text} [y/n]")?;
                out.flush()?;
                let yes = read_line()?.is_some_and(|line| matches!(line.trim(), "y" | "yes"));
                writeln!(out, "{}", if yes { "allowed" } else { "denied" })?;
            }
            Statement::Raw => raw()?,
            Statement::Echo => echo(&mut out)?,
            Statement::Query(query) => ask_terminal(&mut out, *query)?,
            Statement::Alternate(true) => out.write_all(b"\x1b[?1049h\x1b[H\x1b[2J")?,
            Statement::Alternate(false) => out.write_all(b"\x1b[?1049l")?,
            Statement::Size => match rustix::termios::tcgetwinsize(io::stdin()) {
                Ok(size) => writeln!(out, "size: {}x{}", size.ws_col, size.ws_row)?,
                Err(_) => writeln!(out, "size: no terminal")?,
            },
            Statement::Env(name) => match std::env::var_os(name) {
                Some(value) => writeln!(out, "{name}={}", value.to_string_lossy())?,
                None => writeln!(out, "{name} is not set")?,
            },
            Statement::Cwd => writeln!(out, "cwd: {}", std::env::current_dir()?.display())?,
            Statement::Pid => writeln!(out, "pid: {}", std::process::id())?,
            Statement::Umask => {
                let mask = umask(Mode::empty());
                umask(mask);
                writeln!(out, "umask: {:04o}", mask.bits())?;
            }
            Statement::Ignore(signals) => {
                for signal in signals {
                    ignore(*signal)?;
                }
            }
            Statement::Fork(count) => {
                for _ in 0..*count {
                    writeln!(out, "forked: {}", start("hang", Stdio::inherit())?)?;
                }
            }
            Statement::Daemon => {
                let middle = myself("orphan").stdin(Stdio::null()).stderr(Stdio::null()).output()?;
                writeln!(out, "daemon: {}", String::from_utf8_lossy(&middle.stdout).trim())?;
            }
            Statement::Orphan => {
                unistd::setsid()?;
                writeln!(out, "{}", start("hang", Stdio::null())?)?;
            }
            Statement::Turns => match conversation {
                Some(conversation) => writeln!(out, "turns: {}", conversation.turns())?,
                None => writeln!(out, "turns: no conversation")?,
            },
            Statement::Err(text) => writeln!(io::stderr(), "{text}")?,
            Statement::Asks(_)
            | Statement::Think(_)
            | Statement::Tool { .. }
            | Statement::Write(_)
            | Statement::Look(_)
            | Statement::Question(_)
            | Statement::Request(_)
            | Statement::Withdraw
            | Statement::Await
            | Statement::Offer(_)
            | Statement::Huge(_)
            | Statement::Deaf => {
                return Err(io::Error::other("the script has a statement that only --remote understands"));
            }
            Statement::Pause(time) => std::thread::sleep(*time),
            Statement::Hang => loop {
                out.flush()?;
                unistd::pause();
            },
            Statement::Repeat => at = 0,
            Statement::Exit(code) => {
                out.flush()?;
                return Ok(*code);
            }
            Statement::Crash(signal) => {
                out.flush()?;
                crash(*signal)?;
            }
        }
        out.flush()?;
    }
    Ok(0)
}

fn lines(out: &mut impl Write, count: u64, rate: Option<u32>) -> io::Result<()> {
    let Some(rate) = rate.filter(|rate| *rate > 0) else {
        let mut buffer = Vec::with_capacity(64 << 10);
        for number in 1..=count {
            writeln!(buffer, "{number:010}")?;
            if buffer.len() > (64 << 10) - 32 || number == count {
                out.write_all(&buffer)?;
                out.flush()?;
                buffer.clear();
            }
        }
        return Ok(());
    };
    let began = Instant::now();
    for number in 1..=count {
        let due = Duration::from_secs_f64((number - 1) as f64 / f64::from(rate));
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        writeln!(out, "{number:010}")?;
        out.flush()?;
    }
    Ok(())
}

fn flood(out: &mut impl Write, bytes: Option<u64>) -> io::Result<()> {
    let chunk = b"y\n".repeat(16 << 10);
    let mut left = bytes.unwrap_or(u64::MAX);
    while left > 0 {
        let now = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        out.write_all(&chunk[..now])?;
        out.flush()?;
        if bytes.is_some() {
            left -= now as u64;
        }
    }
    Ok(())
}

/// A line without its end; `None` at the end of input. Byte by byte, so that nothing after it is taken.
fn read_line() -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0u8];
    loop {
        match unistd::read(io::stdin().as_fd(), &mut byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if matches!(byte, [b'\n' | b'\r']) => break,
            Ok(_) if line.len() >= MAX_LINE => {
                return Err(io::Error::other(format!("a line of input is longer than {MAX_LINE} bytes")));
            }
            Ok(_) => line.push(byte[0]),
            Err(nix::Error::EINTR) => {}
            // The terminal was hung up.
            Err(nix::Error::EIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

fn raw() -> io::Result<()> {
    let input = io::stdin();
    let mut mode = tcgetattr(&input)?;
    cfmakeraw(&mut mode);
    Ok(tcsetattr(&input, SetArg::TCSANOW, &mode)?)
}

fn echo(out: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0u8; 4096];
    loop {
        let got = match io::stdin().read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = buffer[..got].iter().position(|byte| *byte == 4);
        out.write_all(&buffer[..end.unwrap_or(got)])?;
        out.flush()?;
        if end.is_some() {
            return Ok(());
        }
    }
}

fn ask_terminal(out: &mut impl Write, query: Query) -> io::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let input = io::stdin();
    let before = tcgetattr(&input)?;
    raw()?;
    out.write_all(query.question())?;
    out.flush()?;
    let mut answer = Vec::new();
    let until = Instant::now() + ANSWER_WITHIN;
    while !query.answered(&answer) && answer.len() < MAX_ANSWER {
        let left = until.saturating_duration_since(Instant::now());
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], wait) {
            Ok(0) => break,
            Ok(_) => {}
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut byte = [0u8];
        match unistd::read(input.as_fd(), &mut byte) {
            Ok(0) | Err(nix::Error::EIO) => break,
            Ok(_) => answer.push(byte[0]),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    tcsetattr(&input, SetArg::TCSANOW, &before)?;
    let whole = if query.answered(&answer) { "answer" } else { "no answer" };
    writeln!(out, "{whole}: {}", answer.escape_ascii())
}

/// This program again, with another script.
pub(crate) fn myself(script: &str) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "delight-fake-agent".into());
    let mut command = Command::new(program);
    command.args(["--script", script]);
    command
}

/// Starts a child that is never waited for.
pub(crate) fn start(script: &str, streams: Stdio) -> io::Result<u32> {
    let mut command = myself(script);
    command.stdin(Stdio::null()).stdout(streams);
    Ok(command.spawn()?.id())
}

pub(crate) fn ignore(signal: Signal) -> io::Result<()> {
    // SAFETY: ignoring a signal installs no handler, so no code of ours runs in signal context.
    #[allow(unsafe_code)]
    unsafe { signal::signal(signal, SigHandler::SigIgn) }?;
    Ok(())
}

pub(crate) fn crash(signal: Signal) -> io::Result<()> {
    if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
        // SAFETY: the default action is no code of ours.
        #[allow(unsafe_code)]
        unsafe { signal::signal(signal, SigHandler::SigDfl) }?;
    }
    signal::raise(signal)?;
    Err(io::Error::other(format!("{signal} did not end this process")))
}
