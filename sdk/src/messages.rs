//! A session's messages: sent, heard live and caught up with, and read back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use delight_crypto::replay::Delivery;
use delight_proto::sync::bounded::{Hidden, Id, List, Name, SealedText, Text};
use delight_proto::sync::http::{
    MessagePage, OutgoingMessage, PageMessages, PageOrder, PostMessages, Posted,
};
use delight_proto::sync::message::{Incoming, NewMessage};
use delight_proto::sync::record::{MessageMeta, Record, UserContent, UserRecord, UserText};
use tokio::time::sleep;

use crate::control::Control;
use crate::dispatcher::Reply;
use crate::error::{Error, Kind};
use crate::event::PhoneEvent;
use crate::fresh;
use crate::outbox::{Entry, Outbox, WAITING};
use crate::sessions::SessionEntry;
use crate::state::{Listing, State};
use crate::timeline::{Step, Timeline};

/// Rows of one page. Fifty of the largest messages fit the bound of an answer.
pub(crate) const PAGE: u32 = 50;
/// Bytes of one sealed message in base64: what is stored must fit the packet that tells others of it.
const MESSAGE: usize = 900_000;
/// The first wait before a failed write or fetch is made again; doubled up to the last.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Whose.
    pub session: Id,
    /// Its number in the session.
    pub seq: u64,
    /// The server's id of it.
    pub id: Id,
    /// The sender's id for it.
    pub local_id: Option<Id>,
    /// Whether this phone sent it.
    pub mine: bool,
    /// When it was stored, Unix milliseconds of the server's clock.
    pub created_at: u64,
    /// What it says, or why that is not known: another key, damage, or a value the server delivered before as something
    /// else.
    pub body: Result<Record, Error>,
}

/// A part of a session's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// Whether there may be more in the direction that was asked for.
    pub more: bool,
}

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
    fetch_failures: u32,
}

impl Mail {
    /// Answers everybody who waits.
    pub(crate) fn give_up(mut self, why: &Error) {
        for entry in self.outbox.failed(u64::MAX) {
            entry.reply.send(Err(if entry.tried { why.clone().perhaps_done() } else { why.clone() }));
        }
    }
}

fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE)
}

impl SessionEntry {
    /// Opens a stored message. A sealed value that came in another row before is refused.
    fn open(&mut self, session: &Id, seq: u64, incoming: Incoming, mine: bool) -> Message {
        let id = incoming.id.unwrap_or_default();
        let body = self.key.clone().and_then(|key| {
            let opened = key
                .open_base64(incoming.content.0.as_str())
                .map_err(|error| Error::unreadable("a message", error))?;
            self.guard
                .admit(opened.mark(), Delivery::Row(&id), None)
                .map_err(|replayed| Error::unreadable("a message", replayed))?;
            Record::open(opened.json()).map_err(Error::of_peer)
        });
        Message {
            session: session.clone(),
            seq,
            id,
            local_id: incoming.local_id,
            mine,
            created_at: incoming.created_at.unwrap_or_default(),
            body,
        }
    }
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

    /// Follows a session from a number on; without one, from its latest message.
    pub(crate) fn follow(&mut self, session: &Id, after: Option<u64>) -> Result<u64, Error> {
        let entry = self.sessions.get_mut(session).ok_or_else(|| {
            Error::new(Kind::NotFound, "following a session", "the account has no such session")
        })?;
        let from = after.unwrap_or(entry.last_seq);
        entry.timeline = Some(Timeline::after(from));
        self.catch_up(session);
        Ok(from)
    }

    /// Asks for what a followed session may have missed.
    pub(crate) fn catch_up(&mut self, session: &Id) {
        let Some(timeline) = self.sessions.get_mut(session).and_then(|entry| entry.timeline.as_mut()) else {
            return;
        };
        let step = timeline.catch_up();
        self.take_step(session, step);
    }

    pub(crate) fn hear_message(&mut self, message: &NewMessage) {
        let Some(session) = &message.sid else { return };
        let Some(entry) = self.sessions.get_mut(session) else {
            self.refresh_again(Listing::Sessions);
            return;
        };
        entry.last_seq = entry.last_seq.max(message.message.seq.unwrap_or(0));
        let Some(timeline) = entry.timeline.as_mut() else { return };
        let step = timeline.live(message.message.seq, message.message.clone());
        self.take_step(session, step);
    }

    fn take_step(&mut self, session: &Id, step: Step<Incoming>) {
        let Some(entry) = self.sessions.get_mut(session) else { return };
        let mut delivered = Vec::with_capacity(step.deliver.len());
        for incoming in step.deliver {
            // A timeline delivers only what has a number.
            let seq = incoming.seq.unwrap_or_default();
            let mine = incoming.local_id.as_ref().is_some_and(|id| id.starts_with(&self.prefix));
            delivered.push(entry.open(session, seq, incoming, mine));
        }
        for message in delivered {
            self.tell(PhoneEvent::Message(Box::new(message)));
        }
        let Some(after) = step.fetch_after else { return };
        let fetch = PageMessages { sid: session.clone(), order: PageOrder::After(after), limit: PAGE };
        let (http, session) = (Arc::clone(&self.http), session.clone());
        self.effects.run(async move { http.call(&fetch).await }, move |state, answer| {
            state.take_page(&session, answer);
        });
    }

    fn take_page(&mut self, session: &Id, answer: Result<MessagePage, Error>) {
        let Some(entry) = self.sessions.get_mut(session) else { return };
        let Some(timeline) = entry.timeline.as_mut() else { return };
        match answer {
            Ok(page) => {
                entry.mail.fetch_failures = 0;
                let rows: Vec<_> = page.messages.into_vec();
                let full = rows.len() >= PAGE as usize;
                entry.last_seq = entry.last_seq.max(rows.iter().map(|row| row.seq).max().unwrap_or(0));
                let step =
                    timeline.page(rows.into_iter().map(|row| (row.seq, Incoming::from(row))).collect(), full);
                self.take_step(session, step);
            }
            Err(error) => {
                timeline.failed();
                let wait = pause(entry.mail.fetch_failures);
                entry.mail.fetch_failures = entry.mail.fetch_failures.saturating_add(1);
                if error.retry {
                    let session = session.clone();
                    self.effects
                        .run(async move { sleep(wait).await }, move |state, ()| state.catch_up(&session));
                } else {
                    self.tell(PhoneEvent::Skipped(format!("the messages of a session: {error}")));
                }
            }
        }
    }

    /// Reads a part of the history, in whatever session of the account.
    pub(crate) fn history(&mut self, session: &Id, order: PageOrder, limit: u32, reply: Reply<Page>) {
        if !self.sessions.contains_key(session) {
            let what = "reading a session's history";
            return reply.send(Err(Error::new(Kind::NotFound, what, "the account has no such session")));
        }
        let limit = limit.clamp(1, PAGE);
        let fetch = PageMessages { sid: session.clone(), order, limit };
        let (http, session) = (Arc::clone(&self.http), session.clone());
        self.effects.run(
            async move { http.call(&fetch).await },
            move |state, answer: Result<MessagePage, Error>| {
                reply.send(answer.map(|page| state.open_page(&session, page, limit)));
            },
        );
    }

    fn open_page(&mut self, session: &Id, page: MessagePage, limit: u32) -> Page {
        let Some(entry) = self.sessions.get_mut(session) else {
            return Page { messages: Vec::new(), more: false };
        };
        let rows = page.messages.into_vec();
        let more = page.has_more.unwrap_or(false) || rows.len() >= limit as usize;
        let mut messages: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let mine = row.local_id.as_ref().is_some_and(|id| id.starts_with(&self.prefix));
                entry.open(session, row.seq, row.into(), mine)
            })
            .collect();
        messages.sort_by_key(|message| message.seq);
        Page { messages, more }
    }
}
