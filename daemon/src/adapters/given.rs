//! What a runner was given already, by id: an order that is among it needs not be written again.

use std::collections::VecDeque;

/// Ids remembered. What can be told again is what waits in the session's record: [`bounds::QUEUED`] messages and
/// [`bounds::PENDING`] decisions; this many times as many may have passed since.
///
/// [`bounds::QUEUED`]: delight_proto::agent::bounds::QUEUED
/// [`bounds::PENDING`]: delight_proto::agent::bounds::PENDING
const REMEMBERED: usize = 1_024;

/// See the module. The oldest go first.
#[derive(Debug, Default)]
pub(super) struct Given(VecDeque<String>);

impl Given {
    /// Whether one was noted.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|known| known == id)
    }

    /// Notes one; says whether it is new.
    pub(super) fn note(&mut self, id: &str) -> bool {
        if self.knows(id) {
            return false;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(id.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_until_many_others_have_come() {
        let mut given = Given::default();
        assert!(given.note("a"));
        assert!(!given.note("a"));
        for n in 0..REMEMBERED {
            given.note(&n.to_string());
        }
        assert_eq!(given.0.len(), REMEMBERED);
        assert!(given.note("a"));
    }
}
