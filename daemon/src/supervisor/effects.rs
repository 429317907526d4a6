//! Carrying out the supervisor's effects, in order. None of them waits for a session: sessions wait for the
//! supervisor, and two that wait for each other never end.

use std::sync::Arc;

use delight_core::actor::{Effects, Ticket};
use delight_core::session::{Happening, Input as SessionInput, Session};
use delight_core::supervisor::{Answer, Boot, Effect, Input, Opening, Request, Supervisor};
use delight_proto::id::SessionId;
use delight_proto::refusal::Refusal;
use tokio::sync::mpsc;

use super::SupervisorBody;
use super::delivery::{WhenFull, put};
use crate::actor::{Body, Core, Flow, Panicked, Told};
use crate::process::spare::Spare;
use crate::session::{MAILBOX, Mail, run_session};

impl Body for SupervisorBody {
    type Reducer = Supervisor;

    async fn next(&mut self, _state: &Supervisor) -> Option<Input> {
        let mut input = *self.mailbox.recv().await?;
        // Nothing comes between this and the session's making: the id stays the spare holder's.
        if let Input::Asked { request: Request::Spawn { fresh_id, params }, .. } = &mut input
            && let Some(id) = self.shared.spares.id(params.retain_bytes)
        {
            *fresh_id = id;
        }
        Some(input)
    }

    async fn carry_out(&mut self, _state: &Supervisor, effects: Effects<Effect>) -> Flow<Input> {
        for effect in effects {
            if matches!(effect, Effect::Exit) {
                return Flow::End;
            }
            self.do_now(effect);
        }
        Flow::GoOn
    }
}

impl SupervisorBody {
    /// Gives the reducer its first input.
    pub(super) async fn boot(&mut self, core: &mut Core<Supervisor>, boot: Boot) -> Result<(), Panicked> {
        let effects = core.step(core.stamp(Input::Boot(Box::new(boot))))?;
        if let Some(state) = core.state() {
            // The first step asks for nothing but effects that are done at once.
            let _: Flow<Input> = self.carry_out(state, effects).await;
        }
        Ok(())
    }

    fn do_now(&mut self, effect: Effect) {
        match effect {
            Effect::Open { id, opening } => self.open(id, opening),
            Effect::Restore { id } => {
                let mail = Box::new(SessionInput::Happened(Happening::Restore));
                self.deliver(id, Ticket::NOBODY, WhenFull::Waits, mail);
            }
            Effect::Deliver { id, ticket, origin, command } => {
                let mailbox = self.sessions.get(&id);
                let waited_for =
                    mailbox.is_none_or(|mailbox| self.shared.tickets.hand_to(ticket, id, mailbox));
                let must_arrive = ticket == Ticket::NOBODY || command.must_arrive();
                let when_full = if must_arrive { WhenFull::Waits } else { WhenFull::IsRefused };
                let mail = Box::new(SessionInput::Asked { ticket, origin, command });
                self.deliver(id, ticket, when_full, mail);
                if !waited_for {
                    // It has left before the question was here. What was asked is done all the same.
                    let mail = Box::new(SessionInput::Abandoned { ticket });
                    self.deliver(id, Ticket::NOBODY, WhenFull::Waits, mail);
                }
            }
            Effect::Close { id } => drop(self.sessions.remove(&id)),
            Effect::Broadcast(change) => self.changes.send(change),
            Effect::Ready { adopted } => {
                if let Some(ready) = self.ready.take() {
                    // Whoever waited has given up starting the daemon.
                    let _ = ready.send(adopted);
                }
            }
            Effect::Reply { ticket, result } => {
                let result = result.map(|answer| self.told(answer));
                self.shared.tickets.answer(ticket, result);
            }
            Effect::Exit => {}
        }
    }

    fn open(&mut self, id: SessionId, opening: Opening) {
        let (session, link) = match opening {
            Opening::Fresh(record, capabilities) => {
                let session = Session::new(*record, capabilities);
                match self.shared.spares.take(id) {
                    Some(Spare { identity, link, .. }) => (session.on_spare(identity), Some(link)),
                    None => (session, None),
                }
            }
            Opening::Stored { record, log_seq, tail, capabilities } => {
                (Session::restored(*record, log_seq, &tail, capabilities), None)
            }
        };
        let (mail, mailbox) = mpsc::channel(MAILBOX);
        self.sessions.insert(id, mail);
        let core = Box::new(Core::new(session, self.clock));
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(run_session(core, id, Arc::clone(&self.shared), mailbox, link));
    }

    /// Puts mail into a session's mailbox, or refuses its ticket.
    fn deliver(&mut self, id: SessionId, ticket: Ticket, when_full: WhenFull, mail: Mail) {
        if let Err((code, reason)) = put(self.sessions.get(&id), mail, when_full) {
            let refusal = Refusal::new(code, format!("session {id} cannot be asked"), reason);
            self.shared.tickets.answer(ticket, Err(refusal));
        }
    }

    fn told(&self, answer: Answer) -> Told {
        match answer {
            Answer::View(view) => Told::View(view),
            Answer::List(sessions) => Told::List(sessions),
            Answer::Subscribed { only, sessions } => {
                Told::Subscribed { only, sessions, changes: self.changes.subscribe() }
            }
            Answer::Status(counts) => Told::Status(counts),
            Answer::Stopped(result) => Told::Stopped(result),
        }
    }
}
