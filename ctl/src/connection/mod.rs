//! A connection to the daemon: JSON-RPC 2.0, one message a line.

mod lines;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use delight_proto::api::envelope::RequestNumber;
use delight_proto::api::method::{self, Change, HelloParams, HelloResult, Method};
use delight_proto::api::{MAX_LINE, PROTOCOL};
use delight_proto::refusal::{Code, Refusal};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde_json::value::RawValue;

use self::lines::line;
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

#[cfg(test)]
mod tests;
