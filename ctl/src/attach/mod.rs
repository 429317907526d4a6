//! Attaching this terminal to a session.

mod desk;
mod detach;
mod driving;
mod guard;
mod joined;
mod notices;
mod relay;
mod reset;
mod signals;
mod takeback;
pub(crate) mod terminal;
mod transcript;
mod watching;

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use delight_proto::api::method::{SessionRef, SessionTerminal};
use delight_proto::holder::{Attach, Exited, Welcome};
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::SessionView;

use self::desk::Desk;
use self::detach::DetachScanner;
use self::joined::{Joined, Parted};
use self::notices::Notices;
use self::relay::{Left, Relay};
use self::signals::Signals;
use self::terminal::RawTerminal;
use crate::afar;
use crate::command::wait::shell_status;
use crate::connection::Connection;
use crate::failure::{Failure, system};
use crate::holder::{self, Greeting, HolderLine};
use crate::keys::DetachKey;
use crate::output::{Output, note, stdout};
use crate::view;

/// How to attach.
pub(crate) struct Wish {
    pub(crate) detach_key: DetachKey,
    /// Type and set the size, if nobody does.
    pub(crate) control: bool,
    /// Or even if somebody does.
    pub(crate) take: bool,
    /// Exit as the session's command did, if it ends meanwhile.
    pub(crate) exit_status: bool,
}

/// Who is attached to.
struct Target {
    id: SessionId,
    /// What a person calls it.
    handle: String,
    title: String,
    way: Way,
}

/// How its holder is reached.
enum Way {
    /// At its socket.
    Socket(PathBuf),
    /// By the companion, on another machine.
    Afar { place: Place, machine: String },
}

impl Way {
    fn connect(&self, session: SessionId, greeting: &Greeting) -> Result<(HolderLine, Welcome), Failure> {
        match self {
            Self::Socket(socket) => Ok(holder::connect(socket, session, greeting)?),
            Self::Afar { place, machine } => {
                let stream = afar::holder(place, machine, session.as_str())?;
                Ok(holder::greet(stream, session, greeting, AFAR)?)
            }
        }
    }
}

impl Target {
    /// Words in which commands are about the machine the session is on.
    fn directed(&self, words: &str) -> String {
        let machine = match &self.way {
            Way::Afar { machine, .. } => Some(machine.as_str()),
            Way::Socket(_) => None,
        };
        Output::new(false).about(machine).directed(words)
    }
}

/// How long a session of another machine may take to be shown: the companion tries for a minute.
const AFAR: Duration = Duration::from_secs(120);

/// Attaches to a session the daemon knows, until the person leaves or it ends. The result is the exit status.
///
/// # Errors
/// It has ended, is this very session, cannot be reached, or this is no terminal.
pub(crate) fn run(
    place: &Place,
    machine: Option<&str>,
    session: &SessionView,
    wish: &Wish,
) -> Result<u8, Failure> {
    let handle = view::handle(session).to_owned();
    if session.holder.is_none() && !session.phase.is_live() {
        return Err(Refusal::new(
            Code::WrongState,
            format!("session {handle} cannot be attached to"),
            format!("it is not alive: {}", view::state(session)),
        )
        .fix(format!("delightctl logs {handle} shows its output, delightctl resume {handle} starts it again"))
        .into());
    }
    let way = match (machine, &session.holder) {
        (Some(machine), _) => Way::Afar { place: place.clone(), machine: machine.to_owned() },
        (None, Some(holder)) => Way::Socket(PathBuf::from(&holder.socket)),
        (None, None) => Way::Socket(place.holder_socket(session.id)),
    };
    let desk = session.agent.is_some().then(|| {
        let (place, machine) = (place.clone(), machine.map(str::to_owned));
        let afar = machine.clone();
        let reach = move || match &machine {
            Some(machine) => afar::connect(&place, machine),
            None => Connection::open(&place.control_socket()).map_err(Failure::from),
        };
        Desk::new(Box::new(reach), session.clone(), Output::new(false).about(afar.as_deref()))
    });
    let target = Target { id: session.id, handle, title: view::title(session), way };
    let is_shared = session.agent.as_ref().is_some_and(|agent| agent.shared);
    match desk {
        // Who only watches, or sits at another machine, is shown the transcript.
        Some(mut desk) if is_shared && wish.control && machine.is_none() => {
            match join(place, &target, wish, &mut desk)? {
                Some(status) => Ok(status),
                None => attached(&target, wish, Some(desk)),
            }
        }
        desk => attached(&target, wish, desk),
    }
}

/// Runs the agent's own terminal program here, until the person leaves or the session ends. `None`: it cannot be run, and
/// that was said.
fn join(place: &Place, target: &Target, wish: &Wish, desk: &mut Desk) -> Result<Option<u8>, Failure> {
    outside(target)?;
    let mut signals = Signals::new().map_err(|e| system("signals cannot be handled", e))?;
    loop {
        let program =
            Connection::open(&place.control_socket()).map_err(Failure::from).and_then(|mut daemon| {
                daemon.call::<SessionTerminal>(&SessionRef { session: target.id.to_string() })
            });
        let program = match program {
            Ok(program) => program,
            Err(Failure::Refused(refusal)) => {
                note(&format!("{refusal}; showing what it does instead\n"));
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        let mut joined = match Joined::start(&program, Path::new(&desk.view().cwd)) {
            Ok(joined) => joined,
            Err(e) => {
                let name = program.argv.first().map_or("", String::as_str);
                note(&format!("{name} cannot be run here ({e}); showing what the agent does instead\n"));
                return Ok(None);
            }
        };
        let raw = RawTerminal::enter(&[joined.descriptor()])?;
        raw.make_room(&headline(target, wish, true));
        let parted = joined.carry(&raw, &mut signals, desk, &mut DetachScanner::new(wish.detach_key));
        // The terminal first, words after: nothing is said into a raw terminal.
        drop(raw);
        joined.end();
        let left = match parted {
            Parted::Again => continue,
            Parted::Paused { stop } => {
                if stop {
                    signals::stop_self();
                    // Continuing this very stop is no news.
                    signals.pending();
                }
                continue;
            }
            Parted::Detached => Left::Detached,
            Parted::TerminalGone => Left::TerminalGone,
            Parted::Signal(signal) => Left::Signal(signal),
            Parted::Program(status) => {
                let handle = &target.handle;
                let ended = if status.success() { String::new() } else { format!(" ({status})") };
                let line = format!("\nleft{ended}; the session goes on: delightctl attach {handle}\n");
                stdout(line.as_bytes())?;
                return Ok(Some(0));
            }
            Parted::Session => {
                let (title, view) = (&target.title, desk.view());
                let line =
                    format!("\n{title}: {}\nnext: delightctl show {}\n", view::state(view), target.handle);
                stdout(line.as_bytes())?;
                return Ok(Some(view.exit.filter(|_| wish.exit_status).map_or(0, shell_status)));
            }
        };
        return farewell(target, wish, left, &Notices::default()).map(Some);
    }
}

/// Attaches to a session's holder while no daemon runs, by ID or unique prefix.
///
/// # Errors
/// `no_daemon` when no holder's socket fits; else those of [`run`].
pub(crate) fn run_without_daemon(
    place: &Place,
    named: &str,
    wish: &Wish,
    no_daemon: Refusal,
) -> Result<u8, Failure> {
    let fitting = sockets(&place.holder_sockets(), named);
    let [id] = fitting.as_slice() else {
        let fix = "delightctl up finds the sessions again; without a daemon only an ID can be attached to";
        return Err(no_daemon.fix(fix).into());
    };
    note(&format!("no daemon is running; attaching to the session directly (next: {})\n", "delightctl up"));
    let title = id.short().to_owned();
    let way = Way::Socket(place.holder_socket(*id));
    attached(&Target { id: *id, handle: title.clone(), title, way }, wish, None)
}

/// Sessions with a holder's socket that the ID or prefix fits.
fn sockets(dir: &Path, prefix: &str) -> Vec<SessionId> {
    // As long as the daemon asks for, so that nobody gets used to less.
    if prefix.len() < 4 {
        return Vec::new();
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".sock")?.parse::<SessionId>().ok())
        .filter(|id| id.as_str().starts_with(prefix))
        .collect()
}

/// Refuses where there is no person at a terminal, or the terminal is the session's own.
fn outside(target: &Target) -> Result<(), Failure> {
    terminal::require()?;
    if std::env::var("DELIGHT_SESSION_ID").is_ok_and(|inside| inside == target.id.as_str()) {
        return Err(Refusal::new(
            Code::WrongState,
            format!("session {} cannot be attached to", target.handle),
            "this terminal is that session: its output would be its own input",
        )
        .fix("attach from another terminal")
        .into());
    }
    Ok(())
}

fn attached(target: &Target, wish: &Wish, mut desk: Option<Desk>) -> Result<u8, Failure> {
    outside(target)?;
    let mut signals = Signals::new().map_err(|e| system("signals cannot be handled", e))?;
    let mut notices = Notices::default();
    let mut take = wish.take;
    let mut kept = None;
    loop {
        let greeting = Greeting {
            client: "delightctl attach",
            attach: Attach::Screen,
            control: wish.control,
            take,
            size: terminal::size(),
        };
        let (mut line, welcome) = target.way.connect(target.id, &greeting)?;
        if wish.control && !welcome.control {
            notices.add(
                "somebody else controlled the session: you were watching (attach with --take to control)",
            );
        }
        let raw = match kept.take() {
            Some(raw) => raw,
            None => RawTerminal::enter(&[line.stream.as_raw_fd()])?,
        };
        raw.make_room(&headline(target, wish, welcome.control));
        let mut relay =
            Relay::new(&mut line, &raw, &mut signals, &mut notices, wish, &welcome, desk.as_mut());
        let left = relay.run();
        let controlled = relay.controls;
        if matches!(left, Left::Redraw) {
            // The terminal stays raw: nothing that is typed meanwhile is lost or echoed.
            kept = Some(raw);
            take = controlled;
            continue;
        }
        // The terminal first, words after: nothing is said into a raw terminal.
        drop(raw);
        drop(line);
        match left {
            Left::Suspended => {
                signals::stop_self();
                // Continuing this very stop is no news; being asked to end meanwhile is.
                let end = signals.pending().into_iter().find(|signal| signals::asks_to_end(*signal));
                if let Some(signal) = end {
                    return farewell(target, wish, Left::Signal(signal), &notices);
                }
            }
            Left::Continued => {}
            left => return farewell(target, wish, left, &notices),
        }
        // Once more from the start: a fresh picture, and control if it was ours.
        take = controlled;
    }
}

fn headline(target: &Target, wish: &Wish, controls: bool) -> String {
    let doing = if controls { "attached to" } else { "watching" };
    match wish.detach_key.0 {
        Some(_) => format!("{doing} {}, {} detaches", target.title, wish.detach_key.name()),
        None => format!("{doing} {}, no key detaches", target.title),
    }
}

/// Says how it ended, on a terminal that is in order again.
fn farewell(target: &Target, wish: &Wish, left: Left, notices: &Notices) -> Result<u8, Failure> {
    let handle = &target.handle;
    let say = |line: String| stdout(format!("\n{line}\n{}", notices.words()).as_bytes());
    match left {
        Left::Detached => {
            stdout(reset::TO_THE_END.as_bytes())?;
            let line =
                target.directed(&format!("detached; it is still running: delightctl attach {handle}\n"));
            stdout((line + &notices.words()).as_bytes())?;
            Ok(0)
        }
        Left::Ended(Exited { exit, survivors, .. }) => {
            let mut line = format!("{} ended: {exit}", target.title);
            if survivors > 0 {
                line += &format!("; {survivors} of its processes still run");
            }
            let next = target.directed(&format!("next: delightctl show {handle}"));
            say(format!("{line}\n{next}"))?;
            Ok(if wish.exit_status { shell_status(exit) } else { 0 })
        }
        Left::HolderGone => {
            say(format!("{} is gone: its holder closed the connection", target.title))?;
            Err(Refusal::new(
                Code::HolderUnreachable,
                format!("session {handle} ended unseen"),
                "its holder closed the connection without telling how the command ended",
            )
            .fix(format!("delightctl show {handle}"))
            .into())
        }
        Left::TerminalGone => Err(Failure::Told(1)),
        Left::Signal(signal) => {
            let attach = target.directed(&format!("delightctl attach {handle}"));
            say(format!("detached by signal {signal}; it is still running: {attach}"))?;
            Err(Failure::Told(128u8.saturating_add(signal as u8)))
        }
        Left::Broken(refusal) => {
            let attach = target.directed(&format!("delightctl attach {handle}"));
            say(format!("detached; the session goes on: {attach}"))?;
            Err(refusal.into())
        }
        Left::Suspended | Left::Continued | Left::Redraw => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_of_sessions_that_fit_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let id = SessionId::from_random([9; 10]);
        for name in [format!("{id}.sock"), format!("{id}.tmp"), "x.sock".to_owned()] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(sockets(dir.path(), &id.as_str()[..4]), [id]);
        assert_eq!(sockets(dir.path(), id.as_str()), [id]);
        assert!(sockets(dir.path(), &id.as_str()[..3]).is_empty());
        assert!(sockets(dir.path(), "zzzz").is_empty());
        assert!(sockets(&dir.path().join("none"), "zzzz").is_empty());
    }
}
