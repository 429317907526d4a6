//! Space, twice within half a second, takes control back.

use std::time::{Duration, Instant};

/// How soon the second must follow.
pub(super) const WITHIN: Duration = Duration::from_millis(500);

/// Follows the keys.
#[derive(Debug, Default)]
pub(super) struct Takeback {
    first: Option<Instant>,
}

/// What a read from the keyboard meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// Both spaces: take control back.
    TakeBack,
    /// One space: another would.
    Once,
    /// Something else.
    Other,
}

impl Takeback {
    /// Takes in keys.
    pub(super) fn typed(&mut self, keys: &[u8], now: Instant) -> Meant {
        let mut meant = Meant::Other;
        for key in keys {
            let recent = self.first.is_some_and(|at| now.saturating_duration_since(at) <= WITHIN);
            self.first = None;
            meant = match key {
                b' ' if recent => return Meant::TakeBack,
                b' ' => {
                    self.first = Some(now);
                    Meant::Once
                }
                _ => Meant::Other,
            };
        }
        meant
    }

    /// When the first space does not count any more.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.first.map(|at| at + WITHIN)
    }

    /// Forgets a first space that is too old; whether there was one.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let old = self.first.is_some_and(|at| now.saturating_duration_since(at) > WITHIN);
        if old {
            self.first = None;
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spaces_in_time_and_nothing_else() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut keys = Takeback::default();
        assert_eq!(keys.typed(b" ", at(0)), Meant::Once);
        assert_eq!(keys.typed(b" ", at(500)), Meant::TakeBack, "the first try");
        assert_eq!(keys.typed(b" ", at(600)), Meant::Once, "a third begins anew");
        assert_eq!(keys.typed(b"x", at(650)), Meant::Other);
        assert_eq!(keys.typed(b" ", at(700)), Meant::Once, "not after another key");
        assert_eq!(keys.typed(b" ", at(1_201)), Meant::Once, "too late: it is a first one again");
        assert_eq!(keys.typed(b" ", at(1_300)), Meant::TakeBack);
        assert_eq!(keys.typed(b"  ", at(2_000)), Meant::TakeBack, "both in one read");
        assert_eq!(keys.typed(b" x ", at(3_000)), Meant::Once);
        assert!(!keys.expire(at(3_500)) && keys.expire(at(3_501)) && keys.expires().is_none());
    }
}
