//! Lines of the control API: requests written, and what comes taken apart.

use std::io::{self, Read};

use delight_proto::api::MAX_LINE;
use delight_proto::api::envelope::{Error, RequestNumber, Version};
use delight_proto::api::method::CHANGE;
use delight_proto::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Connection;
use crate::failure::Failure;
use crate::unreachable::{garbled, lost};

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
    /// Reads one line and files it; `false` at the end of the connection.
    pub(super) fn take_line(&mut self) -> Result<bool, Failure> {
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

    pub(super) fn read_more(&mut self) -> Result<bool, Failure> {
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

/// Adds a request to what is to be sent, unless it is longer than the daemon reads.
pub(super) fn line<P: Serialize>(
    out: &mut Vec<u8>,
    id: RequestNumber,
    name: &str,
    params: &P,
) -> Result<(), Failure> {
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
