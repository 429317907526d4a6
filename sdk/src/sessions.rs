//! The account's sessions as the phone knows them.

use std::sync::Arc;

use delight_crypto::{ReplayGuard, SealingKey};
use delight_proto::sync::bounded::{Id, KeyText};
use delight_proto::sync::bounds;
use delight_proto::sync::ephemeral::Activity;
use delight_proto::sync::http::ListSessions;
use delight_proto::sync::row::SessionRow;
use delight_proto::sync::state::{AgentState, CompletedRequest, PermissionRequest, SessionMetadata};
use delight_proto::sync::update::SessionChange;

use crate::account::Account;
use crate::control::{Control, ControlInput, ControlState, Driver, Presence};
use crate::error::{Error, Kind};
use crate::event::PhoneEvent;
use crate::http::Http;
use crate::mail::Mail;
use crate::sealed::Kept;
use crate::state::{Listing, State};
use crate::timeline::Timeline;

/// Sealed messages of one session remembered, so that none is taken twice: 180 KB when full.
const REMEMBERED: usize = 2_048;
/// Our own calls to one session remembered, so that none comes back as something else.
const REMEMBERED_OWN: usize = 256;
/// Rows of one page of the list: the server's own limit.
const PAGE: u32 = 200;

/// A session.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The server's id of it.
    pub id: Id,
    /// Whether it is alive.
    pub presence: Presence,
    /// Who drives.
    pub control: Control,
    /// Whether the phone may send messages.
    pub can_send: bool,
    /// Whether the phone may take control.
    pub can_take_control: bool,
    /// Whether a turn runs, where it says so.
    pub thinking: Option<bool>,
    /// What it is, when that could be read.
    pub metadata: Option<SessionMetadata>,
    /// What its agent waits for and what was decided, when that could be read.
    pub agent_state: Option<AgentState>,
    /// Why metadata or state could not be read.
    pub unreadable: Option<Error>,
    /// The last message's number.
    pub last_seq: u64,
    /// When it was made, Unix milliseconds of the server's clock.
    pub created_at: u64,
    /// When it was last heard of, Unix milliseconds of the server's clock.
    pub active_at: u64,
}

impl Session {
    /// Permissions the agent waits for.
    pub fn pending(&self) -> impl Iterator<Item = (&Id, &PermissionRequest)> {
        self.agent_state.iter().filter_map(|state| state.requests.as_ref()).flatten()
    }

    /// Permissions that were decided, as far back as the machine keeps them.
    pub fn decided(&self) -> impl Iterator<Item = (&Id, &CompletedRequest)> {
        self.agent_state.iter().filter_map(|state| state.completed_requests.as_ref()).flatten()
    }
}

/// A session as the dispatcher keeps it.
pub(crate) struct SessionEntry {
    pub(crate) key: Result<Arc<SealingKey>, Error>,
    wrapped: Option<KeyText>,
    pub(crate) control: ControlState,
    pub(crate) guard: ReplayGuard,
    /// None while nobody follows it.
    pub(crate) timeline: Option<Timeline>,
    pub(crate) mail: Mail,
    metadata: Kept<SessionMetadata>,
    agent_state: Kept<AgentState>,
    thinking: Option<bool>,
    pub(crate) last_seq: u64,
    created_at: u64,
    active_at: u64,
}

impl SessionEntry {
    fn new(account: &Account, row: &SessionRow) -> Self {
        let mut entry = Self {
            key: account.sealing(row.data_encryption_key.as_ref()).map(Arc::new),
            wrapped: row.data_encryption_key.clone(),
            control: ControlState::default(),
            guard: ReplayGuard::with_capacity(REMEMBERED, REMEMBERED_OWN),
            timeline: None,
            mail: Mail::default(),
            metadata: Kept::default(),
            agent_state: Kept::default(),
            thinking: None,
            last_seq: 0,
            created_at: row.created_at,
            active_at: 0,
        };
        entry.take(account, row);
        entry
    }

    fn take(&mut self, account: &Account, row: &SessionRow) {
        if self.key.is_err() && self.wrapped != row.data_encryption_key {
            self.key = account.sealing(row.data_encryption_key.as_ref()).map(Arc::new);
            self.wrapped.clone_from(&row.data_encryption_key);
        }
        self.metadata.take(&self.key, row.metadata_version, Some(&row.metadata));
        self.agent_state.take(&self.key, row.agent_state_version, row.agent_state.as_ref());
        self.last_seq = self.last_seq.max(row.seq);
        self.active_at = row.active_at;
        self.learn(if row.active { Presence::Online } else { Presence::Offline });
        self.learn_driver();
    }

    fn change(&mut self, change: &SessionChange) {
        if let Some(metadata) = &change.metadata {
            self.metadata.take(&self.key, metadata.version, metadata.value.as_ref());
        }
        if let Some(state) = &change.agent_state {
            self.agent_state.take(&self.key, state.version, state.value.as_ref());
            self.learn_driver();
        }
    }

    fn learn(&mut self, presence: Presence) {
        self.control = self.control.reduce(ControlInput::Presence(presence));
    }

    fn learn_driver(&mut self) {
        let local =
            self.agent_state.value.as_ref().and_then(|state| state.controlled_by_user).unwrap_or(false);
        let driver = if local { Driver::Local } else { Driver::Remote };
        self.control = self.control.reduce(ControlInput::Driver(driver));
    }

    fn view(&self, id: &Id) -> Session {
        let unreadable =
            self.key.as_ref().err().or(self.metadata.error.as_ref()).or(self.agent_state.error.as_ref());
        Session {
            id: id.clone(),
            presence: self.control.presence(),
            control: self.control.control(),
            can_send: self.control.can_send(),
            can_take_control: self.control.can_take_control(),
            thinking: self.thinking,
            metadata: self.metadata.value.clone(),
            agent_state: self.agent_state.value.clone(),
            unreadable: unreadable.cloned(),
            last_seq: self.last_seq,
            created_at: self.created_at,
            active_at: self.active_at,
        }
    }
}

/// All sessions, page by page; from a server that has no pages, the newest.
async fn list(http: &Http) -> Result<Vec<SessionRow>, Error> {
    let mut rows: Vec<SessionRow> = Vec::new();
    let mut cursor = None;
    loop {
        let page = match http.call(&ListSessions::Page { cursor: cursor.clone(), limit: PAGE }).await {
            Err(error) if error.kind == Kind::NotFound && cursor.is_none() => {
                http.call(&ListSessions::Newest).await?
            }
            answer => answer?,
        };
        let next =
            page.next_cursor.filter(|next| Some(next) != cursor.as_ref() && page.has_next != Some(false));
        rows.extend(page.sessions.into_vec());
        if rows.len() > bounds::SESSIONS {
            let reason = format!("more than {} sessions", bounds::SESSIONS);
            return Err(Error::new(Kind::TooLarge, "listing sessions", reason));
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(rows),
        }
    }
}

impl State {
    /// All sessions, by id.
    pub(crate) fn session_views(&self) -> Vec<Session> {
        self.sessions.iter().map(|(id, entry)| entry.view(id)).collect()
    }

    /// One session.
    pub(crate) fn session_view(&self, id: &Id) -> Option<Session> {
        self.sessions.get(id).map(|entry| entry.view(id))
    }

    pub(crate) fn fetch_sessions(&self) {
        let http = Arc::clone(&self.http);
        self.effects.run(async move { list(&http).await }, |state, answer| {
            let answer = answer.map(|rows| state.take_sessions(&rows));
            state.listed(Listing::Sessions, &answer);
        });
    }

    fn take_sessions(&mut self, rows: &[SessionRow]) {
        let there: std::collections::BTreeSet<&Id> = rows.iter().map(|row| &row.id).collect();
        let gone: Vec<Id> = self.sessions.keys().filter(|id| !there.contains(id)).cloned().collect();
        for id in gone {
            self.forget_session(&id);
        }
        let account = self.account.clone();
        for row in rows {
            if self.sessions.contains_key(&row.id) {
                self.with_session(&row.id, |entry| entry.take(&account, row));
            } else {
                let entry = SessionEntry::new(&account, row);
                self.tell(PhoneEvent::Session(Box::new(entry.view(&row.id))));
                self.sessions.insert(row.id.clone(), entry);
            }
        }
    }

    pub(crate) fn change_session(&mut self, change: &SessionChange) {
        if !self.with_session(&change.id, |entry| entry.change(change)) {
            self.refresh_again(Listing::Sessions);
        }
    }

    pub(crate) fn session_activity(&mut self, activity: &Activity) {
        let known = self.with_session(&activity.id, |entry| {
            entry.learn(if activity.active { Presence::Online } else { Presence::Offline });
            entry.active_at = entry.active_at.max(activity.active_at);
            entry.thinking = if activity.active { activity.thinking.or(entry.thinking) } else { None };
        });
        if !known {
            self.refresh_again(Listing::Sessions);
        }
    }

    pub(crate) fn control_session(&mut self, id: &Id, input: ControlInput) {
        self.with_session(id, |entry| entry.control = entry.control.reduce(input));
    }

    pub(crate) fn lose_sessions(&mut self) {
        for id in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.with_session(&id, |entry| {
                entry.learn(Presence::Unknown);
                entry.thinking = None;
            });
        }
    }

    pub(crate) fn forget_session(&mut self, id: &Id) {
        // Messages still waiting are answered by the drop of their replies' owner.
        if let Some(entry) = self.sessions.remove(id) {
            entry.mail.give_up(&Error::new(Kind::NotFound, "a session", "it was deleted"));
            self.tell(PhoneEvent::SessionGone(id.clone()));
        }
    }

    /// Changes a session and tells of it when there is something to see; false when it is not known.
    pub(crate) fn with_session(&mut self, id: &Id, change: impl FnOnce(&mut SessionEntry)) -> bool {
        let Some(entry) = self.sessions.get_mut(id) else { return false };
        let before = entry.view(id);
        change(entry);
        let after = entry.view(id);
        if before != after {
            self.tell(PhoneEvent::Session(Box::new(after)));
        }
        true
    }
}
