//! Callers who went away: they take up no room where others wait.

use super::callers::Tagged;

use super::step::Step;
use crate::actor::Ticket;

impl Step {
    pub(super) fn abandon(&mut self, gone: Ticket) {
        let callers = &mut self.s.callers;
        callers.starts.retain(|ticket| *ticket != gone);
        callers.stops.retain(|ticket| *ticket != gone);
        callers.removals.retain(|ticket| *ticket != gone);
        callers.waits.retain(|wait| wait.ticket != gone);
        callers.prompts.retain(|(_, ticket)| *ticket != gone);
        callers.decides.retain(|(_, ticket)| *ticket != gone);
        // What was begun for them is on record and goes on; a switch that was not is forgotten.
        callers.switches.retain(|waiting| waiting.ticket != gone);
        for tagged in callers.tagged.values_mut() {
            if let Tagged::Send { ticket, .. }
            | Tagged::Resize { ticket }
            | Tagged::Abort { ticket }
            | Tagged::SetMode { ticket, .. } = tagged
                && *ticket == gone
            {
                *ticket = Ticket::NOBODY;
            }
        }
        for early in callers.early.iter_mut().filter(|early| early.ticket == gone) {
            early.ticket = Ticket::NOBODY;
        }
    }
}
