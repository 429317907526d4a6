//! The daemon's end: no new sessions, starts under way are decided, sessions are ended if that is wanted.

use delight_proto::api::method::DaemonStopResult;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, Phase};

use super::effect::{Answer, Effect};
use super::reduce::Step;
use super::state::{ASK_AGAIN_MS, Draining, Entry, MAX_SHUTDOWN_CALLERS};
use crate::actor::Ticket;
use crate::session::Command;

pub(super) fn shutting_down(what: &str) -> Refusal {
    Refusal::new(Code::ShuttingDown, what, "the daemon is ending")
        .fix("start it again, then repeat this")
        .retry()
}

fn is_alive(entry: &Entry) -> bool {
    entry.alive && entry.failed.is_none()
}

impl Step {
    pub(super) fn shutdown(&mut self, ticket: Ticket, stop_sessions: bool) {
        let alive = u32::try_from(self.s.index.values().filter(|e| is_alive(e)).count()).unwrap_or(u32::MAX);
        let draining = self.s.draining.get_or_insert_with(|| Draining {
            callers: Vec::new(),
            stop_sessions: false,
            to_stop: 0,
            ask_again_at: None,
            done: false,
        });
        if draining.callers.len() >= MAX_SHUTDOWN_CALLERS {
            let why = format!("{MAX_SHUTDOWN_CALLERS} callers wait for the daemon's end already");
            return self.reply(ticket, Err(Refusal::new(Code::Busy, "too many callers", why)));
        }
        draining.callers.push(ticket);
        if stop_sessions && !draining.stop_sessions {
            draining.to_stop = alive;
            draining.ask_again_at = Some(self.now.mono_ms);
        } else if !stop_sessions {
            // Who no longer wants to wait for the sessions leaves them.
            draining.ask_again_at = None;
        }
        draining.stop_sessions = stop_sessions;
    }

    /// After every step: ends the daemon when nothing holds it any more.
    pub(super) fn drain(&mut self) {
        let Some(draining) = self.s.draining.as_mut().filter(|d| !d.done) else { return };
        let entries = self.s.index.values();
        let alive = entries.clone().filter(|entry| is_alive(entry));
        let undecided = if draining.stop_sessions {
            alive.clone().count()
        } else {
            alive.clone().filter(|entry| entry.view.phase == Phase::Starting).count()
        };
        if undecided > 0 {
            let now = self.now.mono_ms;
            if draining.ask_again_at.is_some_and(|at| at <= now) {
                draining.ask_again_at = Some(now.saturating_add(ASK_AGAIN_MS));
                for entry in alive.filter(|entry| entry.view.phase != Phase::Stopping) {
                    self.out.push(Effect::Deliver {
                        id: entry.view.id,
                        ticket: Ticket::NOBODY,
                        origin: Origin::Daemon,
                        command: Command::Stop { kill: false, grace_ms: None },
                    });
                }
            }
            return;
        }
        draining.done = true;
        draining.ask_again_at = None;
        let left_running = u32::try_from(alive.count()).unwrap_or(u32::MAX);
        let stopped = if draining.stop_sessions { draining.to_stop } else { 0 };
        let result = DaemonStopResult { left_running, stopped };
        for ticket in std::mem::take(&mut draining.callers) {
            self.out.push(Effect::Reply { ticket, result: Ok(Answer::Stopped(result.clone())) });
        }
        self.out.push(Effect::Exit);
    }
}
