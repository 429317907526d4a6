//! Another machine of the account, by way of `delight-remote`: a program of its own, so that this one needs neither TLS nor
//! a runtime. It speaks over a socket pair what a daemon or a holder would.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};

use crate::connection::Connection;
use crate::failure::{Failure, system};
use crate::launch;

const PROGRAM: &str = "delight-remote";

/// A connection to a machine, as to its daemon. What keeps it from being asked is the answer to the first request.
///
/// # Errors
/// The companion program is not there or cannot be started.
pub(crate) fn connect(place: &Place, machine: &str) -> Result<Connection, Failure> {
    Ok(Connection::over(companion(place, &["serve", machine])?))
}

/// The stream of a session's holder there.
///
/// # Errors
/// Those of [`connect`].
pub(crate) fn holder(place: &Place, machine: &str, session: &str) -> Result<UnixStream, Failure> {
    companion(place, &["attach", machine, session])
}

/// A connection whose only answer, to request 0, is the list of machines.
///
/// # Errors
/// Those of [`connect`].
pub(crate) fn machines(place: &Place) -> Result<UnixStream, Failure> {
    companion(place, &["machines"])
}

/// Starts the companion. It ends when our end of the stream is closed.
fn companion(place: &Place, words: &[&str]) -> Result<UnixStream, Failure> {
    let program = launch::find(PROGRAM).ok_or_else(|| {
        Refusal::new(
            Code::StartFailed,
            "other machines cannot be asked",
            format!("{PROGRAM} lies neither beside delightctl nor in PATH"),
        )
        .fix(format!("install {PROGRAM} beside delightctl"))
    })?;
    let started = || {
        let (ours, theirs) = UnixStream::pair()?;
        Command::new(program)
            .arg(place.control_socket())
            .args(words)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(ours)
    };
    started().map_err(|e: std::io::Error| system(format!("{PROGRAM} could not be started"), e))
}
