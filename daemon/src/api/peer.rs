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
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;
use tokio::task::spawn_blocking;

use crate::actor::Told;
use crate::process::ancestry::leads_to;
use crate::supervisor::Supervision;

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
    let found = spawn_blocking(move || leads_to(pid, |at| inside.get(&at).copied())).await;
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
