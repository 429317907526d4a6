//! The control API of a machine, one message a line.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use delight_proto::api::envelope::{Request, RequestNumber, Response};
use delight_proto::api::method::{
    AgentList, DaemonStatus, Device, DeviceListResult, Empty, Hello, HelloResult, Method, NAMES, Subscribe,
};
use delight_proto::api::{MAX_LINE, PROTOCOL};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::rpc::from_afar;
use delight_sdk::{Phone, Presence};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};

use crate::follow;
use crate::machine::{PATIENCE, Remote, name};
use crate::refusal;

/// Requests under way at once; each is a call through the server. `delightctl` pipelines a handful.
const IN_FLIGHT: usize = 64;
/// Answers that wait to be written: one for each request under way.
const ANSWERS: usize = IN_FLIGHT;
/// Who asks waits half a minute for a greeting, and the server may be at its end for a part of it.
const GREETING: Duration = Duration::from_secs(15);

/// What goes out: lines.
#[derive(Clone)]
pub(crate) struct Out(mpsc::Sender<String>);

impl Out {
    fn new(write: OwnedWriteHalf) -> (Self, tokio::task::JoinHandle<()>) {
        let (lines, queue) = mpsc::channel(ANSWERS);
        (Self(lines), tokio::spawn(write_out(write, queue)))
    }

    /// Writes a message; false when nobody reads any longer.
    pub(crate) async fn put<T: Serialize>(&self, message: &T) -> bool {
        // Plain structs: serialising them cannot fail.
        let line = serde_json::to_string(message).unwrap_or_default();
        self.0.send(line).await.is_ok()
    }

    async fn answer(&self, id: RequestNumber, result: Result<Value, Refusal>) {
        let response = match result {
            Ok(value) => Response::ok(id, &value),
            Err(refusal) => Response::refused(Some(id), refusal),
        };
        self.put(&response).await;
    }
}

async fn write_out(mut write: OwnedWriteHalf, mut lines: mpsc::Receiver<String>) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        if write.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Serves until the other end has gone. What keeps the machine from being asked at all is told as a refusal of the whole
/// connection.
pub(crate) async fn run(stream: UnixStream, phone: Result<Phone, Refusal>, machine: &str) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let (out, writer) = Out::new(write);
    let found = match phone {
        Ok(phone) => {
            tokio::time::timeout(GREETING, Remote::find(phone, machine)).await.unwrap_or_else(|_| {
                Err(Refusal::new(
                    Code::DaemonUnreachable,
                    "the server does not answer",
                    "it was silent for 15 s",
                )
                .fix("delightctl status tells how the link is"))
            })
        }
        Err(refusal) => Err(refusal),
    };
    match found {
        Ok(remote) => requests(read, &out, &Arc::new(remote)).await?,
        Err(refusal) => {
            out.put(&Response::refused(None, refusal)).await;
        }
    }
    drop(out);
    // Ends when everything is written or nobody reads.
    writer.await.map_err(io::Error::other)
}

async fn requests(read: OwnedReadHalf, out: &Out, remote: &Arc<Remote>) -> io::Result<()> {
    let mut lines = BufReader::new(read);
    let seats = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = MAX_LINE as u64 + 1;
        if (&mut lines).take(most).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let request: Request = match serde_json::from_slice(&line) {
            Ok(request) => request,
            Err(e) => {
                let refusal = Refusal::new(Code::BadRequest, "the line is no request", e.to_string());
                out.put(&Response::refused(None, refusal)).await;
                return Ok(());
            }
        };
        // The semaphore is never closed.
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return Ok(()) };
        let (out, remote) = (out.clone(), Arc::clone(remote));
        tokio::spawn(async move {
            one(&out, &remote, request).await;
            drop(seat);
        });
    }
}

async fn one(out: &Out, remote: &Arc<Remote>, request: Request) {
    let params = match request.params.as_ref().map_or(Ok(json!({})), |raw| serde_json::from_str(raw.get())) {
        Ok(params) => params,
        Err(e) => {
            let refusal = Refusal::new(Code::BadParams, "the parameters cannot be read", e.to_string());
            return out.answer(request.id, Err(refusal)).await;
        }
    };
    match request.method.as_str() {
        Hello::NAME => out.answer(request.id, hello(remote).await).await,
        Subscribe::NAME => match follow::begin(remote, params).await {
            Ok((answer, following)) => {
                out.answer(request.id, Ok(answer)).await;
                following.tell(remote, out).await;
            }
            Err(refusal) => out.answer(request.id, Err(refusal)).await,
        },
        method => {
            let answer = remote.call(method, params, PATIENCE).await;
            out.answer(request.id, answer).await;
        }
    }
}

/// The machine's greeting, made of what it says of itself.
async fn hello(remote: &Remote) -> Result<Value, Refusal> {
    let (status, agents) = tokio::join!(
        remote.call_as::<DaemonStatus>(&Empty {}, GREETING),
        remote.call_as::<AgentList>(&Empty {}, GREETING),
    );
    let status = status?;
    let agents = agents.map(|list| list.agents).unwrap_or_default();
    let mut kinds: Vec<String> = agents.into_iter().map(|agent| agent.kind).collect();
    if kinds.is_empty() {
        // A daemon that lists none offers plain terminals all the same.
        kinds.push("pty".to_owned());
    }
    let methods = NAMES.iter().filter(|name| from_afar(name) || **name == Subscribe::NAME);
    let hello = HelloResult {
        protocol: PROTOCOL,
        version: status.version,
        pid: status.pid,
        methods: methods.map(|name| (*name).to_owned()).collect(),
        kinds,
    };
    serde_json::to_value(hello)
        .map_err(|e| Refusal::new(Code::Internal, "the greeting cannot be written", e.to_string()))
}

/// Writes the account's machines as one line, an answer to nothing that was asked.
pub(crate) async fn machines(stream: UnixStream, phone: Result<Phone, Refusal>) -> io::Result<()> {
    let (_read, write) = stream.into_split();
    let (out, writer) = Out::new(write);
    let listed = async {
        let machines = phone?.machines().await.map_err(|e| refusal(&e))?;
        let devices = machines.iter().map(|machine| Device {
            id: machine.id.to_string(),
            name: machine.metadata.is_some().then(|| name(machine)),
            this: false,
            online: machine.presence == Presence::Online,
            seen_ms: Some(machine.active_at),
        });
        serde_json::to_value(DeviceListResult { devices: devices.collect() })
            .map_err(|e| Refusal::new(Code::Internal, "the machines cannot be listed", e.to_string()))
    };
    out.answer(0, listed.await).await;
    drop(out);
    writer.await.map_err(io::Error::other)
}
