//! Getting into contact with a session's holder: one just started, one found alive, one that has ended.

use std::path::Path;
use std::time::Duration;

use delight_core::session::{Ended, Found, Runner};
use delight_proto::holder::journal::{Mark, kind};
use delight_proto::holder::{Exited, FromHolder, OLDEST, Welcome};
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{HolderIdentity, Record};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::link::{Heard, Link, unexpected};
use super::{identity, lock};

/// A holder greets within milliseconds of its start; a machine that swaps needs longer. Below the core's start limit
/// (15 s), so that the reason told is this one.
const GREETING: Duration = Duration::from_secs(10);

/// How long a living holder is looked for before it is called unreachable. The core tries again later.
const SEEKING: Duration = Duration::from_secs(5);

/// How long the lock of a holder that hung up may stay locked: the kernel closes its descriptors one by one.
const LETTING_GO: Duration = Duration::from_secs(2);

/// First and longest pause between two looks at something no event tells of (a lock, a socket that is being bound).
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_MAX: Duration = Duration::from_millis(100);

/// What a search for a holder ends with.
#[derive(Debug)]
pub(crate) enum Contact {
    /// It is there and has greeted.
    Found(Box<Found>, Link),
    /// Its lock is free.
    Gone {
        /// The runner's last `Exited` mark.
        ended: Option<Ended>,
        /// In words.
        reason: String,
        /// Whether it belonged to this boot.
        same_boot: bool,
    },
    /// Its lock is held, but it cannot be talked to.
    Unreachable {
        /// Why.
        reason: String,
    },
}

/// Waits for the `Welcome` on a fresh connection and checks that it is this session's holder.
///
/// # Errors
/// `holder-unreachable` (with `retry` when it hung up: it may be just ending) or `version-skew`, within [`GREETING`].
pub(crate) async fn greeted(link: &mut Link, id: SessionId) -> Result<Welcome, Refusal> {
    let refuse = |reason: String| Refusal::new(Code::HolderUnreachable, "the holder did not greet", reason);
    let heard = timeout(GREETING, link.hear())
        .await
        .map_err(|_| refuse(format!("it said nothing for {} seconds", GREETING.as_secs())))?;
    let welcome = match heard {
        Heard::Frame(FromHolder::Welcome(welcome)) => welcome,
        Heard::Frame(other) => return Err(unexpected(&other)),
        Heard::End(reason) => return Err(refuse(reason).retry()),
    };
    if welcome.session != id {
        return Err(refuse(format!("it holds session {}, not {id}", welcome.session)));
    }
    if welcome.version < OLDEST {
        return Err(Refusal::new(
            Code::VersionSkew,
            "the holder is too old",
            format!("it speaks version {}; this daemon speaks {OLDEST} and newer", welcome.version),
        )
        .fix("start the older delightd again, or end the session by hand"));
    }
    Ok(welcome)
}

/// The holder's identity as the registry keeps it.
pub(crate) fn identity_of(welcome: &Welcome, place: &Place) -> HolderIdentity {
    HolderIdentity {
        socket: place.holder_socket(welcome.session).to_string_lossy().into_owned(),
        process: welcome.process.clone(),
    }
}

/// An `Exited` frame or mark as the core takes it.
pub(crate) fn ended(exited: &Exited) -> Ended {
    Ended {
        generation: exited.generation,
        exit: exited.exit,
        offset: exited.offset,
        at_ms: exited.at_ms,
        survivors: exited.survivors,
    }
}

/// Looks for the living holder of a session from the registry: asks its lock, connects, verifies who answers.
///
/// Ends within about [`SEEKING`] plus [`GREETING`].
pub(crate) async fn seek(place: &Place, record: &Record) -> Contact {
    let dir = place.session(record.id);
    let deadline = Instant::now() + SEEKING;
    let mut pause = LOOK_FIRST;
    let mut asked_to_bind = false;
    loop {
        match lock::is_held(&dir) {
            Ok(true) => {}
            Ok(false) => {
                let same_boot = match (&record.holder, identity::boot_id()) {
                    (Some(known), Ok(boot)) => known.process.boot_id == boot,
                    _ => true,
                };
                return gone(place, record.id, "its holder is not running".to_owned(), same_boot).await;
            }
            Err(e) => return Contact::Unreachable { reason: format!("its lock cannot be asked: {e}") },
        }
        let reason = match connect(place, record, deadline).await {
            Ok((found, link)) => return Contact::Found(found, link),
            Err(Miss::Final(reason)) => return Contact::Unreachable { reason },
            Err(Miss::HungUp(reason)) => reason,
            Err(Miss::NoSocket(reason)) => {
                if !asked_to_bind {
                    asked_to_bind = true;
                    ask_to_bind(record, &dir);
                }
                reason
            }
        };
        if Instant::now() + pause >= deadline {
            return Contact::Unreachable { reason };
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_MAX);
    }
}

/// After the holder of this boot hung up, or was given up: waits for its lock, and tells what it left behind.
pub(crate) async fn part(place: &Place, id: SessionId, reason: String) -> Contact {
    match released(place, id).await {
        Ok(()) => gone(place, id, reason, true).await,
        Err(still) => Contact::Unreachable { reason: format!("{reason}; {still}") },
    }
}

/// Waits until no holder of the session has its lock, for at most [`LETTING_GO`].
///
/// # Errors
/// Why it is not known to be free.
pub(crate) async fn released(place: &Place, id: SessionId) -> Result<(), String> {
    let dir = place.session(id);
    let deadline = Instant::now() + LETTING_GO;
    let mut pause = LOOK_FIRST;
    loop {
        match lock::is_held(&dir) {
            Ok(false) => return Ok(()),
            Ok(true) if Instant::now() + pause >= deadline => return Err("its lock is still held".to_owned()),
            Ok(true) => {}
            Err(e) => return Err(format!("its lock cannot be asked: {e}")),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_MAX);
    }
}

enum Miss {
    /// Nobody listens at the socket (yet).
    NoSocket(String),
    /// It hung up: it is ending, and its lock will be free in a moment.
    HungUp(String),
    /// Somebody answers, but not as it should.
    Final(String),
}

async fn connect(place: &Place, record: &Record, deadline: Instant) -> Result<(Box<Found>, Link), Miss> {
    let socket = place.holder_socket(record.id);
    let stream = match timeout_at(deadline, UnixStream::connect(&socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => {
            return Err(Miss::NoSocket(format!("{} cannot be connected to: {e}", socket.display())));
        }
        Err(_) => return Err(Miss::Final(format!("{} does not accept connections", socket.display()))),
    };
    let mut link = Link::greet(stream);
    let welcome = greeted(&mut link, record.id).await.map_err(|refusal| match refusal.retry {
        true => Miss::HungUp(refusal.to_string()),
        false => Miss::Final(refusal.to_string()),
    })?;
    verify(&link, &welcome).map_err(Miss::Final)?;
    if let Some(known) = &record.holder
        && known.process != welcome.process
    {
        // The lock and the kernel's word for the peer prove it is the session's holder: it was started right before
        // the crash of the daemon that would have recorded it.
        tracing::warn!(session = %record.id, known = known.process.pid, found = welcome.process.pid, "another holder than recorded");
    }
    let runner = welcome.runner.as_ref().map(|up| Runner { generation: up.generation, pid: up.process.pid });
    let found = Found {
        identity: identity_of(&welcome, place),
        ended: if runner.is_none() { welcome.exited.as_ref().map(ended) } else { None },
        runner,
        offset: welcome.end_offset,
        troubles: welcome.troubles,
    };
    Ok((Box::new(found), link))
}

/// The process that answered must be the one it says it is, of this boot, with that start time.
fn verify(link: &Link, welcome: &Welcome) -> Result<(), String> {
    let boot = identity::boot_id().map_err(|e| format!("the boot id cannot be read: {e}"))?;
    let peer = link.peer().and_then(|pid| u32::try_from(pid).ok());
    if peer.is_some_and(|pid| pid != welcome.process.pid) {
        return Err(format!("process {peer:?} answers as {}", welcome.process.pid));
    }
    if !identity::is_alive(&welcome.process, &boot) {
        return Err(format!("process {} is not the one it says it is", welcome.process.pid));
    }
    Ok(())
}

/// Its socket has vanished: the holder binds it again on `SIGUSR1`. Sent only to the process that is proved to be the
/// holder: the recorded one, alive since the recorded moment, with the session's lock open.
fn ask_to_bind(record: &Record, dir: &Path) {
    let Some(known) = &record.holder else { return };
    let ours = identity::boot_id().is_ok_and(|boot| identity::is_alive(&known.process, &boot))
        && identity::has_open(known.process.pid, &lock::path(dir));
    let Some(pid) = i32::try_from(known.process.pid).ok().filter(|_| ours) else { return };
    match kill(Pid::from_raw(pid), Signal::SIGUSR1) {
        Ok(()) => tracing::info!(session = %record.id, pid, "asked the holder to bind its socket again"),
        Err(e) => tracing::warn!(session = %record.id, pid, error = %e, "the holder cannot be asked to bind"),
    }
}

async fn gone(place: &Place, id: SessionId, reason: String, same_boot: bool) -> Contact {
    let journal = place.session(id).join("journal");
    let ended = spawn_blocking(move || last_exit(&journal)).await.unwrap_or_else(|e| Err(e.to_string()));
    let ended = ended.unwrap_or_else(|e| {
        tracing::warn!(session = %id, error = e, "its journal cannot be asked how it ended");
        None
    });
    Contact::Gone { ended, reason, same_boot }
}

/// The newest `Exited` mark of a journal: the exit status's durable home.
fn last_exit(journal: &Path) -> Result<Option<Ended>, String> {
    let mut last = None;
    delight_journal::find_last(journal, |record| {
        record.kind == kind::MARK
            && match serde_json::from_slice(record.payload) {
                Ok(Mark::Exited(exited)) => {
                    last = Some(ended(&exited));
                    true
                }
                _ => false,
            }
    })
    .map_err(|e| e.to_string())?;
    Ok(last)
}
