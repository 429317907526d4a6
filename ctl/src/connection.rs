//! A connection to the daemon: JSON-RPC 2.0, one message a line.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use delight_proto::api::envelope::{Error, RequestNumber, Version};
use delight_proto::api::method::{self, CHANGE, Change, HelloParams, HelloResult, Method};
use delight_proto::api::{MAX_LINE, PROTOCOL};
use delight_proto::refusal::{Code, Refusal};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::peer;
use crate::unreachable::{NoConnection, garbled, lost, not_running};

/// A daemon that is alive answers what needs no waiting in microseconds; half a minute is a stuck one, even on a
/// machine that swaps.
const QUICK: Duration = Duration::from_secs(30);

/// Through a server a call may be repeated for a minute before it is given up, with its own reason.
const AFAR: Duration = Duration::from_secs(120);

/// The number of the `hello` that precedes the first request.
const HELLO: RequestNumber = 0;

/// An open connection. Requests may be pipelined: [`Self::request`] several, then [`Self::answer`] each.
pub(crate) struct Connection {
    stream: UnixStream,
    /// Bytes read and not yet taken: `buffer[taken..]`.
    buffer: Vec<u8>,
    taken: usize,
    sent: RequestNumber,
    hello: Option<HelloResult>,
    /// Answers that came before they were asked after.
    early: BTreeMap<RequestNumber, Result<Box<RawValue>, Refusal>>,
    /// Changes that came while an answer was awaited. Bounded by what the daemon sends before that answer.
    changes: Vec<Change>,
    patience: Option<Duration>,
    /// How long an answer that needs no waiting may take.
    quick: Duration,
}

/// A line from the daemon: an answer or a notification.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(default)]
    id: Option<RequestNumber>,
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Error>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Outgoing<'a, P> {
    jsonrpc: Version,
    id: RequestNumber,
    method: &'a str,
    params: &'a P,
}

impl Connection {
    /// Connects. Nothing is sent yet: the `hello` travels with the first request.
    ///
    /// # Errors
    /// See [`NoConnection`].
    pub(crate) fn open(socket: &Path) -> Result<Self, NoConnection> {
        let stream = UnixStream::connect(socket).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                NoConnection::NobodyThere(not_running(socket))
            }
            io::ErrorKind::PermissionDenied => NoConnection::Refused(
                Refusal::new(
                    Code::Forbidden,
                    "the daemon's socket cannot be used",
                    format!("{}: {e}", socket.display()),
                )
                .fix("run as the user who owns it"),
            ),
            _ => NoConnection::Refused(Refusal::new(
                Code::DaemonUnreachable,
                "the daemon cannot be reached",
                format!("{}: {e}", socket.display()),
            )),
        })?;
        peer::check(&stream, socket).map_err(NoConnection::Refused)?;
        Ok(Self::on(stream, QUICK))
    }

    /// The same over the stream of a companion that asks another machine.
    pub(crate) fn over(stream: UnixStream) -> Self {
        Self::on(stream, AFAR)
    }

    fn on(stream: UnixStream, quick: Duration) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            taken: 0,
            sent: HELLO,
            hello: None,
            early: BTreeMap::new(),
            changes: Vec::new(),
            patience: None,
            quick,
        }
    }

    /// What the daemon said of itself. Known after the first answer.
    pub(crate) fn hello(&self) -> Option<&HelloResult> {
        self.hello.as_ref()
    }

    /// Asks and waits for the answer. The wait is bounded for methods that have nothing to wait for.
    ///
    /// # Errors
    /// The daemon's refusal, or a connection that broke.
    pub(crate) fn call<M: Method>(&mut self, params: &M::Params) -> Result<M::Result, Failure> {
        let number = self.request::<M>(params)?;
        self.answer::<M>(number)
    }

    /// Sends a request and returns its number.
    ///
    /// # Errors
    /// A request larger than the daemon reads, or a connection that broke.
    pub(crate) fn request<M: Method>(&mut self, params: &M::Params) -> Result<RequestNumber, Failure> {
        self.request_raw(M::NAME, params)
    }

    /// Waits for the answer to a request.
    ///
    /// # Errors
    /// The daemon's refusal, or a connection that broke.
    pub(crate) fn answer<M: Method>(&mut self, number: RequestNumber) -> Result<M::Result, Failure> {
        let raw = self.answer_raw(M::NAME, number)?;
        serde_json::from_str(raw.get())
            .map_err(|e| garbled(&format!("its answer to {}: {e}", M::NAME)).into())
    }

    /// [`Self::request`] for a method known by name only.
    pub(crate) fn request_raw<P: Serialize>(
        &mut self,
        name: &str,
        params: &P,
    ) -> Result<RequestNumber, Failure> {
        let mut bytes = Vec::with_capacity(1_024);
        if self.sent == HELLO {
            // One write for both: the round trip of a greeting is not worth waiting for.
            let client = format!("delightctl {}", env!("CARGO_PKG_VERSION"));
            line(&mut bytes, HELLO, method::Hello::NAME, &HelloParams { client, protocol: PROTOCOL })?;
        }
        self.sent += 1;
        line(&mut bytes, self.sent, name, params)?;
        self.stream.write_all(&bytes).map_err(|e| lost(&e.to_string()))?;
        Ok(self.sent)
    }

    /// [`Self::answer`] for a method known by name only.
    pub(crate) fn answer_raw(&mut self, name: &str, number: RequestNumber) -> Result<Box<RawValue>, Failure> {
        if self.hello.is_none() {
            self.be_patient(Some(self.quick))?;
            let raw = self.wait_for(HELLO)?;
            let hello: HelloResult = serde_json::from_str(raw.get())
                .map_err(|e| garbled(&format!("its greeting cannot be read: {e}")))?;
            self.hello = Some(hello);
        }
        self.be_patient(if takes_long(name) { None } else { Some(self.quick) })?;
        self.wait_for(number)
    }

    /// The next change of a subscription; `None` when the daemon ended the connection.
    ///
    /// # Errors
    /// A connection that broke.
    pub(crate) fn change(&mut self) -> Result<Option<Change>, Failure> {
        self.be_patient(None)?;
        loop {
            if !self.changes.is_empty() {
                return Ok(Some(self.changes.remove(0)));
            }
            if !self.take_line()? {
                return Ok(None);
            }
        }
    }

    /// [`Self::change`], but only until `deadline`: then [`Code::Timeout`].
    ///
    /// # Errors
    /// The time is up, or the connection broke.
    pub(crate) fn change_by(&mut self, deadline: Option<Instant>) -> Result<Option<Change>, Failure> {
        let Some(deadline) = deadline else { return self.change() };
        loop {
            if !self.changes.is_empty() {
                return Ok(Some(self.changes.remove(0)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.readable_within(left)? {
                return Err(Refusal::new(Code::Timeout, "it did not happen", "the time is up").into());
            }
            self.be_patient(Some(QUICK))?;
            if !self.take_line()? {
                return Ok(None);
            }
        }
    }

    /// To be polled for reading by who must not wait: then [`Self::take_arrived`].
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Files what has arrived, without waiting. `false`: the daemon has closed the connection.
    ///
    /// # Errors
    /// A connection that broke, or a line that cannot be read.
    pub(crate) fn take_arrived(&mut self) -> Result<bool, Failure> {
        if self.polled(PollTimeout::ZERO)? && !self.read_more()? {
            return Ok(false);
        }
        while self.buffer[self.taken..].contains(&b'\n') {
            self.take_line()?;
        }
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.len() > MAX_LINE {
            return Err(garbled("it sent a line longer than the protocol allows").into());
        }
        Ok(true)
    }

    /// The next change that was filed.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        (!self.changes.is_empty()).then(|| self.changes.remove(0))
    }

    /// The answer to a request, if it was filed.
    pub(crate) fn take_answer(&mut self, number: RequestNumber) -> Option<Result<Box<RawValue>, Refusal>> {
        self.early.remove(&number)
    }

    /// Whether there is something to read, after at most `limit`.
    fn readable_within(&self, limit: Duration) -> Result<bool, Failure> {
        if self.buffer[self.taken..].contains(&b'\n') {
            return Ok(true);
        }
        self.polled(PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX))
    }

    fn polled(&self, limit: PollTimeout) -> Result<bool, Failure> {
        loop {
            match poll(&mut [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)], limit) {
                Ok(ready) => return Ok(ready > 0),
                // What ends or stops a command needs no answer here.
                Err(Errno::EINTR) => {}
                Err(e) => return Err(lost(&e.to_string()).into()),
            }
        }
    }

    /// Waits until the daemon has closed the connection, for at most `limit`.
    pub(crate) fn closed_within(&mut self, limit: Duration) -> Result<bool, Failure> {
        self.be_patient(Some(limit))?;
        let mut byte = [0u8; 64];
        loop {
            match self.stream.read(&mut byte) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(false);
                }
                Err(_) => return Ok(true),
            }
        }
    }

    fn be_patient(&mut self, limit: Option<Duration>) -> Result<(), Failure> {
        if self.patience != limit {
            self.stream.set_read_timeout(limit).map_err(|e| lost(&e.to_string()))?;
            self.patience = limit;
        }
        Ok(())
    }

    fn wait_for(&mut self, number: RequestNumber) -> Result<Box<RawValue>, Failure> {
        loop {
            if let Some(answer) = self.early.remove(&number) {
                return Ok(answer?);
            }
            if !self.take_line()? {
                return Err(lost("it closed the connection").into());
            }
        }
    }

    /// Reads one line and files it; `false` at the end of the connection.
    fn take_line(&mut self) -> Result<bool, Failure> {
        let mut searched = self.taken;
        let end = loop {
            if let Some(at) = self.buffer[searched..].iter().position(|b| *b == b'\n') {
                break searched + at;
            }
            if self.taken > 0 {
                self.buffer.drain(..self.taken);
                self.taken = 0;
            }
            searched = self.buffer.len();
            if searched > MAX_LINE {
                return Err(garbled("it sent a line longer than the protocol allows").into());
            }
            if !self.read_more()? {
                return Ok(false);
            }
        };
        let text = &self.buffer[self.taken..end];
        let incoming: Incoming<'_> = serde_json::from_slice(text)
            .map_err(|e| garbled(&format!("it sent a line that is no JSON-RPC: {e}")))?;
        if let Some(name) = incoming.method {
            // Notifications of a newer daemon are not for us.
            if name == CHANGE {
                let params = incoming.params.map_or("null", RawValue::get);
                let change =
                    serde_json::from_str(params).map_err(|e| garbled(&format!("its notification: {e}")))?;
                self.changes.push(change);
            }
        } else {
            let answer = match (incoming.result, incoming.error) {
                (_, Some(error)) => Err(error.data),
                (Some(result), None) => Ok(result.to_owned()),
                (None, None) => return Err(garbled("it sent an answer without a result").into()),
            };
            match (incoming.id, answer) {
                (Some(number), answer) => {
                    self.early.insert(number, answer);
                }
                // Without a number it concerns the connection as a whole.
                (None, Err(refusal)) => return Err(refusal.into()),
                (None, Ok(_)) => return Err(garbled("it sent a result without a number").into()),
            }
        }
        self.taken = end + 1;
        Ok(true)
    }

    fn read_more(&mut self) -> Result<bool, Failure> {
        let filled = self.buffer.len();
        self.buffer.resize(filled + (64 << 10), 0);
        let read = loop {
            match self.stream.read(&mut self.buffer[filled..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(n) => Ok(n > 0),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let waited = self.patience.unwrap_or_default().as_secs();
                Err(Refusal::new(
                    Code::DaemonUnreachable,
                    "the daemon does not answer",
                    format!("it accepted the request and said nothing for {waited} s"),
                )
                .fix("look at its log; kill -9 of the daemon harms no session, and `delightctl up` starts another")
                .into())
            }
            Err(e) => Err(lost(&e.to_string()).into()),
        }
    }
}

/// Methods that answer when something has happened, however long that takes.
fn takes_long(name: &str) -> bool {
    [
        method::SessionSpawn::NAME,
        method::SessionSend::NAME,
        method::SessionWait::NAME,
        method::SessionStop::NAME,
        method::SessionResume::NAME,
        method::SessionRemove::NAME,
        method::SessionPrompt::NAME,
        method::SessionAbort::NAME,
        method::SessionSwitch::NAME,
        method::SessionDecide::NAME,
        method::SessionSetMode::NAME,
        method::DaemonStop::NAME,
        method::PairWait::NAME,
    ]
    .contains(&name)
}

fn line<P: Serialize>(out: &mut Vec<u8>, id: RequestNumber, name: &str, params: &P) -> Result<(), Failure> {
    let before = out.len();
    let request = Outgoing { jsonrpc: Version, id, method: name, params };
    serde_json::to_writer(&mut *out, &request).map_err(|e| {
        Refusal::new(Code::BadParams, format!("the request {name} cannot be sent"), e.to_string())
    })?;
    if out.len() - before > MAX_LINE {
        return Err(Refusal::new(
            Code::TooLarge,
            format!("the request {name} cannot be sent"),
            format!("it is {} bytes long; the daemon reads at most {MAX_LINE}", out.len() - before),
        )
        .into());
    }
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::api::envelope::Request;
    use std::os::unix::net::UnixListener;

    /// Serves one connection: reads `lines` lines, then writes `answer` and closes.
    fn daemon(
        lines: usize,
        answer: &str,
    ) -> (tempfile::TempDir, std::path::PathBuf, std::thread::JoinHandle<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let answer = answer.to_owned();
        let handle = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = String::new();
            let mut byte = [0u8; 1];
            while got.matches('\n').count() < lines {
                stream.read_exact(&mut byte).unwrap();
                got.push(char::from(byte[0]));
            }
            stream.write_all(answer.as_bytes()).unwrap();
            got
        });
        (dir, path, handle)
    }

    const GREETING: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocol":1,"version":"1","pid":1,"methods":[],"kinds":["pty"]}}"#;

    #[test]
    fn greeting_travels_with_the_first_request_and_answers_may_come_in_any_order() {
        let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"sessions\":[]}}}}\n{GREETING}\n");
        let (_dir, path, handle) = daemon(2, &text);
        let mut connection = Connection::open(&path).unwrap();
        let list = connection.call::<method::SessionList>(&method::Empty {}).unwrap();
        assert!(list.sessions.is_empty());
        assert_eq!(connection.hello().unwrap().kinds, ["pty"]);
        let got = handle.join().unwrap();
        let numbers: Vec<u64> = got.lines().map(|l| serde_json::from_str::<Request>(l).unwrap().id).collect();
        assert_eq!(numbers, [HELLO, 1]);
    }

    #[test]
    fn refusal_keeps_code_and_fix() {
        let text = format!(
            "{GREETING}\n{}\n",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32003,"message":"m","data":{"code":"not-found","what":"w","reason":"r","fix":"f"}}}"#
        );
        let (_dir, path, handle) = daemon(2, &text);
        let mut connection = Connection::open(&path).unwrap();
        let failure = connection.call::<method::SessionList>(&method::Empty {}).unwrap_err();
        assert_eq!(failure.status(), 3);
        handle.join().unwrap();
    }

    #[test]
    fn end_before_the_answer_is_unreachable_not_success() {
        let (_dir, path, handle) = daemon(2, &format!("{GREETING}\n"));
        let mut connection = Connection::open(&path).unwrap();
        let failure = connection.call::<method::SessionList>(&method::Empty {}).unwrap_err();
        assert_eq!(failure.code(), Some(Code::DaemonUnreachable));
        handle.join().unwrap();
    }

    #[test]
    fn garbage_is_version_skew() {
        let (_dir, path, handle) = daemon(2, "HTTP/1.1 400 Bad Request\n");
        let mut connection = Connection::open(&path).unwrap();
        assert_eq!(connection.call::<method::SessionList>(&method::Empty {}).unwrap_err().status(), 9);
        handle.join().unwrap();
    }

    #[test]
    fn nobody_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Connection::open(&dir.path().join("none")), Err(NoConnection::NobodyThere(_))));
        let stale = dir.path().join("stale");
        drop(UnixListener::bind(&stale).unwrap());
        assert!(matches!(Connection::open(&stale), Err(NoConnection::NobodyThere(_))));
    }
}
