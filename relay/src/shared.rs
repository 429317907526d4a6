//! What every request and every socket works with, and how presence reaches database and watchers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::challenge::Challenges;
use crate::clock;
use crate::config::Config;
use crate::hub::Hub;
use crate::limit::Limiter;
use crate::presence::{Heard, Key, Kind, Presence, State, Voucher};
use crate::socket::peer::Peer;
use crate::store::{Store, StoreError, Write, machine, object, session};
use crate::token::Tokens;
use crate::update::{Ephemeral, Publication, Recipients};

/// Sockets that may be waiting to log in at once.
const LOGINS: usize = 1_000;

/// The relay's parts.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) hub: Arc<Hub>,
    pub(crate) tokens: Tokens,
    pub(crate) challenges: Challenges,
    pub(crate) by_address: Limiter<std::net::IpAddr>,
    pub(crate) by_account: Limiter<String>,
    /// One for each socket there may be.
    pub(crate) places: Arc<Semaphore>,
    /// One for each socket that may be waiting to log in. Strangers who open sockets and say nothing take turns here.
    pub(crate) logins: Semaphore,
    presence: Arc<Mutex<Presence>>,
    next_socket: AtomicU64,
}

impl Shared {
    pub(crate) fn new(config: Config, store: Store, hub: Arc<Hub>, tokens: Tokens) -> Self {
        Self {
            by_address: Limiter::new(config.limits.anonymous_per_second),
            by_account: Limiter::new(config.limits.account_per_second),
            presence: Arc::new(Mutex::new(Presence::new(config.presence.clone()))),
            places: Arc::new(Semaphore::new(config.limits.connections)),
            logins: Semaphore::new(LOGINS),
            config,
            store,
            hub,
            tokens,
            challenges: Challenges::default(),
            next_socket: AtomicU64::new(1),
        }
    }

    pub(crate) fn next_socket(&self) -> u64 {
        self.next_socket.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads who was present when the relay last ran.
    pub(crate) async fn restore_presence(&self) -> Result<(), StoreError> {
        let keys = self.store.read(object::all_active).await?;
        self.presence().restore(keys, Instant::now());
        Ok(())
    }

    /// A heartbeat came in over this socket. Which time it claims is not asked: that it arrived is what counts, and a
    /// machine with a wrong clock is present too.
    pub(crate) async fn alive(
        &self,
        peer: &Peer,
        kind: Kind,
        id: String,
        thinking: bool,
    ) -> Result<(), StoreError> {
        let key = Key { account: peer.account.clone(), kind, id };
        let from = Voucher { socket: peer.number, since: peer.since };
        let heard = self.presence().alive(&key, from, thinking, Instant::now());
        match heard {
            Heard::Ignored | Heard::Quiet => Ok(()),
            Heard::Tell => {
                self.hub.publish(activity(&key, true, thinking, clock::now_ms())?);
                Ok(())
            }
            Heard::Save => self.settle(key).await,
            Heard::Unknown => {
                let presence = Arc::clone(&self.presence);
                let look_up = move |write: &mut Write<'_>| {
                    if object::exists(write.db, key.kind, &key.account, &key.id)? {
                        lock(&presence).admit(key.clone(), Some(from), thinking, Instant::now());
                        save(write, &presence, &key)?;
                    }
                    Ok(())
                };
                self.store.submit(look_up, |result| log_failure(&result)).await
            }
        }
    }

    /// A session ended, as it says itself or as its owner wants. `false`: it is not this account's.
    pub(crate) async fn end_session(&self, account: &str, id: &str) -> Result<bool, StoreError> {
        let key = Key { account: account.to_owned(), kind: Kind::Session, id: id.to_owned() };
        let presence = Arc::clone(&self.presence);
        self.store
            .write(move |write| {
                let ours = object::exists(write.db, key.kind, &key.account, &key.id)?;
                if ours {
                    lock(&presence).end(&key, Instant::now());
                    save(write, &presence, &key)?;
                }
                Ok(ours)
            })
            .await
    }

    /// A session was just made: it counts as present until it is given up.
    pub(crate) fn began(&self, account: &str, id: &str) {
        let key = Key { account: account.to_owned(), kind: Kind::Session, id: id.to_owned() };
        self.presence().admit(key, None, false, Instant::now());
    }

    /// Deletes a session and everything of it. `false`: it is not this account's.
    pub(crate) async fn delete_session(&self, account: String, id: String) -> Result<bool, StoreError> {
        let presence = Arc::clone(&self.presence);
        self.store
            .write(move |write| {
                let deleted = session::delete(write, &account, &id)?;
                lock(&presence).forget(&Key { account, kind: Kind::Session, id });
                Ok(deleted)
            })
            .await
    }

    /// Forgets a machine. `false`: it is not this account's.
    pub(crate) async fn delete_machine(&self, account: String, id: String) -> Result<bool, StoreError> {
        let presence = Arc::clone(&self.presence);
        self.store
            .write(move |write| {
                let deleted = machine::delete(write, &account, &id)?;
                lock(&presence).forget(&Key { account, kind: Kind::Machine, id });
                Ok(deleted)
            })
            .await
    }

    /// Deletes what is older than its owner wants to keep. Returns how many sessions that were.
    pub(crate) async fn expire(&self, keep_days: u32) -> Result<usize, StoreError> {
        // A batch at a time, so that nobody waits long behind it.
        const BATCH: i64 = 16;
        let mut total = 0;
        loop {
            let before = clock::now_ms() - i64::from(keep_days) * 86_400_000;
            let expired = self.store.write(move |write| session::expire(write, before, BATCH)).await?;
            if expired.is_empty() {
                return Ok(total);
            }
            total += expired.len();
        }
    }

    /// A socket closed.
    pub(crate) async fn left(&self, peer: &Arc<Peer>, on_purpose: bool) {
        let now = Instant::now();
        self.hub.leave(peer, now);
        self.presence().left(peer.number, on_purpose, now);
        if on_purpose {
            self.lapse().await;
        }
    }

    /// Writes down and tells what stopped being present.
    pub(crate) async fn lapse(&self) {
        let lapsed = self.presence().lapsed(Instant::now());
        for key in lapsed {
            if let Err(why) = self.settle(key).await {
                tracing::warn!(%why, "that something is gone could not be recorded");
            }
        }
    }

    /// Writes down and tells how things are with this one when its turn comes. Two of these in any order end the same.
    async fn settle(&self, key: Key) -> Result<(), StoreError> {
        let presence = Arc::clone(&self.presence);
        self.store.submit(move |write| save(write, &presence, &key), |result| log_failure(&result)).await
    }
}

fn lock(presence: &Mutex<Presence>) -> MutexGuard<'_, Presence> {
    presence.lock().unwrap_or_else(PoisonError::into_inner)
}

fn log_failure(result: &Result<(), StoreError>) {
    if let Err(why) = result {
        tracing::warn!(%why, "presence could not be recorded");
    }
}

fn save(write: &mut Write<'_>, presence: &Mutex<Presence>, key: &Key) -> Result<(), StoreError> {
    let State { active, thinking, heard } = lock(presence).state(key);
    let ago = |heard: Instant| i64::try_from(heard.elapsed().as_millis()).unwrap_or(0);
    let heard_at = heard.map(|heard| write.now - ago(heard));
    if let Some(active_at) = object::set_active(write, key, active, heard_at)? {
        write.tell(activity(key, active, thinking, active_at)?);
    }
    Ok(())
}

fn activity(key: &Key, active: bool, thinking: bool, active_at: i64) -> Result<Publication, StoreError> {
    let id = &key.id;
    let body = match key.kind {
        Kind::Session => Ephemeral::Activity { id, active, active_at, thinking },
        Kind::Machine => Ephemeral::MachineActivity { id, active, active_at },
    };
    Publication::ephemeral(&key.account, Recipients::Watchers, &body)
}
