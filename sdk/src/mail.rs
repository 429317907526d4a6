//! Messages on their way out: sealed, kept until the server names their numbers, and written again when it does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use delight_proto::sync::bounded::{Hidden, Id, List, Name, SealedText, Text};
use delight_proto::sync::http::{OutgoingMessage, PostMessages, Posted};
use delight_proto::sync::record::{MessageMeta, Record, UserContent, UserRecord, UserText};
use tokio::time::sleep;

use crate::control::Control;
use crate::dispatcher::Reply;
use crate::error::{Error, Kind};
use crate::fresh;
use crate::outbox::{Entry, Outbox, WAITING};
use crate::state::State;

/// Bytes of one sealed message in base64: what is stored must fit the packet that tells others of it.
const MESSAGE: usize = 900_000;
/// The first wait before a failed write or fetch is made again; doubled up to the last.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A message was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Our id for it.
    pub local_id: Id,
    /// The number the server gave it.
    pub seq: u64,
}

/// Words to send, and how they are to be taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    pub(crate) text: String,
    pub(crate) meta: MessageMeta,
    pub(crate) whenever: bool,
    pub(crate) limit: Duration,
}

impl Words {
    /// Words, sent only while the phone drives, within a minute.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let meta = MessageMeta { sent_from: Some(Name::cut("delight-sdk")), ..MessageMeta::default() };
        Self { text: text.into(), meta, whenever: false, limit: Duration::from_secs(60) }
    }

    /// How they are to be taken: permission mode, model and so on.
    #[must_use]
    pub fn meta(mut self, meta: MessageMeta) -> Self {
        self.meta = meta;
        self
    }

    /// Sent whoever drives, also to a session that is offline: it reads them when it is back. A machine whose policy gives
    /// the phone control for a message takes them as a take-over.
    #[must_use]
    pub fn whenever(mut self) -> Self {
        self.whenever = true;
        self
    }

    /// For how long the server is tried.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// A session's messages on their way.
#[derive(Default)]
pub(crate) struct Mail {
    outbox: Outbox<SealedText, Reply<Sent>>,
    failures: u32,
    pub(crate) fetch_failures: u32,
}

impl Mail {
    /// Answers everybody who waits.
    pub(crate) fn give_up(mut self, why: &Error) {
        for entry in self.outbox.failed(u64::MAX) {
            entry.reply.send(Err(if entry.tried { why.clone().perhaps_done() } else { why.clone() }));
        }
    }
}

/// How long to wait after so many failures.
pub(crate) fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE)
}

impl State {
    pub(crate) fn send(&mut self, session: &Id, words: Words, reply: Reply<Sent>) {
        match self.sealed_entry(session, words) {
            Err(error) => reply.send(Err(error)),
            Ok((content, local_id, until)) => {
                let Some(entry) = self.sessions.get_mut(session) else { return };
                let size = content.as_str().len();
                let waiting = Entry { local_id, content, size, until, tried: false, reply };
                if let Err(entry) = entry.mail.outbox.push(waiting) {
                    entry.reply.send(Err(Error::busy("sending a message", WAITING)));
                }
                self.write(session);
            }
        }
    }

    fn sealed_entry(&mut self, session: &Id, words: Words) -> Result<(SealedText, Id, u64), Error> {
        let what = "sending a message";
        self.sent += 1;
        let local_id = Id::cut(format!("{}{}", self.prefix, self.sent));
        let entry = self
            .sessions
            .get(session)
            .ok_or_else(|| Error::new(Kind::NotFound, what, "the account has no such session"))?;
        if !words.whenever && !entry.control.can_send() {
            let (reason, fix) = match entry.control.control() {
                Control::Local => {
                    ("the terminal drives the session", "take control first, or send whoever drives")
                }
                Control::Switching(_) => ("control is being handed over", "wait until that is done"),
                _ => (
                    "the session is not known to be alive",
                    "resume it, or send it to be read when it is back",
                ),
            };
            return Err(Error::new(Kind::WrongState, what, reason).fix(fix));
        }
        let too_long = |reason: String| Error::new(Kind::TooLarge, what, reason);
        let text = Text::new(words.text).map_err(|long| too_long(long.to_string()))?;
        let record = Record::User(UserRecord {
            content: UserContent::Text(UserText { text: Hidden::new(text), images: Vec::new() }),
            local_key: Some(local_id.clone()),
            meta: Some(words.meta),
        });
        let key = entry.key.clone()?;
        let sealed = key
            .seal(&record.plaintext()?, fresh::fresh()?)
            .map_err(|error| too_long(error.to_string()))?
            .to_base64();
        if sealed.len() > MESSAGE {
            return Err(too_long(format!(
                "{} bytes sealed, more than the {MESSAGE} a server stores",
                sealed.len()
            ))
            .fix("send it in parts"));
        }
        let content = SealedText::new(sealed).map_err(|long| too_long(long.to_string()))?;
        let limit = u64::try_from(words.limit.as_millis()).unwrap_or(u64::MAX);
        Ok((content, local_id, fresh::now_ms().saturating_add(limit)))
    }

    /// Writes what waits for a session, unless a write is on its way.
    pub(crate) fn write(&mut self, session: &Id) {
        let Some(entry) = self.sessions.get_mut(session) else { return };
        let messages: Vec<_> = entry
            .mail
            .outbox
            .write()
            .into_iter()
            .map(|(local_id, content)| OutgoingMessage { content, local_id })
            .collect();
        if messages.is_empty() {
            return;
        }
        // The outbox gives no more than fit one write.
        let Ok(messages) = List::new(messages) else { return };
        let post = PostMessages { sid: session.clone(), messages };
        let (http, session) = (Arc::clone(&self.http), session.clone());
        self.effects
            .run(async move { http.call(&post).await }, move |state, answer| state.wrote(&session, answer));
    }

    fn wrote(&mut self, session: &Id, answer: Result<Posted, Error>) {
        let Some(entry) = self.sessions.get_mut(session) else { return };
        match answer {
            Ok(posted) => {
                let stored: BTreeMap<&Id, u64> = posted
                    .messages
                    .iter()
                    .filter_map(|row| Some((row.local_id.as_ref()?, row.seq)))
                    .collect();
                let done = entry.mail.outbox.written(|id| stored.get(id).copied());
                if done.is_empty() {
                    // A server that takes a write and names nothing of it must not be asked in a circle.
                    return self.write_later(session);
                }
                entry.mail.failures = 0;
                for (entry, seq) in done {
                    entry.reply.send(Ok(Sent { local_id: entry.local_id, seq }));
                }
                self.write(session);
            }
            Err(error) if error.retry || error.kind == Kind::BadAnswer => {
                for over in entry.mail.outbox.failed(fresh::now_ms()) {
                    let error = if over.tried { error.clone().perhaps_done() } else { error.clone() };
                    over.reply.send(Err(error));
                }
                self.write_later(session);
            }
            Err(error) => {
                if let Some(refused) = entry.mail.outbox.refused() {
                    refused.reply.send(Err(error));
                }
                self.write(session);
            }
        }
    }

    fn write_later(&mut self, session: &Id) {
        let Some(entry) = self.sessions.get_mut(session) else { return };
        // What has been tried for long enough is answered even if the server keeps naming nothing.
        for over in entry.mail.outbox.failed(fresh::now_ms()) {
            let error =
                Error::new(Kind::TimedOut, "sending a message", "the server did not confirm it in time");
            over.reply.send(Err(if over.tried { error.perhaps_done() } else { error }));
        }
        if entry.mail.outbox.is_empty() {
            return;
        }
        let wait = pause(entry.mail.failures);
        entry.mail.failures = entry.mail.failures.saturating_add(1);
        let session = session.clone();
        self.effects.run(async move { sleep(wait).await }, move |state, ()| state.write(&session));
    }
}
