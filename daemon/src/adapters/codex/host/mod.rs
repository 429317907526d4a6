//! `delightd codex-host --socket PATH PROGRAM…`: the runner of a Codex session that phone and desktop share.
//!
//! It starts Codex's app server on a socket, is its first client, and carries lines between that socket and its own
//! standard streams: to whoever started it, it is the app server on pipes. Whatever is written to the agent in delight's
//! name passes through these pipes and lies in the session's journal. Codex's own terminal program comes in by `PATH`
//! beside it (`door.rs`), as often as anybody wants, and leaves without a trace.
//!
//! It ends when the app server does, and as it did.

mod door;
mod web_socket;

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal as Signum, kill};
use nix::unistd::Pid;
use tokio::io::{BufReader, split};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use door::Door;

/// How long the server may take to listen: 0.1 s on a machine at rest; the daemon gives a start 15 s.
const TO_LISTEN: Duration = Duration::from_secs(14);
/// Between two looks whether it does.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long the server has to end once it was asked to, before it is killed. It takes 0.1 s.
const TO_END: Duration = Duration::from_secs(5);
/// How long its last words may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Extension of the server's own socket, beside the one for visitors.
const HIDDEN: &str = "srv";

/// Runs until the app server has ended; gives the exit status.
///
/// # Errors
/// The server cannot be started or reached.
pub(crate) fn host(socket: &Path, command: &[String]) -> io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(run(socket, command));
    // One that was killed leaves its sockets behind; the next removes them.
    remove(socket)?;
    remove(&socket.with_extension(HIDDEN))?;
    status
}

async fn run(socket: &Path, command: &[String]) -> io::Result<u8> {
    let hidden = socket.with_extension(HIDDEN);
    remove(socket)?;
    remove(&hidden)?;
    let (mut ends, mut children) = (Ends::new()?, signal(SignalKind::child())?);
    let mut server = Server::start(command, &hidden)?;
    let (door, first) = match server.listens(&hidden, &mut ends, &mut children).await? {
        Listening::Yes(door, first) => (Arc::new(door), first),
        Listening::Ended(status) => return Ok(code(status)),
    };
    let visitors = door::listen(socket)?;
    let mut input = BufReader::new(pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?);
    let mut output = pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)?;
    let mut first = BufReader::new(first);
    web_socket::upgrade(&mut first).await?;
    let (mut from_server, to_server) = split(first);
    let to_server = Mutex::new(to_server);
    let out = web_socket::carry_out(&mut input, &to_server);
    let back = web_socket::carry_in(&mut from_server, &mut output, &to_server);
    tokio::pin!(out, back);
    let (mut going_out, mut coming_back) = (true, true);
    let visitors = door::let_in(visitors, door);
    tokio::pin!(visitors);
    let mut kill_at = None;
    loop {
        let due = kill_at.unwrap_or_else(Instant::now);
        tokio::select! {
            ended = child_ended(&mut children, &mut server.0) => {
                let status = ended?;
                if coming_back {
                    // What cannot be read any more has nobody to read it.
                    let _ = timeout(LAST_WORDS, &mut back).await;
                }
                return Ok(code(status));
            }
            () = ends.asked() => {}
            ended = &mut out, if going_out => {
                going_out = false;
                complain("nobody writes any more", ended);
            }
            ended = &mut back, if coming_back => {
                coming_back = false;
                complain("the app server closed its connection", ended);
            }
            () = sleep_until(due), if kill_at.is_some() => {
                server.signal(Signum::SIGKILL);
                kill_at = Some(Instant::now() + TO_END);
                continue;
            }
            () = &mut visitors => continue,
        }
        server.signal(Signum::SIGTERM);
        kill_at.get_or_insert_with(|| Instant::now() + TO_END);
    }
}

/// The signals that ask this program to end.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> io::Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    /// Until one of them comes. Cancel safe.
    async fn asked(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Until the child has ended. Cancel safe.
async fn child_ended(signal: &mut Signal, child: &mut Child) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        signal.recv().await;
    }
}

/// What became of waiting for the server.
enum Listening {
    /// It listens: the way to it, and the first connection.
    Yes(Door, UnixStream),
    /// It ended.
    Ended(ExitStatus),
}

/// Codex's app server. It does not outlive this.
struct Server(Child);

impl Server {
    fn start(command: &[String], socket: &Path) -> io::Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(io::Error::other("no program was named"));
        };
        // Its standard output is for people here, and ours is the protocol's.
        let words = io::stderr().as_fd().try_clone_to_owned()?;
        let listen = format!("unix://{}", socket.display());
        let child = Command::new(program)
            .args(arguments)
            .args(["--listen", &listen])
            .stdin(Stdio::null())
            .stdout(words)
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("{program} cannot be started: {e}")))?;
        Ok(Self(child))
    }

    async fn listens(
        &mut self,
        socket: &Path,
        ends: &mut Ends,
        children: &mut Signal,
    ) -> io::Result<Listening> {
        let until = Instant::now() + TO_LISTEN;
        loop {
            if let Some(status) = self.0.try_wait()? {
                complain("the app server ended before it listened", Ok(()));
                return Ok(Listening::Ended(status));
            }
            match UnixStream::connect(socket).await {
                Ok(first) => return Ok(Listening::Yes(Door::close_behind(socket)?, first)),
                Err(e) if Instant::now() >= until => return Err(e),
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(LOOK_AGAIN) => {}
                () = ends.asked() => {
                    self.signal(Signum::SIGTERM);
                    let ended = timeout(TO_END, child_ended(children, &mut self.0)).await;
                    return ended.map_err(io::Error::other)?.map(Listening::Ended);
                }
            }
        }
    }

    fn signal(&self, signal: Signum) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            // It has not been waited for: the number is its own, or nobody's.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Server {
    /// Whatever went wrong, it does not stay behind.
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// How this ends: as the server did.
fn code(status: ExitStatus) -> u8 {
    let signal = status.signal().map_or(1, |signal| 128 + signal);
    u8::try_from(status.code().unwrap_or(signal)).unwrap_or(1)
}

fn complain(what: &str, ended: io::Result<()>) {
    match ended {
        Ok(()) => say(what),
        Err(e) => say(&format!("{what}: {e}")),
    }
}

/// Says it on standard error, if there is one.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "delightd codex-host: {text}");
}

fn remove(socket: &Path) -> io::Result<()> {
    match fs::remove_file(socket) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
