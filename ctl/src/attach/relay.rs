//! The loop that carries keys one way and output the other.
//!
//! One thread, one `poll`. Output goes from the frame buffer straight to the terminal; while the terminal takes
//! nothing, the holder is not read (it keeps our place in the journal), so memory stays flat and keys still work.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use delight_proto::holder::frame::{HEADER, MAX_DATA, header};
use delight_proto::holder::{Exited, FromHolder, ToHolder, Welcome, codec};
use delight_proto::refusal::Refusal;
use delight_proto::session::Size;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGCONT, SIGTSTP, SIGWINCH};

use super::Wish;
use super::desk::Desk;
use super::detach::DetachScanner;
use super::notices::Notices;
use super::signals::Signals;
use super::terminal::{self, RawTerminal};
use super::watching::Watching;
use crate::failure::system;
use crate::holder::{Arrived, HolderLine, skew};
use crate::span;

/// Keys typed and not yet taken by the holder. When the session's program reads nothing and this is full, the
/// terminal is no longer read: nothing is dropped.
const UNSENT_MAX: usize = 64 << 10;

/// Type of an input frame; checked against the encoder in the tests.
const INPUT: u8 = 0x03;

/// Why it is over.
#[derive(Debug)]
pub(super) enum Left {
    /// The detach key.
    Detached,
    /// The session's runner ended.
    Ended(Exited),
    /// The holder closed the connection without telling an end.
    HolderGone,
    /// This terminal is gone.
    TerminalGone,
    /// A signal asks this process to end.
    Signal(i32),
    /// This process is to be stopped and continued later, as `ctrl-z` does for others.
    Suspended,
    /// It was stopped and continued: others may have used the terminal.
    Continued,
    /// The desktop drives again: the session's terminal is to be shown.
    Redraw,
    /// Something broke.
    Broken(Refusal),
}

/// One attachment.
pub(super) struct Relay<'a> {
    line: &'a mut HolderLine,
    pub(super) terminal: &'a RawTerminal,
    signals: &'a mut Signals,
    notices: &'a mut Notices,
    /// The daemon, when there is an agent in the session.
    pub(super) desk: Option<&'a mut Desk>,
    /// What is shown while the phone drives.
    pub(super) watching: Option<Watching>,
    /// The name of the key that detaches.
    pub(super) detach_key: Option<String>,
    pub(super) wants_control: bool,
    pub(super) controls: bool,
    scanner: DetachScanner,
    /// Input frames the holder has not taken yet.
    unsent: Vec<u8>,
    /// Output the terminal has not taken yet: the rest of one frame.
    pub(super) held: Vec<u8>,
    ended: Option<Exited>,
    /// A runner of an agent has ended: another may follow, which the daemon knows.
    pub(super) parting: Option<Exited>,
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        line: &'a mut HolderLine,
        terminal: &'a RawTerminal,
        signals: &'a mut Signals,
        notices: &'a mut Notices,
        wish: &Wish,
        welcome: &Welcome,
        desk: Option<&'a mut Desk>,
    ) -> Self {
        for trouble in &welcome.troubles {
            notices.add(trouble.clone());
        }
        Self {
            line,
            terminal,
            signals,
            notices,
            desk,
            watching: None,
            detach_key: wish.detach_key.0.map(|_| wish.detach_key.name()),
            wants_control: wish.control,
            controls: welcome.control,
            scanner: DetachScanner::new(wish.detach_key),
            unsent: Vec::new(),
            held: Vec::new(),
            ended: None,
            parting: None,
        }
    }

    /// Carries bytes until there is a reason to stop.
    pub(super) fn run(&mut self) -> Left {
        if let Err(e) = self.line.stream.set_nonblocking(true) {
            return Left::Broken(refusal("the connection to the holder cannot be used", &e));
        }
        let mut keys = vec![0u8; 16 << 10];
        // Frames that came with the greeting are there already.
        if let Some(left) = self.begin().or_else(|| self.frames()) {
            return left;
        }
        loop {
            let wake = match self.wait() {
                Ok(wake) => wake,
                Err(Errno::EINTR) => continue,
                Err(e) => return Left::Broken(refusal("waiting for the terminal", &e)),
            };
            // A signal that came while `poll` was returning is not in `wake`. Before keys are sent it is looked for,
            // so that what is typed after a resize is also read after it.
            let left = None
                .or_else(|| if wake.signals || wake.keys { self.signalled() } else { None })
                .or_else(|| if wake.keys { self.typed(&mut keys) } else { None })
                .or_else(|| if wake.holder_writable { self.flush_unsent() } else { None })
                .or_else(|| if wake.terminal_writable { self.flush_held() } else { None })
                .or_else(|| if wake.holder { self.arrived() } else { None })
                .or_else(|| if wake.desk { self.news() } else { None })
                .or_else(|| self.on_time());
            if let Some(left) = left {
                return left;
            }
        }
    }

    fn wait(&self) -> nix::Result<Wake> {
        let (stdin, holder) = (io::stdin(), self.line.stream.as_fd());
        let mut want = PollFlags::empty();
        want.set(PollFlags::POLLIN, self.held.is_empty());
        want.set(PollFlags::POLLOUT, !self.unsent.is_empty());
        let keys = if self.unsent.len() < UNSENT_MAX { PollFlags::POLLIN } else { PollFlags::empty() };
        // While the terminal takes nothing, no events are read for it either.
        let desk = self.desk.as_ref().and_then(|desk| desk.fd()).filter(|_| self.held.is_empty());
        let mut fds = vec![
            PollFd::new(stdin.as_fd(), keys),
            PollFd::new(holder, want),
            PollFd::new(self.signals.readable(), PollFlags::POLLIN),
        ];
        // Without something held, the terminal's room is of no interest.
        let terminal_at = (!self.held.is_empty()).then(|| {
            fds.push(self.terminal.writable());
            fds.len() - 1
        });
        let desk_at = desk.map(|desk| {
            fds.push(PollFd::new(desk, PollFlags::POLLIN));
            fds.len() - 1
        });
        let limit = self.due().map_or(PollTimeout::NONE, |due| {
            // Rounded up: woken too early it would look again at once.
            let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        poll(&mut fds, limit)?;
        let got = |at: Option<usize>, flags: PollFlags| {
            at.and_then(|at| fds.get(at)).and_then(PollFd::revents).is_some_and(|r| r.intersects(flags))
        };
        let over = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        Ok(Wake {
            keys: got(Some(0), PollFlags::POLLIN | over),
            // Its end is seen by reading; while output is held, reading must wait its turn.
            holder: self.held.is_empty() && got(Some(1), PollFlags::POLLIN | over),
            holder_writable: got(Some(1), PollFlags::POLLOUT | over) && !self.unsent.is_empty(),
            signals: got(Some(2), PollFlags::POLLIN | over),
            terminal_writable: got(terminal_at, PollFlags::POLLOUT | over),
            desk: got(desk_at, PollFlags::POLLIN | over),
        })
    }

    fn signalled(&mut self) -> Option<Left> {
        for signal in self.signals.pending() {
            match signal {
                SIGWINCH => {
                    self.tell_size();
                    if let Some(left) = self.restate() {
                        return Some(left);
                    }
                }
                SIGTSTP => return Some(Left::Suspended),
                SIGCONT => return Some(Left::Continued),
                other => return Some(Left::Signal(other)),
            }
        }
        None
    }

    fn tell_size(&mut self) {
        if let (true, Some(size)) = (self.controls, terminal::size()) {
            ToHolder::Resize(size).encode(&mut self.unsent);
            self.flush_unsent();
        }
    }

    fn typed(&mut self, keys: &mut [u8]) -> Option<Left> {
        let n = match nix::unistd::read(io::stdin(), keys) {
            Ok(0) | Err(Errno::EIO) => return Some(Left::TerminalGone),
            Ok(n) => n,
            Err(Errno::EINTR | Errno::EAGAIN) => return None,
            Err(e) => return Some(Left::Broken(refusal("the terminal cannot be read", &e))),
        };
        let ours = self.scanner.scan(&keys[..n]);
        if ours > 0 && self.watching.is_some() {
            if let Some(left) = self.watched_keys(&keys[..ours]) {
                return Some(left);
            }
        } else if ours > 0 {
            if self.controls {
                // One write for header and keys: this is the path every key takes.
                input(&mut self.unsent, &keys[..ours]);
                if let Some(left) = self.flush_unsent() {
                    return Some(left);
                }
            } else {
                self.notices
                    .add("you were watching: what you typed was not sent (attach with --take to control)");
            }
        }
        (ours < n).then_some(Left::Detached)
    }

    fn flush_unsent(&mut self) -> Option<Left> {
        while !self.unsent.is_empty() {
            match self.line.stream.write(&self.unsent) {
                Ok(n) => {
                    self.unsent.drain(..n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return None,
                // The holder is going: what it still had to say comes by reading.
                Err(_) => self.unsent.clear(),
            }
        }
        None
    }

    fn flush_held(&mut self) -> Option<Left> {
        match self.terminal.write(&self.held) {
            Ok(n) => self.held.drain(..n),
            Err(_) => return Some(Left::TerminalGone),
        };
        // With room again, frames that wait in the buffer come before new ones.
        if self.held.is_empty() { self.frames() } else { None }
    }

    fn arrived(&mut self) -> Option<Left> {
        match self.line.read() {
            Ok(Arrived::Bytes) => self.frames(),
            Ok(Arrived::Nothing) => None,
            Ok(Arrived::End) => Some(self.parting.take().map_or(Left::HolderGone, Left::Ended)),
            Err(e) => Some(Left::Broken(refusal("the connection to the holder broke", &e))),
        }
    }

    /// Handles frames until none is complete or the terminal takes no more.
    fn frames(&mut self) -> Option<Left> {
        while self.held.is_empty() {
            if let Some(exited) = self.ended.take() {
                return Some(Left::Ended(exited));
            }
            let raw = match self.line.frames.next_frame() {
                Ok(Some(raw)) => raw,
                Ok(None) => return None,
                Err(e) => return Some(Left::Broken(skew(&e))),
            };
            if raw.kind == codec::OUTPUT {
                if self.watching.is_some() {
                    // A remote runner writes for programs; what it does is in the transcript.
                    continue;
                }
                let shown = match codec::output(raw) {
                    Ok((_, bytes)) => show(self.terminal, &mut self.held, bytes),
                    Err(e) => return Some(Left::Broken(skew(&e))),
                };
                if shown.is_err() {
                    return Some(Left::TerminalGone);
                }
                continue;
            }
            let told = match FromHolder::parse(raw) {
                Ok(Some(frame)) => self.told(frame),
                Ok(None) => None,
                Err(e) => Some(Left::Broken(skew(&e))),
            };
            if told.is_some() {
                return told;
            }
        }
        None
    }

    fn told(&mut self, frame: FromHolder) -> Option<Left> {
        match frame {
            FromHolder::Screen { .. } if self.watching.is_some() => {}
            FromHolder::Screen { size, more, bytes, .. } => {
                if !more && !self.controls {
                    self.compare(size);
                }
                if show(self.terminal, &mut self.held, &bytes).is_err() {
                    return Some(Left::TerminalGone);
                }
            }
            FromHolder::Exited(exited) => match &self.desk {
                // Another runner may follow: whether one does is the daemon's to say.
                Some(desk) if desk.view().phase.is_live() => self.parting = Some(exited),
                _ => self.ended = Some(exited),
            },
            FromHolder::Started(_) => self.parting = None,
            FromHolder::Lost { from, to } => self.notices.add(format!(
                "{} of output could not be shown: it is no longer kept",
                span::amount(to.saturating_sub(from))
            )),
            FromHolder::Resized(size) if !self.controls => self.compare(size),
            FromHolder::Control(change) if change.you => {
                self.controls = true;
                self.tell_size();
            }
            FromHolder::Control(change) => {
                if std::mem::replace(&mut self.controls, false) {
                    let by = change.by.as_deref().unwrap_or("nobody");
                    self.notices.add(format!("control was taken by {by}; from then on you were watching"));
                }
                if change.by.is_none() && self.wants_control {
                    ToHolder::TakeControl.encode(&mut self.unsent);
                    self.flush_unsent();
                }
            }
            FromHolder::Trouble(trouble) => trouble.troubles.into_iter().for_each(|t| self.notices.add(t)),
            FromHolder::Refused(refusal) => self.notices.add(refusal.to_string()),
            // News for the daemon, or of things that show themselves on the screen.
            FromHolder::Welcome(_)
            | FromHolder::StartFailed(_)
            | FromHolder::TreeGone { .. }
            | FromHolder::Output { .. }
            | FromHolder::Resized(_)
            | FromHolder::InputDone { .. }
            | FromHolder::InputFailed { .. } => {}
        }
        None
    }

    /// Tells a watcher whose terminal has another size why the picture is wrong.
    fn compare(&mut self, session: Size) {
        if let Some(ours) = terminal::size().filter(|ours| *ours != session) {
            self.notices.add(format!(
                "the session's terminal is {}x{} and yours {}x{}: lines may have been broken in the wrong place",
                session.cols, session.rows, ours.cols, ours.rows
            ));
        }
    }
}

/// What is ready.
struct Wake {
    keys: bool,
    holder: bool,
    holder_writable: bool,
    signals: bool,
    terminal_writable: bool,
    desk: bool,
}

/// Writes to the terminal; what it does not take is kept in `held`.
pub(super) fn show(terminal: &RawTerminal, held: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    let taken = terminal.write(bytes)?;
    held.extend_from_slice(&bytes[taken..]);
    Ok(())
}

/// Appends an untagged input frame, without the copy `ToHolder::Input` would need.
fn input(out: &mut Vec<u8>, bytes: &[u8]) {
    for piece in bytes.chunks(MAX_DATA) {
        out.reserve(HEADER + 8 + piece.len());
        out.extend_from_slice(&header(INPUT, 0, 8 + piece.len()));
        out.extend_from_slice(&0u64.to_le_bytes());
        out.extend_from_slice(piece);
    }
}

fn refusal(what: &str, error: &dyn std::fmt::Display) -> Refusal {
    match system(what, error) {
        crate::failure::Failure::Refused(refusal) => *refusal,
        _ => Refusal::new(delight_proto::refusal::Code::Internal, what, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_frames_are_those_of_the_protocol() {
        let mut ours = Vec::new();
        input(&mut ours, b"ls\r");
        let mut theirs = Vec::new();
        ToHolder::Input { tag: 0, bytes: b"ls\r".to_vec() }.encode(&mut theirs);
        assert_eq!(ours, theirs);
    }
}
