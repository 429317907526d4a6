//! Waits: for a phase, for what the agent does; and who is answered at the end of a step.

use delight_proto::agent::Activity;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Phase;

use super::callers::Waiting;
use super::reduce::phase_word;
use super::state::{MAX_CALLERS, Session};
use super::step::{Say, Step};
use crate::actor::Ticket;

impl Step {
    pub(super) fn wait(
        &mut self,
        ticket: Ticket,
        mut phases: Vec<Phase>,
        mut activity: Vec<Activity>,
        timeout_ms: Option<u64>,
    ) {
        if self.s.callers.waits.len() >= MAX_CALLERS {
            let why = format!("{MAX_CALLERS} callers wait for this session already");
            let refusal = Refusal::new(Code::Busy, "the session cannot be waited for", why);
            return self.refuse(ticket, refusal.fix("subscribe to its changes instead"));
        }
        // Eight phases there are, and four activities; a longer list says the same thing again.
        phases.sort_unstable();
        phases.dedup();
        activity.sort_unstable_by_key(|a| *a as u8);
        activity.dedup();
        let until = timeout_ms.map(|ms| self.now.mono_ms.saturating_add(ms));
        // `settle_waits` answers it in this very step when it can.
        self.s.callers.waits.push(Waiting { ticket, phases, activity, until });
    }

    pub(super) fn settle_waits(&mut self) {
        let (now, phase) = (self.now.mono_ms, self.s.record.phase);
        let discarded = self.s.is_discarded();
        for wait in std::mem::take(&mut self.s.callers.waits) {
            let ticket = wait.ticket;
            if discarded {
                self.refuse(ticket, self.s.no_such_session());
            } else if self.s.is_awaited(&wait) {
                self.say(Say::View { ticket, of_store: false });
            } else if wait.until.is_some_and(|until| until <= now) {
                let why = format!("it is {} and was waited for long enough", phase_word(phase));
                let refusal = Refusal::new(Code::Timeout, "the wait is over", why);
                let fix = "wait longer, or see what it is doing: delightctl show ID";
                self.refuse(ticket, refusal.fix(fix).retry());
            } else {
                self.s.callers.waits.push(wait);
            }
        }
    }
}

impl Session {
    fn is_awaited(&self, wait: &Waiting) -> bool {
        let by_end = wait.phases.is_empty() || !wait.activity.is_empty();
        let does = self.activity().is_some_and(|view| wait.activity.contains(&view.activity));
        does || wait.phases.contains(&self.record.phase) || (by_end && !self.is_alive())
    }
}
