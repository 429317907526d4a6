//! Who is connected, who hears what, and who answers which method. Nothing here crosses accounts: every lookup starts
//! with one.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;

use crate::socket::peer::{Peer, Scope};
use crate::update::{Publication, Recipients};

/// Methods one socket may answer. A machine has some twenty, a session a dozen; a delight machine answers for all its
/// sessions on its own socket: this is enough for five hundred, in some two megabytes.
const METHODS_MAX: usize = 8_192;
/// Methods of all sockets of one account: eight such machines. However many sockets there are, names cost no more than
/// some twenty megabytes.
const ACCOUNT_METHODS_MAX: usize = 65_536;
/// How long a connected provider gets to name its methods before one it did not name counts as missing.
const SETTLING: Duration = Duration::from_secs(2);
/// Providers that left, remembered for each account: calls to them wait for their return.
const DEPARTED_MAX: usize = 4_096;
/// How long they are remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// All connected sockets.
#[derive(Default)]
pub(crate) struct Hub {
    accounts: Mutex<HashMap<String, Account>>,
}

#[derive(Default)]
struct Account {
    peers: Vec<Arc<Peer>>,
    /// Who answers a method: the newest registration is last and wins; when it leaves, the one before answers again.
    methods: HashMap<String, Vec<Arc<Peer>>>,
    /// What the methods of sockets that left began with (a machine's or session's id), and when they left.
    departed: HashMap<String, Instant>,
    /// Told when a method gets a provider.
    registered: Arc<Notify>,
}

/// Why there is nobody to call.
pub(crate) enum NoProvider {
    /// There will be none: a call now is refused.
    Never,
    /// One may come: wait for this, then look again.
    Perhaps(Arc<Notify>),
}

impl Hub {
    fn accounts(&self) -> std::sync::MutexGuard<'_, HashMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a socket in. `false`: its account has as many as it may.
    pub(crate) fn join(&self, peer: Arc<Peer>, sockets_max: usize) -> bool {
        let mut accounts = self.accounts();
        let account = accounts.entry(peer.account.clone()).or_default();
        if account.peers.len() >= sockets_max {
            return false;
        }
        account.peers.push(peer);
        true
    }

    /// A socket left: it hears and answers nothing any more.
    pub(crate) fn leave(&self, peer: &Arc<Peer>, now: Instant) {
        peer.closed();
        let mut accounts = self.accounts();
        let Some(account) = accounts.get_mut(&peer.account) else { return };
        account.peers.retain(|other| !Arc::ptr_eq(other, peer));
        let mut left = Vec::new();
        account.methods.retain(|method, providers| {
            if providers.iter().any(|other| Arc::ptr_eq(other, peer)) {
                providers.retain(|other| !Arc::ptr_eq(other, peer));
                left.push(provider_id(method).to_owned());
            }
            !providers.is_empty()
        });
        for id in left {
            if account.departed.len() < DEPARTED_MAX {
                account.departed.insert(id, now);
            }
        }
    }

    /// Sends a publication to everybody it is for.
    pub(crate) fn publish(&self, publication: Publication) {
        let Publication { account, to, skip, frame, expendable } = publication;
        let frame = Utf8Bytes::from(frame);
        let accounts = self.accounts();
        let Some(account) = accounts.get(&account) else { return };
        for peer in &account.peers {
            let hears = match (&peer.scope, &to) {
                (Scope::User, _) => true,
                (Scope::Session(id), Recipients::Session(wanted))
                | (Scope::Machine(id), Recipients::Machine(wanted)) => id == wanted,
                _ => false,
            };
            if !hears || skip == Some(peer.number) {
                continue;
            }
            if expendable {
                peer.send_expendable(frame.clone());
            } else {
                peer.send(frame.clone());
            }
        }
    }

    /// Whether the owner is looking at a client now. Only what a watcher said itself counts.
    pub(crate) fn is_watched(&self, account: &str) -> bool {
        self.accounts().get(account).is_some_and(|account| {
            account
                .peers
                .iter()
                .any(|peer| peer.scope == Scope::User && peer.watching.load(Ordering::Relaxed))
        })
    }

    /// A socket answers a method from now on. `false`: it, or its account, answers as many as it may.
    pub(crate) fn register(&self, peer: &Arc<Peer>, method: &str) -> bool {
        let mut accounts = self.accounts();
        let Some(account) = accounts.get_mut(&peer.account) else { return false };
        let is_mine = |other: &Arc<Peer>| Arc::ptr_eq(other, peer);
        if account.methods.len() >= ACCOUNT_METHODS_MAX && !account.methods.contains_key(method) {
            return false;
        }
        let providers = account.methods.entry(method.to_owned()).or_default();
        let before = providers.len();
        providers.retain(|other| !is_mine(other));
        // Counted at the socket: counting here would look through the methods of all the account's sockets.
        if providers.len() == before && peer.methods.fetch_add(1, Ordering::Relaxed) >= METHODS_MAX {
            peer.methods.fetch_sub(1, Ordering::Relaxed);
            if providers.is_empty() {
                account.methods.remove(method);
            }
            return false;
        }
        providers.push(Arc::clone(peer));
        account.departed.remove(provider_id(method));
        account.registered.notify_waiters();
        true
    }

    /// A socket no longer answers a method.
    pub(crate) fn unregister(&self, peer: &Arc<Peer>, method: &str) {
        let mut accounts = self.accounts();
        let Some(account) = accounts.get_mut(&peer.account) else { return };
        if let Some(providers) = account.methods.get_mut(method) {
            let before = providers.len();
            providers.retain(|other| !Arc::ptr_eq(other, peer));
            peer.methods.fetch_sub(before - providers.len(), Ordering::Relaxed);
            if providers.is_empty() {
                account.methods.remove(method);
            }
        }
    }

    /// Who answers a method.
    ///
    /// When nobody does, a provider is waited for only if there is reason to: it left less than `grace` ago, or it is
    /// connected and has not had time to name its methods. `expected` says that the caller knows another reason.
    pub(crate) fn provider(
        &self,
        account: &str,
        method: &str,
        expected: bool,
        grace: Duration,
        now: Instant,
    ) -> Result<Arc<Peer>, NoProvider> {
        let accounts = self.accounts();
        let Some(account) = accounts.get(account) else { return Err(NoProvider::Never) };
        if let Some(provider) = account.methods.get(method).and_then(|providers| providers.last()) {
            return Ok(Arc::clone(provider));
        }
        let id = provider_id(method);
        let mut connected = account
            .peers
            .iter()
            .filter(|peer| matches!(&peer.scope, Scope::Session(own) | Scope::Machine(own) if own == id));
        let newest = connected.by_ref().map(|peer| peer.since).max();
        let wait = match newest {
            Some(since) => now.saturating_duration_since(since) < SETTLING,
            None => {
                let left = account.departed.get(id);
                expected || left.is_some_and(|at| now.saturating_duration_since(*at) < grace)
            }
        };
        Err(if wait { NoProvider::Perhaps(Arc::clone(&account.registered)) } else { NoProvider::Never })
    }

    /// Forgets what is only remembered for a while.
    pub(crate) fn tidy(&self, now: Instant) {
        self.accounts().retain(|_, account| {
            account.departed.retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED);
            !account.peers.is_empty() || !account.departed.is_empty()
        });
    }

    /// How many sockets there are.
    pub(crate) fn sockets(&self) -> usize {
        self.accounts().values().map(|account| account.peers.len()).sum()
    }
}

/// The machine or session a method belongs to: what stands before the last colon.
fn provider_id(method: &str) -> &str {
    method.rsplit_once(':').map_or("", |(id, _)| id)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn peer(number: u64, account: &str, scope: Scope) -> Arc<Peer> {
        Arc::new(Peer::new(number, account.into(), scope, false, 10_000, CancellationToken::new()))
    }

    fn publication(to: Recipients, skip: Option<u64>) -> Publication {
        Publication { account: "a".into(), to, skip, frame: "x".into(), expendable: false }
    }

    #[test]
    fn everybody_hears_what_is_theirs_and_nothing_else() {
        let hub = Hub::default();
        let scopes = [
            Scope::User,
            Scope::Session("s".into()),
            Scope::Session("t".into()),
            Scope::Machine("m".into()),
            Scope::Machine("s".into()),
        ];
        let mut peers: Vec<_> = (0..).zip(scopes).map(|(number, scope)| peer(number, "a", scope)).collect();
        peers.push(peer(9, "b", Scope::User));
        for one in &peers {
            assert!(hub.join(Arc::clone(one), 10));
        }
        let hears = |publication| {
            hub.publish(publication);
            peers
                .iter()
                .filter(|peer| peer.next_frame().is_some())
                .map(|peer| peer.number)
                .collect::<Vec<_>>()
        };
        assert_eq!(hears(publication(Recipients::Watchers, None)), [0]);
        assert_eq!(hears(publication(Recipients::Session("s".into()), None)), [0, 1]);
        assert_eq!(hears(publication(Recipients::Session("s".into()), Some(1))), [0]);
        assert_eq!(hears(publication(Recipients::Machine("m".into()), None)), [0, 3]);
    }

    #[test]
    fn the_last_registration_answers_and_the_one_before_takes_over() {
        let hub = Hub::default();
        let now = Instant::now();
        let old = peer(1, "a", Scope::Machine("m".into()));
        let new = peer(2, "a", Scope::Machine("m".into()));
        for one in [&old, &new] {
            assert!(hub.join(Arc::clone(one), 10));
            assert!(hub.register(one, "m:ping"));
        }
        let who = || hub.provider("a", "m:ping", false, Duration::ZERO, now).ok().map(|peer| peer.number);
        assert_eq!(who(), Some(2));
        hub.leave(&old, now);
        assert_eq!(who(), Some(2), "a late goodbye of the old socket takes nothing from the new one");
        assert!(hub.join(Arc::clone(&old), 10));
        assert!(hub.register(&old, "m:ping"));
        assert_eq!(who(), Some(1));
        hub.leave(&old, now);
        assert_eq!(who(), Some(2));
        assert!(hub.provider("b", "m:ping", true, Duration::ZERO, now).is_err(), "another account");
    }

    #[test]
    fn one_socket_answers_a_bounded_number_of_methods() {
        let hub = Hub::default();
        let machine = peer(1, "a", Scope::Machine("m".into()));
        assert!(hub.join(Arc::clone(&machine), 10));
        for number in 0..METHODS_MAX {
            assert!(hub.register(&machine, &format!("m:{number}")));
        }
        assert!(!hub.register(&machine, "m:more"));
        assert!(hub.register(&machine, "m:0"), "one it answers already is not one more");
        hub.unregister(&machine, "m:more");
        assert!(!hub.register(&machine, "m:more"));
        hub.unregister(&machine, "m:0");
        assert!(hub.register(&machine, "m:more"));
        assert!(!hub.register(&machine, "m:0"));
    }

    #[test]
    fn one_account_answers_a_bounded_number_of_methods() {
        let hub = Hub::default();
        let sockets = ACCOUNT_METHODS_MAX / METHODS_MAX;
        for socket in 0..sockets {
            let machine = peer(socket as u64, "a", Scope::Machine(format!("m{socket}")));
            assert!(hub.join(Arc::clone(&machine), 100));
            for number in 0..METHODS_MAX {
                assert!(hub.register(&machine, &format!("m{socket}:{number}")));
            }
        }
        let last = peer(100, "a", Scope::Machine("last".into()));
        assert!(hub.join(Arc::clone(&last), 100));
        assert!(!hub.register(&last, "last:0"));
        assert!(hub.register(&last, "m0:0"), "one that is answered already is not one more");
        let other = peer(1_000, "b", Scope::Machine("m".into()));
        assert!(hub.join(Arc::clone(&other), 100));
        assert!(hub.register(&other, "m:0"), "another account");
    }

    #[test]
    fn a_call_waits_only_where_there_is_reason_to() {
        let hub = Hub::default();
        let watcher = peer(1, "a", Scope::User);
        let machine = peer(2, "a", Scope::Machine("m".into()));
        assert!(hub.join(watcher, 10) && hub.join(Arc::clone(&machine), 10));
        assert!(hub.register(&machine, "m:ping"));
        let now = Instant::now();
        let grace = Duration::from_secs(15);
        let waits = |method: &str, now| {
            matches!(hub.provider("a", method, false, grace, now), Err(NoProvider::Perhaps(_)))
        };
        assert!(!waits("x:ping", now), "never seen");
        assert!(waits("m:other", now), "may still be naming its methods");
        assert!(!waits("m:other", now + SETTLING), "has named them all");
        hub.leave(&machine, now);
        assert!(waits("m:ping", now + Duration::from_secs(14)));
        assert!(!waits("m:ping", now + Duration::from_secs(16)));
    }
}
