//! Whether who asks is itself inside a session: an agent must not approve what it has asked for.
//!
//! The kernel says which process is at the other end of the connection; its ancestors lead to a session's holder when it
//! belongs to one, for a holder is the subreaper of everything below it: whatever a session starts and however it is
//! detached, it stays below. A process that gets another program outside (a terminal multiplexer, a service manager) to
//! ask in its place is not seen; the same user may do all the owner may.
//!
//! Where the platform has no subreapers (macOS), a process that has lost its parent has left its session's tree. There
//! the check is a fence, not a wall.

use std::collections::BTreeMap;

use delight_core::supervisor::Request;
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;
use tokio::task::spawn_blocking;

use crate::actor::Told;
use crate::process::identity;
use crate::supervisor::Supervision;

/// Longest chain of ancestors that is followed: people's are ten long.
const MAX_ANCESTORS: usize = 1_024;

/// Refuses when the caller is a process inside a session, or cannot be told. Phones and the daemon itself pass.
///
/// # Errors
/// `forbidden`; `what` says what was asked for.
pub(crate) async fn outside_sessions(
    supervision: &Supervision,
    origin: &Origin,
    what: &str,
) -> Result<(), Refusal> {
    let pid = match origin {
        Origin::Phone { .. } | Origin::Daemon => return Ok(()),
        Origin::Desktop { pid } => {
            pid.ok_or_else(|| unknown(what, "the platform does not tell which process"))?
        }
    };
    let Told::List(sessions) = supervision.ask(Origin::Daemon, Request::List).await? else {
        return Err(unknown(what, "the sessions could not be listed"));
    };
    let mut inside = BTreeMap::new();
    for session in sessions {
        let holder = session.holder.map(|holder| holder.process.pid);
        inside.extend([holder, session.pid].into_iter().flatten().map(|pid| (pid, session.id)));
    }
    let found = spawn_blocking(move || session_of(pid, &inside)).await;
    match found.map_err(|e| unknown(what, &e.to_string()))? {
        Ok(None) => Ok(()),
        Ok(Some(session)) => Err(Refusal::new(
            Code::Forbidden,
            format!("{what} is refused"),
            format!("process {pid}, which asks, runs inside session {session}: it would approve for itself"),
        )
        .fix("ask from a terminal outside of any session, or on the phone")),
        Err(e) => Err(unknown(what, &format!("its ancestors cannot be read: {e}"))),
    }
}

fn unknown(what: &str, reason: &str) -> Refusal {
    Refusal::new(Code::Forbidden, format!("{what} is refused"), format!("who asks cannot be told: {reason}"))
        .fix("ask from a terminal outside of any session, or on the phone")
}

/// The session one of whose processes is among the ancestors of `pid`, or is it.
fn session_of(pid: u32, inside: &BTreeMap<u32, SessionId>) -> std::io::Result<Option<SessionId>> {
    let mut at = pid;
    for _ in 0..MAX_ANCESTORS {
        if let Some(session) = inside.get(&at) {
            return Ok(Some(*session));
        }
        if at <= 1 {
            return Ok(None);
        }
        at = identity::parent(at)?;
    }
    Err(std::io::Error::other("the chain has no end"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_inside_and_a_stranger_is_not() {
        let me = std::process::id();
        let session = SessionId::from_random([1; 10]);
        let inside = BTreeMap::from([(me, session)]);
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let of = |pid| session_of(pid, &inside).unwrap();
        assert_eq!((of(child.id()), of(me), of(1)), (Some(session), Some(session), None));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(session_of(child.id(), &inside).is_err(), "one that is gone is not let in");
    }
}
