//! The keys of this machine's sessions, and what belongs to each key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use delight_core::uplink::{Projection, Stored};
use delight_crypto::{DataKey, Fresh, Sealed, SealingKey};
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::Object;
use delight_proto::sync::bounded::{Hidden, Id, SealedText};
use delight_proto::sync::state;

use super::guard::Guard;
use crate::keys::{Linked, fresh};
use crate::store::{LinkRecord, Store, Write};

/// What seals and opens one scope's content: the machine's or a session's.
#[derive(Debug)]
pub(super) struct Scope {
    key: SealingKey,
    /// Against repetition.
    pub(super) guard: Guard,
}

impl Scope {
    /// Seals, with fresh randomness.
    ///
    /// # Errors
    /// `too-large`, or no randomness.
    pub(super) fn seal(&self, plaintext: &[u8]) -> Result<Sealed, Refusal> {
        let nonce: Fresh<24> = fresh()?;
        self.key
            .seal(plaintext, nonce)
            .map_err(|e| Refusal::new(Code::TooLarge, "a value cannot be sealed", e.to_string()))
    }

    /// Seals a state.
    ///
    /// # Errors
    /// `too-large`, or no randomness.
    pub(super) fn seal_state(&self, value: &Object) -> Result<SealedText, Refusal> {
        text(&self.seal(&state::plaintext(value)?)?)
    }

    /// Opens a state; `None` when it cannot be read: another key's, or no JSON.
    pub(super) fn open_state(&self, sealed: &SealedText) -> Option<Object> {
        let opened = self.key.open_base64(sealed.as_str()).ok()?;
        state::open(opened.json()).ok()
    }

    /// The key itself.
    pub(super) fn key(&self) -> &SealingKey {
        &self.key
    }
}

/// A sealed value as it travels.
///
/// # Errors
/// `too-large`.
pub(super) fn text(sealed: &Sealed) -> Result<SealedText, Refusal> {
    SealedText::new(sealed.to_base64())
        .map_err(|e| Refusal::new(Code::TooLarge, "a sealed value is too long", e.to_string()))
}

/// One session's key and what is kept with it.
#[derive(Debug)]
pub(super) struct SessionKeys {
    data: DataKey,
    /// What seals and opens its content.
    pub(super) scope: Scope,
    /// How far its events have been made into records.
    pub(super) projection: Mutex<Option<Projection>>,
}

/// All keys of one link.
#[derive(Debug)]
pub(super) struct Vault {
    place: Place,
    store: Store,
    /// The link.
    pub(super) linked: Arc<Linked>,
    /// The machine's own.
    pub(super) machine: Scope,
    sessions: Mutex<HashMap<SessionId, Arc<SessionKeys>>>,
    /// What was stored when the link began, until each session is seen.
    found: Mutex<HashMap<SessionId, LinkRecord>>,
}

impl Vault {
    /// Reads what is kept of the links of all sessions.
    ///
    /// # Errors
    /// `storage`.
    pub(super) async fn open(place: Place, store: Store, linked: Arc<Linked>) -> Result<Self, Refusal> {
        let of = name_of(&linked);
        let mut found: HashMap<SessionId, LinkRecord> = store.links().await?.into_iter().collect();
        found.retain(|_, link| link.of == of);
        let guard = Guard::new(place.account().join("replay").join(linked.machine.as_str()));
        let machine = Scope { key: linked.machine_sealing(), guard };
        Ok(Self { place, store, linked, machine, sessions: Mutex::default(), found: Mutex::new(found) })
    }

    /// What was stored of a session's link before this daemon.
    pub(super) fn stored(&self, id: SessionId) -> Option<Stored> {
        Some(lock(&self.found).get(&id)?.stored.clone())
    }

    /// Sessions the server knew before this daemon, with its ids.
    pub(super) fn known(&self) -> Vec<(SessionId, Id)> {
        let found = lock(&self.found);
        let known = found.iter().filter_map(|(id, link)| Some((*id, link.stored.server_id.clone()?)));
        known.collect()
    }

    /// The session's keys, if it has any yet.
    pub(super) fn session(&self, id: SessionId) -> Option<Arc<SessionKeys>> {
        if let Some(keys) = lock(&self.sessions).get(&id) {
            return Some(Arc::clone(keys));
        }
        let key = DataKey::from_base64(lock(&self.found).get(&id)?.key.expose()).ok()?;
        Some(self.keep(id, key))
    }

    /// The session's keys, made and durable when it has none yet.
    ///
    /// # Errors
    /// `storage`, or no randomness.
    pub(super) async fn session_or_new(&self, id: SessionId) -> Result<Arc<SessionKeys>, Refusal> {
        if let Some(keys) = self.session(id) {
            return Ok(keys);
        }
        let data = DataKey::generate(fresh()?);
        // Before anything is sealed with it: what the server has and nobody can open is lost.
        self.write(id, &data, Stored::default()).await?;
        Ok(self.keep(id, data))
    }

    /// Keeps how far a session's link has got.
    ///
    /// # Errors
    /// `storage`; the same is sent or delivered again then, and recognised.
    pub(super) async fn save(&self, id: SessionId, stored: Stored) -> Result<(), Refusal> {
        match self.session(id) {
            Some(keys) => self.write(id, &keys.data, stored).await,
            None => Ok(()),
        }
    }

    async fn write(&self, id: SessionId, data: &DataKey, stored: Stored) -> Result<(), Refusal> {
        let key = Hidden::new(data.expose_base64().to_string());
        let link = LinkRecord { of: name_of(&self.linked), key, stored };
        let written = self.store.commit(id, vec![Write::Link(Box::new(link))]).await;
        written.map_err(|failed| failed.refusal)
    }

    fn keep(&self, id: SessionId, data: DataKey) -> Arc<SessionKeys> {
        let scope = Scope {
            key: self.linked.session_sealing(&data),
            guard: Guard::new(self.place.session(id).join("replay")),
        };
        let keys = Arc::new(SessionKeys { data, scope, projection: Mutex::new(None) });
        // Two at once make the same of the same stored key; the first one stays.
        Arc::clone(lock(&self.sessions).entry(id).or_insert(keys))
    }

    /// A session is forgotten.
    pub(super) fn forget(&self, id: SessionId) {
        lock(&self.sessions).remove(&id);
        lock(&self.found).remove(&id);
    }

    /// Where the daemon keeps its things.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

impl SessionKeys {
    /// The data key, for wrapping it to the account.
    pub(super) fn data(&self) -> &DataKey {
        &self.data
    }
}

/// Which account and machine a link is to.
fn name_of(linked: &Linked) -> String {
    format!("{} {}", linked.server, linked.machine)
}

/// Nothing that can panic is done while one of these is held; if it were, the table is still a table.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
