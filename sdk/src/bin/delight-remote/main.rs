//! `delight-remote`: the companion of `delightctl --machine NAME`. It speaks on its standard input, which is a socket, what
//! the local daemon or a holder would speak there, and asks another machine of the account through the sync server.
//!
//! A program of its own so that `delightctl` links neither TLS nor a runtime: it starts in a millisecond, and this one is
//! only started by those who need it. It is not meant to be run by hand.

mod account;
mod attach;
mod follow;
mod machine;
mod serve;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use delight_proto::refusal::{Code, Refusal};

/// What it was started for.
enum Role {
    /// The control API of a machine.
    Serve,
    /// The holder of one of its sessions.
    Attach {
        /// As the person named it.
        session: String,
    },
    /// The list of machines, as the one answer.
    Machines,
}

struct Arguments {
    /// The local daemon's control socket.
    daemon: PathBuf,
    /// As the person named it; empty for the list.
    machine: String,
    role: Role,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments(std::env::args_os().skip(1)) else {
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// `DAEMON-SOCKET serve MACHINE`, `DAEMON-SOCKET attach MACHINE SESSION`, or `DAEMON-SOCKET machines`.
fn arguments(mut words: impl Iterator<Item = std::ffi::OsString>) -> Option<Arguments> {
    let daemon = PathBuf::from(words.next()?);
    let mut text = || words.next()?.into_string().ok();
    let arguments = match text()?.as_str() {
        "serve" => Arguments { daemon, machine: text()?, role: Role::Serve },
        "attach" => Arguments { daemon, machine: text()?, role: Role::Attach { session: text()? } },
        "machines" => Arguments { daemon, machine: String::new(), role: Role::Machines },
        _ => return None,
    };
    words.next().is_none().then_some(arguments)
}

fn run(arguments: &Arguments) -> std::io::Result<()> {
    // Whoever started it holds the other end; without a socket there is nobody to speak to.
    let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(stream)?;
        let phone = account::phone(&arguments.daemon);
        match &arguments.role {
            Role::Serve => serve::run(stream, phone, &arguments.machine).await,
            Role::Attach { session } => attach::run(stream, phone, &arguments.machine, session).await,
            Role::Machines => serve::machines(stream, phone).await,
        }
    });
    runtime.shutdown_background();
    served
}

/// A failure of the phone in the words of the control API.
fn refusal(error: &delight_sdk::Error) -> Refusal {
    use delight_sdk::Kind;
    let mut refusal = error.to_refusal();
    if matches!(error.kind, Kind::Unreachable | Kind::MachineAway | Kind::TimedOut) {
        refusal.code = Code::DaemonUnreachable;
    }
    if error.perhaps_done {
        refusal.reason.push_str("; whether it was done all the same is not known");
    }
    refusal
}
