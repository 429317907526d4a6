//! A session's messages: heard live and caught up with, and read back.

use std::sync::Arc;

use delight_crypto::replay::Delivery;
use delight_proto::sync::bounded::Id;
use delight_proto::sync::http::{MessagePage, PageMessages, PageOrder};
use delight_proto::sync::message::{Incoming, NewMessage};
use delight_proto::sync::record::Record;
use tokio::time::sleep;

use crate::dispatcher::Reply;
use crate::error::{Error, Kind};
use crate::event::PhoneEvent;
use crate::mail::pause;
use crate::sessions::SessionEntry;
use crate::state::{Listing, State};
use crate::timeline::{Step, Timeline};

/// Rows of one page. Fifty of the largest messages fit the bound of an answer.
pub(crate) const PAGE: u32 = 50;

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
