//! Who is at the other end of a Unix socket.

use std::os::unix::net::UnixStream;
use std::path::Path;

use delight_proto::refusal::{Code, Refusal};

/// Refuses a socket that somebody else serves: under `/tmp` anybody may have put one, and what we send it (commands,
/// keys, environment) is not for them.
///
/// # Errors
/// [`Code::Forbidden`].
pub(crate) fn check(stream: &UnixStream, path: &Path) -> Result<(), Refusal> {
    let ours = nix::unistd::geteuid().as_raw();
    match uid(stream) {
        Ok(theirs) if theirs == ours => Ok(()),
        Ok(theirs) => Err(Refusal::new(
            Code::Forbidden,
            format!("{} is not to be trusted", path.display()),
            format!("it is served by uid {theirs}, and you are uid {ours}"),
        )
        .fix("set DELIGHT_RUNTIME_DIR to a directory of your own, or run as the user who owns the daemon")),
        Err(e) => Err(Refusal::new(
            Code::Forbidden,
            format!("{} is not to be trusted", path.display()),
            format!("the system does not say who serves it: {e}"),
        )),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn uid(stream: &UnixStream) -> nix::Result<u32> {
    nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials).map(|peer| peer.uid())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn uid(stream: &UnixStream) -> nix::Result<u32> {
    nix::unistd::getpeereid(stream).map(|(uid, _)| uid.as_raw())
}
