//! What links this machine to an account: keys, the server, and how they are come by.
//!
//! There is one key file (`STATE/account/key.json`), written whole when the machine is linked and deleted when it is
//! unlinked; nothing in it ever changes in between. A file that cannot be read is never replaced: it may hold the only
//! copy of an account.

mod file;
mod fresh;
mod linking;
mod pairing;
mod server;
mod settings;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use delight_crypto::{
    ContentPublic, ContentSecret, DataKey, Dialect, MasterSecret, SealingKey, SigningKey, wrapped,
};
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::{Id, KeyText};
use delight_transport::secret::Token;
use tokio::sync::watch;

pub(crate) use fresh::{bytes, fresh, hex};
pub(crate) use linking::Linking;
pub(crate) use server::{call, connect, login};
pub(crate) use settings::ServerSettings;

/// How this machine belongs to an account.
pub(crate) enum Account {
    /// It holds the account's own secret, and logs in with it.
    Secret(MasterSecret),
    /// A phone gave it the account's public content key and a token: it can give the account keys, and read nothing of
    /// the account that is not its own. When the server refuses the token, only a new pairing helps.
    Paired {
        /// Data keys are wrapped to it.
        content: ContentPublic,
        /// The server's.
        token: Token,
    },
}

/// The link of this machine to an account on a server.
pub(crate) struct Linked {
    /// The server's base URL.
    pub(crate) server: String,
    /// How the account derives its keys and seals.
    pub(crate) dialect: Dialect,
    /// What it has of the account.
    pub(crate) account: Account,
    /// This machine's id at the server, a UUIDv4 of its own.
    pub(crate) machine: Id,
    /// What seals this machine's metadata, state and calls, in dialects with data keys.
    pub(crate) machine_key: DataKey,
}

/// Keys are never printed.
impl std::fmt::Debug for Linked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Linked({}, {:?}, machine {})", self.server, self.dialect, self.machine)
    }
}

impl Linked {
    /// The account's public content key: its name between people, the same on every machine of it.
    pub(crate) fn content(&self) -> ContentPublic {
        match &self.account {
            Account::Secret(master) => ContentSecret::derive(master, self.dialect).public(),
            Account::Paired { content, .. } => *content,
        }
    }

    /// What logs in, when this machine can.
    pub(crate) fn signing(&self) -> Option<SigningKey> {
        match &self.account {
            Account::Secret(master) => Some(SigningKey::derive(master, self.dialect)),
            Account::Paired { .. } => None,
        }
    }

    /// What seals this machine's metadata, state and calls.
    pub(crate) fn machine_sealing(&self) -> SealingKey {
        match (&self.account, self.dialect) {
            (Account::Secret(master), Dialect::EarlyDelight) => SealingKey::legacy(master),
            (Account::Secret(master), Dialect::LateDelight) => SealingKey::master_envelope(master),
            _ => SealingKey::data(&self.machine_key),
        }
    }

    /// This machine's data key for the account's other members; none in dialects that seal machines with the secret.
    ///
    /// # Errors
    /// No randomness, or a content key nothing may be wrapped to.
    pub(crate) fn wrapped_machine_key(&self) -> Result<Option<KeyText>, Refusal> {
        match (&self.account, self.dialect) {
            (Account::Secret(_), Dialect::EarlyDelight | Dialect::LateDelight) => Ok(None),
            _ => self.wrap(&self.machine_key).map(Some),
        }
    }

    /// What seals a session whose data key is `key`.
    pub(crate) fn session_sealing(&self, key: &DataKey) -> SealingKey {
        match (&self.account, self.dialect) {
            (Account::Secret(master), Dialect::EarlyDelight) => SealingKey::legacy(master),
            _ => SealingKey::data(key),
        }
    }

    /// A session's data key for the account's other members; none in the dialect that has none.
    ///
    /// # Errors
    /// As [`Self::wrapped_machine_key`].
    pub(crate) fn wrapped_session_key(&self, key: &DataKey) -> Result<Option<KeyText>, Refusal> {
        match (&self.account, self.dialect) {
            (Account::Secret(_), Dialect::EarlyDelight) => Ok(None),
            _ => self.wrap(key).map(Some),
        }
    }

    fn wrap(&self, key: &DataKey) -> Result<KeyText, Refusal> {
        let failed =
            |reason: String| Refusal::new(Code::Internal, "a key cannot be shared with the account", reason);
        let text =
            wrapped::wrap(key, &self.content(), fresh()?, fresh()?).map_err(|e| failed(e.to_string()))?;
        KeyText::new(text).map_err(|e| failed(e.to_string()))
    }
}

/// Reads the key file; `None` when there is none: the machine belongs to no account.
///
/// # Errors
/// A file that cannot be read, with the reason and what to do. It is left as it is.
pub(crate) fn load(place: &Place) -> Result<Option<Linked>, Refusal> {
    file::read(place)
}

/// The keys of the running daemon: one owner of the key file, and whoever wants to know. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Inner>);

struct Inner {
    place: Place,
    /// Set while the file cannot be read; every change is refused with it.
    fault: Mutex<Option<Refusal>>,
    linked: watch::Sender<Option<Arc<Linked>>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({:?})", self.0.linked.borrow().as_deref())
    }
}

impl Keys {
    /// Reads the key file. One that cannot be read keeps the machine off the server, not its sessions from their owner:
    /// [`Self::fault`] says why until somebody puts it right and starts the daemon again.
    pub(crate) fn open(place: &Place) -> Self {
        let (linked, fault) = match load(place) {
            Ok(linked) => (linked.map(Arc::new), None),
            Err(refusal) => {
                tracing::error!(%refusal, fix = %refusal.fix, "the machine stays offline");
                (None, Some(refusal))
            }
        };
        let (linked, _) = watch::channel(linked);
        Self(Arc::new(Inner { place: place.clone(), fault: Mutex::new(fault), linked }))
    }

    /// The link, and every change of it: pairing and unpairing.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Linked>>> {
        self.0.linked.subscribe()
    }

    /// The link as it is.
    pub(crate) fn current(&self) -> Option<Arc<Linked>> {
        self.0.linked.borrow().clone()
    }

    /// Why the key file cannot be used, if it cannot.
    pub(crate) fn fault(&self) -> Option<Refusal> {
        self.fault_lock().clone()
    }

    fn fault_lock(&self) -> MutexGuard<'_, Option<Refusal>> {
        self.0.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses unless the machine is free to be linked.
    ///
    /// # Errors
    /// `conflict` when it is linked already; the fault of a key file that cannot be read.
    pub(crate) fn check_free(&self) -> Result<(), Refusal> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        match self.current() {
            None => Ok(()),
            Some(linked) => Err(Refusal::new(
                Code::Conflict,
                "this machine is linked to an account already",
                format!("the account is on {}", linked.server),
            )
            .fix("delightctl account show; to leave it: delightctl unpair")),
        }
    }

    /// Links the machine: the key file is durable before anybody is told. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Self::check_free`], and `storage`.
    pub(crate) fn link(&self, linked: Linked) -> Result<Arc<Linked>, Refusal> {
        // One at a time: the lock is held over the write.
        let fault = self.fault_lock();
        if let Some(fault) = fault.as_ref() {
            return Err(fault.clone());
        }
        file::create(&self.0.place, &linked)?;
        let linked = Arc::new(linked);
        self.0.linked.send_replace(Some(Arc::clone(&linked)));
        drop(fault);
        tracing::info!(server = %linked.server, machine = %linked.machine, "linked to an account");
        Ok(linked)
    }

    /// Unlinks the machine: the key file is gone for good before this returns. Blocks on the disk.
    ///
    /// # Errors
    /// `storage` when it cannot be deleted; the machine stays linked then.
    pub(crate) fn unlink(&self) -> Result<(), Refusal> {
        let fault = self.fault_lock();
        if let Some(fault) = fault.as_ref() {
            return Err(fault.clone());
        }
        file::delete(&self.0.place)?;
        self.0.linked.send_replace(None);
        drop(fault);
        tracing::info!("unlinked from the account");
        Ok(())
    }
}
