//! A value with a version that several peers write: ours is laid over theirs until the server has it.

use delight_proto::sync::Object;
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;

/// Mismatches in a row after which somebody else is evidently writing all the time: then each try waits its turn.
const PATIENT_AFTER: u32 = 8;

/// One of the versioned values: a machine's or session's metadata, a daemon's or agent's state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Register {
    /// Our fields. A field that is `null` is to be taken out; fields not named here are left as they are.
    ours: Object,
    /// What the server has, as far as we know.
    theirs: Object,
    version: u64,
    /// The server has told us once what it has.
    known: bool,
    /// What was sent and not answered yet.
    in_flight: Option<Object>,
    mismatches: u32,
    backoff: Backoff,
    blocked_until: Option<u64>,
}

impl Register {
    /// What we want it to say from now on.
    pub fn want(&mut self, ours: Object) {
        self.ours = ours;
    }

    /// What the server has, as it has just said. Lower versions than known count too: it may have lost newer ones.
    pub fn learn(&mut self, version: u64, theirs: Option<Object>) {
        self.adopt(version, theirs);
    }

    /// The server has forgotten what it had.
    pub fn forget(&mut self) {
        let (ours, in_flight) = (std::mem::take(&mut self.ours), self.in_flight.take());
        *self = Self { ours, in_flight, ..Self::default() };
    }

    /// What is to be sent now, and over which version; nothing while an answer is awaited or all is said.
    pub fn next(&mut self, now: u64) -> Option<(u64, Object)> {
        if self.blocked_until.is_some_and(|until| until <= now) {
            self.blocked_until = None;
        }
        if !self.known || self.in_flight.is_some() || self.blocked_until.is_some() {
            return None;
        }
        let merged = self.merged();
        if merged == self.theirs {
            return None;
        }
        self.in_flight = Some(merged.clone());
        Some((self.version, merged))
    }

    /// Whether the server has everything we want it to have.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.known && self.in_flight.is_none() && self.merged() == self.theirs
    }

    /// The server took it.
    pub fn stored(&mut self, version: u64) {
        let Some(sent) = self.in_flight.take() else { return };
        self.mismatches = 0;
        self.backoff.clear();
        self.adopt(version, Some(sent));
    }

    /// Somebody else wrote first: their value is adopted, and ours is laid over it at the next look.
    pub fn mismatch(&mut self, version: u64, theirs: Option<Object>, now: u64, random: u64) {
        self.in_flight = None;
        self.adopt(version, theirs);
        self.mismatches = self.mismatches.saturating_add(1);
        if self.mismatches > PATIENT_AFTER {
            self.blocked_until = Some(now + 1 + self.backoff.failed(random));
        }
    }

    /// It was refused, or nobody knows what became of it: the same is sent again later. If it was stored after all, that
    /// try is a mismatch with what we wanted, and done.
    pub fn failed(&mut self, now: u64, random: u64) {
        self.in_flight = None;
        self.blocked_until = Some(now + 1 + self.backoff.failed(random));
    }

    /// A new connection: what was blocked may be tried at once.
    pub fn unblock(&mut self) {
        self.blocked_until = None;
        self.backoff.clear();
    }

    /// When it wants to be looked at again.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.blocked_until.filter(|_| self.in_flight.is_none())
    }

    fn adopt(&mut self, version: u64, theirs: Option<Object>) {
        self.version = version;
        self.theirs = theirs.unwrap_or_default();
        self.known = true;
    }

    fn merged(&self) -> Object {
        let mut merged = self.theirs.clone();
        for (field, value) in &self.ours {
            if value.is_null() {
                merged.remove(field);
            } else {
                merged.insert(field.clone(), value.clone());
            }
        }
        merged
    }
}

/// What is said when the server has nothing yet: fields to be taken out are not there.
pub(super) fn first(ours: &Object) -> Object {
    ours.iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            _ => Object::default(),
        }
    }

    #[test]
    fn version_mismatch_retry_converges() {
        let mut register = Register::default();
        register.want(object(json!({"host": "a", "gone": null})));
        assert_eq!(register.next(0), None, "nothing is sent before the server's version is known");
        register.learn(0, None);
        assert_eq!(register.next(0), Some((0, object(json!({"host": "a"})))));
        assert_eq!(register.next(0), None, "one at a time");
        register.mismatch(7, Some(object(json!({"displayName": "mine", "gone": 1}))), 0, 0);
        let (version, value) = register.next(0).unwrap();
        assert_eq!((version, &value), (7, &object(json!({"displayName": "mine", "host": "a"}))));
        register.stored(8);
        assert!(register.is_settled() && register.next(0).is_none(), "the same is never sent twice");
    }

    #[test]
    fn a_lost_acknowledgement_is_no_second_write() {
        let mut register = Register::default();
        register.want(object(json!({"status": "running"})));
        register.learn(3, None);
        let (_, sent) = register.next(0).unwrap();
        register.failed(0, 0);
        assert_eq!(register.next(0), None);
        assert_eq!(register.next(1).unwrap().0, 3);
        register.mismatch(4, Some(sent), 1, 0);
        assert!(register.is_settled());
    }

    #[test]
    fn two_writers_in_a_fight_do_not_spin() {
        let mut register = Register::default();
        register.want(object(json!({"a": 1})));
        register.learn(0, None);
        let mut version = 0;
        let mut tries = 0;
        while register.next(0).is_some() && tries < 100 {
            tries += 1;
            version += 1;
            register.mismatch(version, Some(object(json!({"a": version + 1}))), 0, u64::MAX);
        }
        assert_eq!(tries, PATIENT_AFTER + 1);
        assert!(register.deadline().is_some_and(|at| at > 0));
    }

    #[test]
    fn what_changes_while_an_answer_is_awaited_is_sent_after_it() {
        let mut register = Register::default();
        register.want(object(json!({"a": 1})));
        register.learn(0, None);
        assert!(register.next(0).is_some());
        register.want(object(json!({"a": 2})));
        assert_eq!(register.next(0), None);
        register.stored(1);
        assert_eq!(register.next(0), Some((1, object(json!({"a": 2})))));
    }
}
