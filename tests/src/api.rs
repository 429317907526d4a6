//! The control API, as any client speaks it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::api::envelope::{Notification, Request, Response, Version};
use delight_proto::api::method::{
    Change, Hello, HelloParams, HelloResult, Method, OutputBody, OutputFrom, OutputParams, OutputRecord,
    SessionGet, SessionList, SessionOutput, SessionRef, SessionSpawn, SessionWait, SpawnParams, WaitParams,
};
use delight_proto::api::{MAX_OUTPUT_BYTES, PROTOCOL};
use delight_proto::id::SessionId;
use delight_proto::refusal::Refusal;
use delight_proto::session::{Phase, SessionView, Size};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// One line of the daemon's.
#[derive(Debug)]
pub enum Line {
    /// An answer.
    Answer(Response),
    /// A notification.
    Change(Change),
}

/// One connection that has said hello.
pub struct Client {
    reader: BufReader<UnixStream>,
    daemon: HelloResult,
    next: u64,
    changes: Vec<Change>,
}

impl Client {
    /// Connects and says hello.
    ///
    /// # Errors
    /// When nobody listens, or the hello is refused.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let daemon = HelloResult {
            protocol: 0,
            version: String::new(),
            pid: 0,
            methods: Vec::new(),
            kinds: Vec::new(),
        };
        let mut client = Self { reader: BufReader::new(stream), daemon, next: 0, changes: Vec::new() };
        let hello = HelloParams { client: "delight-tests".to_owned(), protocol: PROTOCOL };
        let number = client.send::<Hello>(&hello)?;
        client.daemon = client.answer_to::<Hello>(number)?.map_err(io::Error::other)?;
        Ok(client)
    }

    /// What the daemon said of itself.
    #[must_use]
    pub fn daemon(&self) -> &HelloResult {
        &self.daemon
    }

    /// Sends a request without waiting; returns its number.
    ///
    /// # Errors
    /// When the connection ended.
    pub fn send<M: Method>(&mut self, params: &M::Params) -> io::Result<u64> {
        self.next += 1;
        let params = Some(serde_json::value::to_raw_value(params)?);
        let request = Request { jsonrpc: Version, id: self.next, method: M::NAME.to_owned(), params };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line)?;
        Ok(self.next)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the connection ended.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// The next line.
    ///
    /// # Errors
    /// When the connection ended, or the line is no message.
    pub fn read(&mut self) -> io::Result<Line> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Ok(notification) = serde_json::from_str::<Notification<Change>>(&line) {
            return Ok(Line::Change(notification.params));
        }
        Ok(Line::Answer(serde_json::from_str(&line)?))
    }

    /// The answer to a request sent before; changes on the way are kept for [`Client::changes`].
    ///
    /// # Errors
    /// When the connection ended. A refusal is the inner error.
    pub fn answer_to<M: Method>(&mut self, number: u64) -> io::Result<Result<M::Result, Refusal>> {
        loop {
            match self.read()? {
                Line::Change(change) => self.changes.push(change),
                Line::Answer(answer) if answer.id == Some(number) => {
                    return Ok(match (answer.result, answer.error) {
                        (Some(result), None) => Ok(serde_json::from_str(result.get())?),
                        (None, Some(error)) => Err(error.data),
                        both => {
                            return Err(io::Error::other(format!("not one of result and error: {both:?}")));
                        }
                    });
                }
                Line::Answer(answer) => {
                    return Err(io::Error::other(format!("an answer nobody waits for: {answer:?}")));
                }
            }
        }
    }

    /// Asks and waits.
    ///
    /// # Errors
    /// The daemon's refusal.
    #[track_caller]
    pub fn call<M: Method>(&mut self, params: &M::Params) -> Result<M::Result, Refusal> {
        let number = self.send::<M>(params).expect("the daemon reads");
        self.answer_to::<M>(number).unwrap_or_else(|error| panic!("{} was not answered: {error}", M::NAME))
    }

    /// Changes that came between answers.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Spawns a command and fails the test when that fails.
    #[track_caller]
    pub fn spawn(&mut self, command: &[&str]) -> SessionView {
        self.call::<SessionSpawn>(&spawn(command)).expect("the session starts")
    }

    /// Spawns the fake agent in a terminal.
    #[track_caller]
    pub fn spawn_script(&mut self, script: &str) -> SessionView {
        let agent = crate::binaries::program("delight-fake-agent");
        self.spawn(&[agent.to_str().unwrap(), "--script", script])
    }

    /// A session as it is now.
    #[track_caller]
    pub fn get(&mut self, id: SessionId) -> SessionView {
        self.call::<SessionGet>(&one(id)).expect("the session exists")
    }

    /// All sessions.
    #[track_caller]
    pub fn list(&mut self) -> Vec<SessionView> {
        self.call::<SessionList>(&delight_proto::api::method::Empty {}).expect("sessions are listed").sessions
    }

    /// Waits until the session is in one of the phases.
    #[track_caller]
    pub fn wait(&mut self, id: SessionId, phases: &[Phase]) -> SessionView {
        let params = WaitParams {
            session: id.to_string(),
            phases: phases.to_vec(),
            activity: Vec::new(),
            timeout_ms: Some(50_000),
        };
        self.call::<SessionWait>(&params).unwrap_or_else(|refusal| {
            panic!("{id} never came to {phases:?}: {refusal}; it is {:?}", self.get(id))
        })
    }

    /// Every record of a session's journal, input included.
    #[track_caller]
    pub fn journal(&mut self, id: SessionId) -> Vec<OutputRecord> {
        let mut from = OutputFrom::Offset(0);
        let mut records = Vec::new();
        loop {
            let params = OutputParams {
                session: id.to_string(),
                from,
                max_bytes: MAX_OUTPUT_BYTES,
                input: true,
                wait_ms: 0,
            };
            let piece = self.call::<SessionOutput>(&params).expect("the journal can be read");
            records.extend(piece.records);
            if piece.at_end {
                return records;
            }
            assert_ne!(piece.next, from, "session.output does not get on");
            from = piece.next;
        }
    }

    /// Everything a session has printed and the journal still has.
    #[track_caller]
    pub fn output(&mut self, id: SessionId) -> Vec<u8> {
        output_of(self.journal(id))
    }

    /// Waits until the last bytes of a session's output hold `text`: cheap, however long the history is.
    #[track_caller]
    pub fn until_output_tail(&mut self, id: SessionId, text: &str) {
        crate::until(&format!("{id} ends with {text:?}"), || {
            let from = OutputFrom::Tail(text.len() as u64 + 256);
            let params =
                OutputParams { session: id.to_string(), from, max_bytes: 64 << 10, input: false, wait_ms: 0 };
            let piece = self.call::<SessionOutput>(&params).expect("the journal can be read");
            String::from_utf8_lossy(&output_of(piece.records)).contains(text)
        });
    }

    /// Waits until a session's output holds `text`.
    #[track_caller]
    pub fn until_output(&mut self, id: SessionId, text: &str) {
        crate::until(&format!("{id} prints {text:?}"), || {
            String::from_utf8_lossy(&self.output(id)).contains(text)
        });
    }
}

/// The output among records of a journal.
#[must_use]
pub fn output_of(records: Vec<OutputRecord>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        if let OutputBody::Output { data } = record.body {
            bytes.extend(BASE64_STANDARD.decode(data).expect("base64"));
        }
    }
    bytes
}

/// A reference to one session by its whole id.
#[must_use]
pub fn one(id: SessionId) -> SessionRef {
    SessionRef { session: id.to_string() }
}

/// Parameters of a plain terminal session in `/`.
#[must_use]
pub fn spawn(command: &[&str]) -> SpawnParams {
    SpawnParams {
        request_id: None,
        name: None,
        kind: "pty".to_owned(),
        command: command.iter().map(|&word| word.to_owned()).collect(),
        cwd: "/".to_owned(),
        create_cwd: false,
        env: BTreeMap::new(),
        size: Size::default(),
        restart: delight_proto::session::RestartPolicy::Never,
        stop_grace_ms: None,
        retain_bytes: None,
        agent: delight_proto::agent::AgentOptions::default(),
    }
}
