//! What must hold while the world runs, and when it has come to rest.

use delight_proto::id::SessionId;
use delight_proto::session::{Exit, Phase};

use super::sim::{Question, Sim, Verdict};
use crate::actor::{Reducer, Stamped, Ticket};
use crate::session::{Answer, Effect, Ended, Happening, Input, Runner};

impl Sim {
    /// An answer arrived: it was owed, and only once.
    pub(super) fn answered(&mut self, ticket: Ticket, ok: bool) -> Verdict {
        self.counts.answers += 1;
        self.counts.refusals += u64::from(!ok);
        if ticket == Ticket::NOBODY || self.owed.remove(&ticket).is_some() || self.left.remove(&ticket) {
            return Ok(());
        }
        Err(format!("#{} was answered twice, or never asked", ticket.0))
    }

    /// Nothing is told before it is stored: what a daemon restarted now would know agrees with what is about to be said.
    pub(super) fn may_be_told(&self, id: SessionId, effect: &Effect) -> Verdict {
        let Some(actor) = self.daemon.as_ref().and_then(|daemon| daemon.actors.get(&id)) else {
            return Ok(());
        };
        let stored = self.disk.folded(id);
        match effect {
            Effect::Tell { order, .. } => return self.may_be_given(id, stored.as_ref(), order),
            Effect::StartRunner { generation, .. } => {
                let durable = self.disk.sessions.get(&id).and_then(|on_disk| on_disk.record.as_ref());
                if durable.is_none_or(|record| record.generation != *generation) {
                    return Err(format!("{id}: generation {generation} starts before it is on record"));
                }
            }
            Effect::Reply { ticket, result: Ok(answer) } => {
                let question = self.owed.get(ticket);
                match answer {
                    Answer::Removed(_) if stored.is_some() => {
                        return Err(format!("{id}: told that it is removed, and it is on record"));
                    }
                    Answer::View(view) => {
                        // Only who asked for a change was promised that it is stored, while the store refuses.
                        let promised = matches!(question, Some(Question::Rename | Question::Stop));
                        let stands = match &stored {
                            None => !promised && actor.session.has_store_trouble(),
                            Some(stored) => {
                                let name_stands =
                                    question != Some(&Question::Rename) || stored.name == view.name;
                                let end_stands = question != Some(&Question::Stop) || !stored.phase.is_live();
                                name_stands && end_stands
                            }
                        };
                        if !stands {
                            return Err(format!("{id}: {question:?} told as done and not stored"));
                        }
                        if question == Some(&Question::Stop) {
                            self.is_dead(id)?;
                        }
                    }
                    Answer::Removed(_)
                    | Answer::Sent { .. }
                    | Answer::Prompted { .. }
                    | Answer::Decided(_) => {}
                }
            }
            Effect::Publish { view, alive } => {
                if !alive {
                    self.is_dead(id)?;
                }
                // A session whose store refuses says so in what it publishes.
                if actor.session.has_store_trouble() {
                    return Ok(());
                }
                let Some(record) = stored else {
                    return Err(format!("{id}: published and not stored"));
                };
                let told = (
                    &view.name,
                    view.phase,
                    view.desired,
                    view.generation,
                    view.exit,
                    view.last_seq,
                    &view.holder,
                );
                let kept = (
                    &record.name,
                    record.phase,
                    record.desired,
                    record.generation,
                    record.exit,
                    record.last_seq,
                    &record.holder,
                );
                if told != kept {
                    return Err(format!("{id}: told {told:?}, stored {kept:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Nothing of the session's tree is alive.
    fn is_dead(&self, id: SessionId) -> Verdict {
        match self.kernel.holders.get(&id) {
            Some(holder) if holder.tree_is_alive() => {
                Err(format!("{id}: told as ended, and alive: {holder:?}"))
            }
            _ => Ok(()),
        }
    }

    /// What an older generation is said to do changes nothing. Tried on a copy.
    pub(super) fn stale_changes_nothing(&mut self, id: SessionId) -> Verdict {
        let at = self.stamp();
        let Some(actor) = self.daemon.as_ref().and_then(|daemon| daemon.actors.get(&id)) else {
            return Ok(());
        };
        let Some(generation) = actor.session.record().generation.checked_sub(1) else { return Ok(()) };
        let ended = Ended { generation, exit: Exit::Code(99), offset: 1, at_ms: 1, survivors: 1 };
        let stale = match self.rng.below(5) {
            4 => super::checks_of_agents::stale_words(generation),
            0 => Happening::RunnerExited(ended),
            1 => Happening::TreeGone { generation },
            2 => Happening::RunnerUp { runner: Runner { generation, pid: 9 }, offset: 7 },
            _ => {
                let refusal =
                    delight_proto::refusal::Refusal::new(delight_proto::refusal::Code::Internal, "", "");
                Happening::RunnerFailed { generation, refusal }
            }
        };
        if actor.session.deadline().is_some_and(|deadline| deadline.at <= at.mono_ms) {
            return Ok(());
        }
        let input = Stamped { at, input: Input::Happened(stale.clone()) };
        let (after, effects) = actor.session.clone().reduce(input);
        let unchanged = after.view() == actor.session.view() && after.record() == actor.session.record();
        if unchanged && effects.is_empty() {
            return Ok(());
        }
        Err(format!("{id}: {stale:?} of an older generation changed something: {effects:?}"))
    }

    /// The world has come to rest: the registry and the kernel say the same.
    pub(super) fn registry_matches_kernel(&self) -> Verdict {
        let Some(daemon) = &self.daemon else { return Err("no daemon at rest".into()) };
        for id in self.kernel.holders.keys() {
            if !daemon.actors.contains_key(id) {
                return Err(format!("{id}: a holder nobody knows of"));
            }
        }
        let mut names = std::collections::BTreeSet::new();
        let mut requests = std::collections::BTreeSet::new();
        for (id, actor) in &daemon.actors {
            let own = actor.session.record();
            let twice = own.name.clone().is_some_and(|name| !names.insert(name))
                || own.request_id.clone().is_some_and(|request| !requests.insert(request));
            if twice {
                return Err(format!("{id}: its name or request id is also another's: {own:?}"));
            }
            let view = actor.session.view();
            let Some(record) = self.disk.folded(*id) else {
                return Err(format!("{id}: not in the registry"));
            };
            if (record.phase, record.generation, &record.name) != (view.phase, view.generation, &view.name) {
                return Err(format!("{id}: the registry says {record:?}, the session {view:?}"));
            }
            let holder = self.kernel.holders.get(id);
            let runner = holder.and_then(|holder| holder.runner.as_ref());
            match (view.phase, runner) {
                (Phase::Running, Some(runner)) if runner.mind.control != own.agent.control => {
                    return Err(format!(
                        "{id}: {:?} drives a runner for {:?}",
                        own.agent.control, runner.mind
                    ));
                }
                (Phase::Running, Some(runner)) if view.pid == Some(runner.pid) => {
                    if runner.generation != view.generation {
                        return Err(format!(
                            "{id}: runs generation {} as {}",
                            runner.generation, view.generation
                        ));
                    }
                }
                (Phase::Exited | Phase::Stopped | Phase::Failed | Phase::Interrupted, None) => {}
                (phase, runner) => return Err(format!("{id}: {phase:?} at rest with runner {runner:?}")),
            }
            if record.holder.as_ref() != holder.map(|holder| &holder.identity) {
                return Err(format!("{id}: holder {holder:?}, on record {:?}", record.holder));
            }
            if let Some(holder) = holder
                && !holder.tree_is_alive()
            {
                return Err(format!("{id}: a holder without anything to hold: {holder:?}"));
            }
        }
        Ok(())
    }
}
