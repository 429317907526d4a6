//! What a session writes from now on, from its holder.

use std::path::Path;

use delight_proto::holder::{Attach, FromHolder, codec};
use delight_proto::id::SessionId;
use delight_proto::refusal::Refusal;

use super::{Body, Record};
use crate::failure::{Failure, system};
use crate::holder::{self, Arrived, Greeting, HolderLine, skew};
use crate::span;

/// A watcher of one session, from an offset on.
pub(crate) struct Live {
    line: HolderLine,
    offset: u64,
}

impl Live {
    /// Connects as a viewer: it displaces nobody and changes no size.
    ///
    /// # Errors
    /// Those of [`holder::connect`].
    pub(crate) fn connect(socket: &Path, session: SessionId, offset: u64) -> Result<Self, Refusal> {
        let greeting = Greeting {
            client: "delightctl logs",
            attach: Attach::Offset(offset),
            control: false,
            take: false,
            size: None,
        };
        let (line, _) = holder::connect(socket, session, &greeting)?;
        Ok(Self { line, offset })
    }

    /// Offset after the last output seen.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Waits for what comes next; `None` when the holder has closed the connection. `idle` is called before each
    /// wait.
    ///
    /// # Errors
    /// The connection broke, or what `idle` fails with.
    pub(crate) fn next(
        &mut self,
        mut idle: impl FnMut() -> Result<(), Failure>,
    ) -> Result<Option<Record>, Failure> {
        loop {
            if let Some(raw) = self.line.frames.next_frame().map_err(|e| skew(&e))? {
                let body = if raw.kind == codec::OUTPUT {
                    let (offset, bytes) = codec::output(raw).map_err(|e| skew(&e))?;
                    self.offset = offset;
                    Some(Body::Output(bytes.to_vec()))
                } else {
                    FromHolder::parse(raw).map_err(|e| skew(&e))?.and_then(|frame| match frame {
                        FromHolder::Lost { from, to } => Some(Body::Lost(to.saturating_sub(from))),
                        FromHolder::Started(started) => Some(Body::Started(started.generation)),
                        FromHolder::Exited(exited) => Some(Body::Exited(exited.generation, exited.exit)),
                        FromHolder::Resized(size) => Some(Body::Resized(size)),
                        _ => None,
                    })
                };
                if let Some(body) = body {
                    let record = Record { offset: self.offset, at_ms: span::now_ms(), body };
                    match &record.body {
                        Body::Output(bytes) => self.offset += bytes.len() as u64,
                        Body::Lost(bytes) => self.offset += bytes,
                        _ => {}
                    }
                    return Ok(Some(record));
                }
                continue;
            }
            idle()?;
            match self.line.read().map_err(|e| system("the connection to the holder broke", e))? {
                Arrived::Bytes | Arrived::Nothing => {}
                Arrived::End => return Ok(None),
            }
        }
    }
}
