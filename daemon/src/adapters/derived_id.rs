//! Ids that are derived instead of drawn: the same thing gets the same id in every life of the daemon.

use delight_proto::id::{LocalId, SessionId};
use uuid::Uuid;

/// The namespace of all of them: random, drawn once, never to be changed.
const DELIGHT: Uuid = Uuid::from_u128(0x8d3c_1f0e_52a7_4b69_9e14_70c6_3b2f_a58d);

/// The id of a session's first conversation with an agent that lets us choose it.
pub(super) fn conversation(session: SessionId) -> String {
    Uuid::new_v5(&DELIGHT, format!("conversation {session}").as_bytes()).to_string()
}

/// The id of a message for an agent that wants a UUID.
pub(super) fn message(session: SessionId, local: &LocalId) -> String {
    Uuid::new_v5(&DELIGHT, format!("message {session} {local}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_has_the_same_id_and_others_have_others() {
        let (a, b) = (SessionId::from_random([1; 10]), SessionId::from_random([2; 10]));
        let (one, two): (LocalId, LocalId) = ("one".parse().unwrap(), "two".parse().unwrap());
        // Written down: a change would make every daemon forget the conversations of the one before.
        assert_eq!(conversation(a), "69252347-1bfc-545e-9a35-31e54e68e476");
        assert_ne!(conversation(a), conversation(b));
        assert_eq!(message(a, &one), message(a, &one));
        assert_ne!(message(a, &one), message(a, &two));
        assert_ne!(message(a, &one), message(b, &one));
    }
}
