//! The processes of a fake holder: a runner, how it ends, and what it leaves behind.

use delight_proto::agent::Control;
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Exit;

use super::agent::Mind;
use super::kernel::Kernel;
use super::rng::Rng;
use crate::session::{Ended, Happening, Runner};

const SIGKILL: i32 = 9;

#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) generation: u64,
    pub(super) pid: u32,
    pub(super) mind: Mind,
    pub(super) ends_at: Option<(u64, Exit)>,
    /// Ignores everything but `SIGKILL`.
    pub(super) stubborn: bool,
    /// Cannot be ended before this moment (it sleeps in the kernel).
    unkillable_until: u64,
    /// Descendants that outlive it.
    leaves: u32,
}

impl Kernel {
    pub(super) fn processes_end(&mut self, id: SessionId, now: u64) -> bool {
        let offset = self.journal_end(id);
        let Some(holder) = self.holders.get_mut(&id) else { return false };
        if let Some(runner) = &holder.runner
            && let Some((at, exit)) = runner.ends_at
            && at <= now
        {
            let ended = Ended {
                generation: runner.generation,
                exit,
                offset,
                at_ms: 1_700_000_000_000 + now,
                survivors: runner.leaves,
            };
            holder.survivors = runner.leaves;
            holder.survivors_stubborn = runner.stubborn;
            holder.survivors_end = None;
            holder.runner = None;
            holder.last = Some(ended);
            self.journals.insert(id, ended);
            self.heard_first(id);
            self.tell(id, Happening::RunnerExited(ended));
            self.idle_since(id, now);
            return true;
        }
        if holder.survivors > 0 && holder.survivors_end.is_some_and(|at| at <= now) {
            holder.survivors = 0;
            let generation = holder.last.map_or(0, |ended| ended.generation);
            self.tell(id, Happening::TreeGone { generation });
            self.idle_since(id, now);
            return true;
        }
        false
    }

    pub(super) fn start(&mut self, id: SessionId, generation: u64, keep: bool, now: u64, rng: &mut Rng) {
        let pid = self.pid();
        let (calm, steady, offset) = (self.calm, self.steady, self.journal_end(id));
        let Some(holder) = self.holders.get_mut(&id) else { return };
        holder.started = true;
        holder.keep = keep;
        holder.leaves_at = None;
        if !calm && rng.per_mille(120) {
            let refusal = Refusal::new(Code::StartFailed, "not executed", "no such program");
            holder.leaves_at = (!keep).then_some(now + 3);
            return self.tell(id, Happening::RunnerFailed { generation, refusal });
        }
        if !calm && rng.per_mille(20) {
            holder.hung_until = now + rng.below(40_000);
        }
        let ends_at = match rng.below(if steady { 40 } else { 5 }) {
            0 => Some((now + rng.below(500), Exit::Code(0))),
            1 => Some((now + rng.below(90_000), Exit::Code(1))),
            2 => Some((now + rng.below(2_000), Exit::Signal(11))),
            _ => None,
        };
        holder.runner = Some(Process {
            generation,
            pid,
            mind: Mind::default(),
            ends_at,
            stubborn: rng.per_mille(200),
            unkillable_until: if !calm && rng.per_mille(50) { now + rng.below(10_000) } else { 0 },
            leaves: if rng.per_mille(250) { 1 + rng.below(3) as u32 } else { 0 },
        });
        self.tell(id, Happening::RunnerUp { runner: Runner { generation, pid }, offset });
    }

    /// A runner that is an agent begins to think.
    pub(super) fn wakes(&mut self, id: SessionId, control: Option<Control>, now: u64, rng: &mut Rng) {
        self.names += 1;
        let (name, calm) = (self.names, self.calm);
        if let Some(runner) = self.holders.get_mut(&id).and_then(|holder| holder.runner.as_mut()) {
            runner.mind = Mind::new(control, now, calm, rng);
            if control == Some(Control::Local) && rng.per_mille(500) {
                runner.mind.works(name, rng);
            }
        }
    }

    pub(super) fn signal(&mut self, id: SessionId, signal: i32, now: u64, rng: &mut Rng) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if !holder.tree_is_alive() {
            let generation = holder.last.map_or(0, |ended| ended.generation);
            return self.tell(id, Happening::TreeGone { generation });
        }
        let delay = rng.below(50);
        if let Some(runner) = &mut holder.runner
            && (signal == SIGKILL || !runner.stubborn)
        {
            let at = (now + delay).max(runner.unkillable_until);
            if runner.ends_at.is_none_or(|(before, _)| before > at) {
                runner.ends_at = Some((at, Exit::Signal(signal)));
            }
            if signal == SIGKILL && rng.per_mille(700) {
                // Found and signalled as well; those that were not are found by the next one.
                runner.leaves = 0;
            }
        }
        if holder.survivors > 0 && (signal == SIGKILL || !holder.survivors_stubborn) {
            let at = now + delay;
            holder.survivors_end = Some(holder.survivors_end.map_or(at, |before| before.min(at)));
        }
    }
}
