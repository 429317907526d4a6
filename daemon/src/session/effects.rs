//! Carrying out a session's effects: the store first and whole, then the rest in order (`core/session/effect.rs`).

use std::sync::Arc;

use delight_core::actor::{Effects, Stamped};
use delight_core::session::{Class, Effect, Happening, Input, Session};
use delight_core::supervisor;
use delight_proto::agent::Control;
use delight_proto::holder::frame::MAX_DATA;
use delight_proto::holder::{Start, ToHolder};
use delight_proto::policy::Policy;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Record;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::agent::Came;
use super::{Mail, Pieces, Reached, SessionBody};
use crate::actor::{Body, Flow, Told};
use crate::adapters::{Adapters, Launch, RunnerPlan};
use crate::process::link::Heard;
use crate::store::{CommitFailed, Write, delete_directory};

impl Body for SessionBody {
    type Reducer = Session;

    async fn next(&mut self, state: &Session) -> Option<Input> {
        loop {
            if let Some(happening) = self.local.pop_front() {
                return Some(Input::Happened(happening));
            }
            // What comes through a bounded door takes turns: an agent that floods keeps nobody from stopping it.
            let inside = async {
                tokio::select! {
                    came = self.agent.next(state.hears_agent()) => Inside::Agent(came),
                    mail = self.mailbox.recv() => Inside::Mail(mail),
                    () = changed(&mut self.policy) => Inside::Policy,
                }
            };
            tokio::select! {
                biased;
                reached = reach(&mut self.reaching) => {
                    self.reaching = None;
                    let happening = self.reached(reached);
                    if let Some(happening) = self.agent_of_contact(state, happening) {
                        return Some(Input::Happened(happening));
                    }
                }
                heard = hear(&mut self.link) => match heard {
                    Heard::Frame(frame) => if let Some(happening) = self.heard(frame)
                        && let Some(happening) = self.agent_of_frame(state, happening)
                    {
                        return Some(Input::Happened(happening));
                    },
                    Heard::End(reason) => self.parted(reason),
                },
                inside = inside => match inside {
                    Inside::Mail(mail) => return mail.map(|mail| *mail),
                    Inside::Agent(came) => if let Some(happening) = self.came(came) {
                        return Some(Input::Happened(happening));
                    },
                    Inside::Policy => {
                        let policy = (**self.policy.borrow_and_update()).clone();
                        return Some(Input::Happened(Happening::Policy(Box::new(policy))));
                    }
                },
            }
        }
    }

    fn begins(&mut self, state: &Session, input: &Stamped<Input>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.begins(state, input);
        }
    }

    fn came(&mut self, state: &Session, effects: &Effects<Effect>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.came(state, effects);
        }
    }

    async fn carry_out(&mut self, state: &Session, effects: Effects<Effect>) -> Flow<Input> {
        // The holder's process may start, and the runner's be made ready, while the record is being written.
        for effect in effects.iter() {
            match effect {
                Effect::Launch => self.begin_launch(state),
                Effect::StartRunner { generation, keep, control: None } => {
                    self.prepare_runner(state, *generation, *keep);
                }
                _ => {}
            }
        }
        let (mut writes, mut rest) = (Vec::new(), Vec::new());
        let mut saves = false;
        let mut forgets = false;
        for effect in effects {
            match effect {
                Effect::Append(event) => writes.push(Write::Append(event)),
                Effect::Save(record) => {
                    saves = true;
                    writes.push(Write::Save(record));
                }
                Effect::Checkpoint(record) => writes.push(Write::Checkpoint(record)),
                Effect::Forget => {
                    forgets = true;
                    writes.push(Write::Forget);
                }
                Effect::Launch => {}
                other => rest.push(other),
            }
        }
        let failed = self.store(writes, forgets).await.err();
        for effect in rest {
            if failed.is_none() || effect.class() == Class::Outward {
                self.do_now(state, effect).await;
            }
        }
        match failed {
            None => Flow::GoOn,
            Some(CommitFailed { refusal, log_seq }) => {
                tracing::error!(session = %self.id, %refusal, saves, "a step could not be stored");
                Flow::Next(Input::Happened(Happening::StoreFailed { reason: refusal.to_string(), log_seq }))
            }
        }
    }
}

impl SessionBody {
    async fn store(&mut self, writes: Vec<Write>, forgets: bool) -> Result<(), CommitFailed> {
        if writes.is_empty() {
            return Ok(());
        }
        self.shared.store.commit(self.id, writes).await?;
        if forgets {
            let (place, id) = (self.shared.launcher.place.clone(), self.id);
            let deleted = spawn_blocking(move || delete_directory(&place, id)).await;
            if let Ok(Err(e)) = deleted {
                // The record is gone and the directory set aside: the next start deletes what is left.
                tracing::warn!(session = %self.id, error = %e, "a removed session's data could not be deleted whole");
            }
        }
        Ok(())
    }

    async fn do_now(&mut self, state: &Session, effect: Effect) {
        match effect {
            Effect::Adopt => self.begin_adopt(state),
            Effect::StartRunner { generation, keep, control } => {
                self.start_runner(state, generation, keep, control).await;
            }
            Effect::SignalTree { signal } => self.tell(&ToHolder::SignalTree { signal }),
            Effect::CloseHolder => self.close_holder(),
            Effect::Write { tag, bytes } => self.write(tag, &bytes),
            Effect::Resize { tag, size } => {
                if self.link.is_some() {
                    self.resizes.push_back(tag);
                    self.tell(&ToHolder::Resize(size));
                } else {
                    self.local.push_back(Happening::TagFailed { tag, refusal: no_holder() });
                }
            }
            Effect::Tell { tag, order } => {
                if let Err(refusal) = self.agent.order(tag, order) {
                    self.local.push_back(Happening::TagFailed { tag, refusal });
                }
            }
            Effect::Publish { view, alive } => self.report(supervisor::Input::Changed { view, alive }).await,
            Effect::ReleaseName(name) => {
                self.report(supervisor::Input::NameReleased { id: self.id, name }).await;
            }
            Effect::Restored { adopted } => {
                self.report(supervisor::Input::Restored { id: self.id, adopted }).await;
            }
            Effect::Gone => self.report(supervisor::Input::Gone { id: self.id }).await,
            Effect::Reply { ticket, result } => self.shared.tickets.answer(ticket, result.map(Told::from)),
            Effect::Launch | Effect::Append(_) | Effect::Save(_) | Effect::Checkpoint(_) | Effect::Forget => {
            }
        }
    }

    async fn report(&mut self, input: supervisor::Input) {
        // The supervisor outlives every session; if it has ended, so has the daemon.
        let _ = self.shared.supervisor.send(Box::new(input)).await;
    }

    fn tell(&mut self, frame: &ToHolder) {
        match &mut self.link {
            Some(link) => link.send(frame),
            // Its end is on its way to the reducer, which decides again then.
            None => tracing::debug!(session = %self.id, "no holder to tell"),
        }
    }

    async fn start_runner(&mut self, state: &Session, generation: u64, keep: bool, control: Option<Control>) {
        let record = state.record();
        let planned = match control {
            // A plain terminal's plan is made of what is in memory.
            None => plan(&self.shared.adapters, record, None),
            // Waited for right here: what the reducer wants next must not overtake the start.
            Some(_) => {
                let (adapters, record) = (self.shared.adapters.clone(), Box::new(record.clone()));
                spawn_blocking(move || plan(&adapters, &record, control)).await.unwrap_or_else(|e| {
                    let what = "the runner could not be started";
                    Err(Refusal::new(Code::Internal, what, e.to_string()))
                })
            }
        };
        match planned {
            Ok(plan) => self.tell(&ToHolder::Start(Box::new(start(plan, record, generation, keep)))),
            Err(refusal) => self.local.push_back(Happening::RunnerFailed { generation, refusal }),
        }
    }

    /// Lets the holder make a plain terminal's start ready. What is wrong with it is said at the start itself.
    fn prepare_runner(&mut self, state: &Session, generation: u64, keep: bool) {
        let record = state.record();
        if let Ok(plan) = plan(&self.shared.adapters, record, None) {
            self.tell(&ToHolder::Prepare(Box::new(start(plan, record, generation, keep))));
        }
    }

    fn close_holder(&mut self) {
        match &mut self.link {
            Some(link) => link.send(&ToHolder::Close),
            None if self.launching => self.give_up_launch(),
            // It is gone, or being looked for: the reducer hears of it and decides again.
            None => {}
        }
    }

    /// Cuts the bytes into frames. Each carries the tag, so that a piece the holder refuses cannot hide behind a later
    /// one it took.
    pub(super) fn write(&mut self, tag: u64, bytes: &[u8]) {
        let Some(link) = &mut self.link else {
            self.local.push_back(Happening::TagFailed { tag, refusal: no_holder() });
            return;
        };
        if bytes.len() <= MAX_DATA {
            link.send(&ToHolder::Input { tag, bytes: bytes.to_vec() });
            return;
        }
        let pieces = bytes.chunks(MAX_DATA);
        self.pieces.insert(tag, Pieces { left: pieces.len(), refusal: None });
        for piece in pieces {
            link.send(&ToHolder::Input { tag, bytes: piece.to_vec() });
        }
    }
}

fn plan(adapters: &Adapters, record: &Record, control: Option<Control>) -> Result<RunnerPlan, Refusal> {
    adapters.plan(&Launch { id: record.id, spec: &record.spec, control, memory: &record.agent })
}

fn start(plan: RunnerPlan, record: &Record, generation: u64, keep: bool) -> Start {
    let RunnerPlan { argv, env, stdio } = plan;
    Start { generation, argv, env, cwd: record.spec.cwd.clone(), stdio, size: record.spec.size, keep }
}

fn no_holder() -> Refusal {
    Refusal::new(Code::HolderUnreachable, "the session cannot be written to", "its holder is not connected")
        .retry()
}

/// What comes from inside the daemon.
enum Inside {
    Agent(Came),
    Mail(Option<Mail>),
    Policy,
}

async fn changed(policy: &mut watch::Receiver<Arc<Policy>>) {
    if policy.changed().await.is_err() {
        // The daemon ends.
        std::future::pending::<()>().await;
    }
}

async fn reach(reaching: &mut Option<super::Reaching>) -> Reached {
    match reaching {
        Some(reaching) => reaching.await,
        None => std::future::pending().await,
    }
}

async fn hear(link: &mut Option<crate::process::link::Link>) -> Heard {
    match link {
        Some(link) => link.hear().await,
        None => std::future::pending().await,
    }
}
