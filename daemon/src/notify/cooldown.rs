//! Not the same again at once: one notification of a kind a session, then silence for a while. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use delight_proto::id::SessionId;

use super::observe::{Notice, Occasion};

/// Who was told what, and until when it is not told again.
#[derive(Debug)]
pub(super) struct Cooldown {
    span: Duration,
    quiet: BTreeMap<(SessionId, Occasion), Quiet>,
}

#[derive(Debug)]
struct Quiet {
    until: Instant,
    /// What came meanwhile.
    owed: Option<Notice>,
}

impl Cooldown {
    pub(super) fn new(span: Duration) -> Self {
        Self { span, quiet: BTreeMap::new() }
    }

    /// The notice, if it may be told now. One that may not is told later, if it still holds then.
    pub(super) fn pass(&mut self, notice: Notice, now: Instant) -> Option<Notice> {
        let key = (notice.session, notice.occasion);
        if let Some(quiet) = self.quiet.get_mut(&key).filter(|quiet| now < quiet.until) {
            quiet.owed = Some(notice);
            return None;
        }
        self.quiet.insert(key, Quiet { until: now + self.span, owed: None });
        Some(notice)
    }

    /// When [`Self::over`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.quiet.values().map(|quiet| quiet.until).min()
    }

    /// What was held back and whose time has come; what it is told of may have passed.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Notice> {
        let mut owed = Vec::new();
        self.quiet.retain(|_, quiet| {
            let quiet_still = now < quiet.until;
            if !quiet_still {
                owed.extend(quiet.owed.take());
            }
            quiet_still
        });
        owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_and_later_again() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let notice = |seed: u8, occasion| Notice {
            occasion,
            session: SessionId::from_random([seed; 10]),
            name: "n".to_owned(),
        };
        let mut cooldown = Cooldown::new(Duration::from_secs(30));
        assert!(cooldown.due().is_none());
        assert!(cooldown.pass(notice(1, Occasion::NeedsYou), at(0)).is_some());
        assert!(cooldown.pass(notice(1, Occasion::NeedsYou), at(10)).is_none());
        assert!(cooldown.pass(notice(1, Occasion::NeedsYou), at(11)).is_none());
        assert!(cooldown.pass(notice(1, Occasion::Failed), at(11)).is_some(), "another thing");
        assert!(cooldown.pass(notice(2, Occasion::NeedsYou), at(11)).is_some(), "another session");
        assert_eq!(cooldown.due(), Some(at(30)));
        assert_eq!(cooldown.over(at(30)), [notice(1, Occasion::NeedsYou)], "once, however often it came");
        assert_eq!(cooldown.over(at(41)), []);
        assert!(cooldown.due().is_none(), "nothing is remembered for ever");
    }
}
