//! Who is there. Pure: time comes in, changes come out.
//!
//! A session or machine is present while something vouches for it: a socket that sent its heartbeat (or, for a machine,
//! is its socket). It stops being present when it says so, when its last voucher has been gone for a while, or when it
//! has been silent for long. A late goodbye of an old socket changes nothing while a newer one vouches.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::config;

/// How long heartbeats of sockets from before an end are ignored: those that were still on their way. A socket that
/// connected afterwards is a new start and counts at once.
const ECHO: Duration = Duration::from_secs(10);
/// Unchanged presence is passed on this often at most, however often it is affirmed.
const REPEAT: Duration = Duration::from_secs(5);
/// How often the time something was last there is written down.
const SAVE: Duration = Duration::from_secs(60);

/// Sessions and machines alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Session,
    Machine,
}

/// One session or machine of one account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) account: String,
    pub(crate) kind: Kind,
    pub(crate) id: String,
}

/// Who sent a heartbeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voucher {
    pub(crate) socket: u64,
    pub(crate) since: Instant,
}

/// What to do about a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Not known to be this account's: look it up, then [`Presence::admit`].
    Unknown,
    /// An echo of something that ended.
    Ignored,
    /// Nothing new.
    Quiet,
    /// Tell the watchers.
    Tell,
    /// Write it down, then tell the watchers.
    Save,
}

/// How things are with one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    pub(crate) active: bool,
    pub(crate) thinking: bool,
    /// Its last sign of life, where this run of the relay has heard one.
    pub(crate) heard: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    active: bool,
    thinking: bool,
    /// Last sign of life. None since a restart of the relay: then the database knows better.
    heard: Option<Instant>,
    vouchers: Vec<u64>,
    /// Nothing vouches: it is given up at this time.
    alone_until: Option<Instant>,
    ended: Option<Instant>,
    told: Instant,
    saved: Instant,
}

/// Everything that is or was just present.
#[derive(Debug)]
pub(crate) struct Presence {
    rules: config::Presence,
    entries: HashMap<Key, Entry>,
}

impl Presence {
    pub(crate) fn new(rules: config::Presence) -> Self {
        Self { rules, entries: HashMap::new() }
    }

    /// These were present before the relay restarted. They get time to come back.
    pub(crate) fn restore(&mut self, keys: impl IntoIterator<Item = Key>, now: Instant) {
        let until = now + self.rules.restart;
        self.entries.extend(keys.into_iter().map(|key| {
            let entry = Entry { heard: None, alone_until: Some(until), ..Entry::new(now) };
            (key, entry)
        }));
    }

    /// A heartbeat came in.
    pub(crate) fn alive(&mut self, key: &Key, from: Voucher, thinking: bool, now: Instant) -> Heard {
        let Some(entry) = self.entries.get_mut(key) else { return Heard::Unknown };
        if let Some(ended) = entry.ended
            && from.since < ended
            && now.saturating_duration_since(ended) < ECHO
        {
            return Heard::Ignored;
        }
        let returned = !entry.active;
        let changed = returned || entry.thinking != thinking;
        entry.active = true;
        entry.thinking = thinking;
        entry.heard = Some(now);
        entry.ended = None;
        entry.alone_until = None;
        if !entry.vouchers.contains(&from.socket) {
            entry.vouchers.push(from.socket);
        }
        let due = |since: Instant, every| now.saturating_duration_since(since) >= every;
        if returned || due(entry.saved, SAVE) {
            entry.saved = now;
            entry.told = now;
            Heard::Save
        } else if changed || due(entry.told, REPEAT) {
            entry.told = now;
            Heard::Tell
        } else {
            Heard::Quiet
        }
    }

    /// It is this account's and is present from now on, as this socket says (or because it was just made).
    pub(crate) fn admit(&mut self, key: Key, from: Option<Voucher>, thinking: bool, now: Instant) {
        let alone_until = from.is_none().then(|| now + self.rules.silence);
        let entry = self.entries.entry(key).or_insert_with(|| Entry { alone_until, ..Entry::new(now) });
        entry.active = true;
        entry.thinking = thinking;
        entry.heard = Some(now);
        if let Some(from) = from {
            entry.alone_until = None;
            if !entry.vouchers.contains(&from.socket) {
                entry.vouchers.push(from.socket);
            }
        }
    }

    /// It said that it ends, or its owner put it away.
    pub(crate) fn end(&mut self, key: &Key, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry::new(now));
        entry.active = false;
        entry.thinking = false;
        entry.ended = Some(now);
        entry.vouchers.clear();
        entry.alone_until = None;
    }

    /// A socket is gone. A machine whose socket said goodbye is gone with it; everything else may come back.
    pub(crate) fn left(&mut self, socket: u64, on_purpose: bool, now: Instant) {
        let reconnect = self.rules.reconnect;
        for (key, entry) in &mut self.entries {
            if !entry.vouchers.contains(&socket) {
                continue;
            }
            entry.vouchers.retain(|other| *other != socket);
            if entry.vouchers.is_empty() {
                let patience =
                    if on_purpose && key.kind == Kind::Machine { Duration::ZERO } else { reconnect };
                entry.alone_until = Some(now + patience);
            }
        }
    }

    /// What stopped being present by now. Also forgets what has long not been.
    pub(crate) fn lapsed(&mut self, now: Instant) -> Vec<Key> {
        let mut lapsed = Vec::new();
        self.entries.retain(|key, entry| {
            if entry.active {
                let alone = entry.alone_until.is_some_and(|until| until <= now);
                // What nothing vouches for has its own time, so its silence says nothing more.
                let silent = entry.alone_until.is_none()
                    && entry
                        .heard
                        .is_some_and(|heard| now.saturating_duration_since(heard) >= self.rules.silence);
                if alone || silent {
                    entry.active = false;
                    entry.thinking = false;
                    entry.vouchers.clear();
                    entry.alone_until = None;
                    entry.saved = now;
                    lapsed.push(key.clone());
                }
                return true;
            }
            let last = entry.ended.unwrap_or(entry.saved).max(entry.saved);
            now.saturating_duration_since(last) < SAVE
        });
        lapsed
    }

    /// How things are with it. What is not known is not present.
    pub(crate) fn state(&self, key: &Key) -> State {
        self.entries.get(key).map_or_else(State::default, |entry| State {
            active: entry.active,
            thinking: entry.thinking,
            heard: entry.heard,
        })
    }

    /// It was deleted.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.entries.remove(key);
    }
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self {
            active: true,
            thinking: false,
            heard: Some(now),
            vouchers: Vec::new(),
            alone_until: None,
            ended: None,
            told: now,
            saved: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key { account: "a".into(), kind: Kind::Session, id: "s".into() }
    }

    fn machine() -> Key {
        Key { kind: Kind::Machine, ..key() }
    }

    fn flags(presence: &Presence) -> (bool, bool) {
        let state = presence.state(&key());
        (state.active, state.thinking)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn present(start: Instant) -> (Presence, Voucher) {
        let mut presence = Presence::new(config::Presence::default());
        let from = Voucher { socket: 1, since: start };
        assert_eq!(presence.alive(&key(), from, false, start), Heard::Unknown);
        presence.admit(key(), Some(from), false, start);
        (presence, from)
    }

    #[test]
    fn heartbeats_are_thinned_and_changes_are_not() {
        let start = Instant::now();
        let (mut presence, from) = present(start);
        assert_eq!(presence.alive(&key(), from, false, start + seconds(2)), Heard::Quiet);
        assert_eq!(presence.alive(&key(), from, true, start + seconds(3)), Heard::Tell);
        assert_eq!(flags(&presence), (true, true));
        assert_eq!(presence.alive(&key(), from, true, start + seconds(4)), Heard::Quiet);
        assert_eq!(presence.alive(&key(), from, true, start + seconds(9)), Heard::Tell);
        assert_eq!(presence.alive(&key(), from, true, start + seconds(61)), Heard::Save);
    }

    #[test]
    fn a_late_goodbye_of_an_old_socket_changes_nothing() {
        let start = Instant::now();
        let (mut presence, _) = present(start);
        let newer = Voucher { socket: 2, since: start + seconds(5) };
        presence.alive(&key(), newer, false, start + seconds(6));
        presence.left(1, false, start + seconds(7));
        assert!(presence.lapsed(start + seconds(60)).is_empty());
        presence.left(2, false, start + seconds(61));
        assert!(presence.lapsed(start + seconds(75)).is_empty(), "it may come back");
        assert_eq!(presence.lapsed(start + seconds(76)), [key()]);
        assert_eq!(flags(&presence), (false, false));
    }

    #[test]
    fn silence_is_not_presence() {
        let start = Instant::now();
        let (mut presence, _) = present(start);
        assert!(presence.lapsed(start + seconds(119)).is_empty());
        assert_eq!(presence.lapsed(start + seconds(120)), [key()]);
        assert!(presence.lapsed(start + seconds(121)).is_empty(), "told once");
    }

    #[test]
    fn after_an_end_old_sockets_are_echoes_and_new_ones_are_a_start() {
        let start = Instant::now();
        let (mut presence, from) = present(start);
        presence.end(&key(), start + seconds(10));
        assert_eq!(presence.alive(&key(), from, false, start + seconds(11)), Heard::Ignored);
        assert_eq!(flags(&presence), (false, false));
        let resumed = Voucher { socket: 2, since: start + seconds(12) };
        assert_eq!(presence.alive(&key(), resumed, false, start + seconds(12)), Heard::Save);
        assert_eq!(flags(&presence), (true, false));
        presence.end(&key(), start + seconds(20));
        assert_eq!(presence.alive(&key(), from, false, start + seconds(31)), Heard::Save, "it does live on");
    }

    #[test]
    fn a_machine_that_says_goodbye_is_gone_at_once() {
        let start = Instant::now();
        let mut presence = Presence::new(config::Presence::default());
        presence.admit(machine(), Some(Voucher { socket: 1, since: start }), false, start);
        presence.left(1, true, start + seconds(1));
        assert_eq!(presence.lapsed(start + seconds(1)), [machine()]);
    }

    #[test]
    fn after_a_restart_everything_gets_time_to_come_back() {
        let start = Instant::now();
        let mut presence = Presence::new(config::Presence::default());
        presence.restore([key(), machine()], start);
        let from = Voucher { socket: 1, since: start };
        presence.alive(&machine(), from, false, start + seconds(30));
        assert!(presence.lapsed(start + seconds(59)).is_empty());
        assert_eq!(presence.lapsed(start + seconds(60)), [key()]);
    }

    #[test]
    fn what_is_long_gone_is_forgotten() {
        let start = Instant::now();
        let (mut presence, _) = present(start);
        presence.lapsed(start + seconds(120));
        presence.lapsed(start + seconds(120) + SAVE);
        assert!(presence.entries.is_empty());
    }
}
