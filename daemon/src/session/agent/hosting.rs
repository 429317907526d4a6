//! The agent in a session's actor: begun with its runner, heard before what ends it.

use std::collections::BTreeSet;
use std::sync::Arc;

use delight_core::session::{Happening, Session};
use tokio::sync::mpsc;

use super::{Came, HEARD, Held, ORDERS, Said, Subject, Talk, Task, Watch, follow};
use crate::adapters::Launch;
use crate::adapters::codec::Reporter;
use crate::session::SessionBody;

impl SessionBody {
    /// What a holder said goes to the core now, or when the reader has told all before it.
    pub(in crate::session) fn agent_of_frame(
        &mut self,
        state: &Session,
        happening: Happening,
    ) -> Option<Happening> {
        let ends = match &happening {
            Happening::RunnerExited(ended) => Some(ended.generation),
            _ => None,
        };
        if self.agent.must_wait(ends) {
            self.agent.hold(Held::Happening(happening));
            return None;
        }
        match &happening {
            Happening::RunnerUp { runner, .. } => self.begin_agent(state, runner.generation, runner.pid),
            // What its files still hold is read by the next generation's watcher, from the mark on.
            Happening::RunnerExited(_) => self.agent.watch = None,
            _ => {}
        }
        Some(happening)
    }

    /// The same for what a search for the holder gave.
    pub(in crate::session) fn agent_of_contact(
        &mut self,
        state: &Session,
        happening: Happening,
    ) -> Option<Happening> {
        let waits = match &happening {
            Happening::Adopted(found) => match found.runner {
                Some(runner) => {
                    self.begin_agent(state, runner.generation, runner.pid);
                    false
                }
                None => self.begin_last_words(state),
            },
            Happening::HolderGone { .. } => self.begin_last_words(state),
            _ => false,
        };
        if waits {
            self.agent.hold(Held::Happening(happening));
            return None;
        }
        Some(happening)
    }

    /// The connection to the holder ended.
    pub(in crate::session) fn parted(&mut self, reason: String) {
        if self.agent.must_wait(None) {
            // The runner has ended before, and its reader is about to tell its last words.
            self.link = None;
            self.agent.hold(Held::Parted(reason));
        } else {
            self.agent.leave();
            self.begin_part(reason);
        }
    }

    /// What the core is told of what the agent's tasks say.
    pub(in crate::session) fn came(&mut self, came: Came) -> Option<Happening> {
        Some(match came {
            Came::Said(Said::Heard(heard)) => Happening::Agent(heard),
            Came::Said(Said::Done { tag }) => Happening::TagDone { tag },
            Came::Said(Said::Failed { tag, refusal }) => Happening::TagFailed { tag, refusal },
            Came::Said(Said::Given { local_id }) => {
                Happening::MessageGiven { generation: self.agent.talk.as_ref()?.generation, local_id }
            }
            Came::Said(Said::NotYet { tag }) => Happening::TagNotYet { tag },
            Came::Said(Said::Write { tag, bytes }) => {
                let tag = tag.unwrap_or_else(|| self.agent.own_tag());
                self.write(tag, &bytes);
                return None;
            }
            Came::Over => {
                let (failed, held) = self.agent.over();
                self.local.extend(failed);
                for held in held {
                    match held {
                        Held::Happening(happening) => self.local.push_back(happening),
                        Held::Parted(reason) => self.begin_part(reason),
                    }
                }
                return None;
            }
        })
    }

    /// A runner is up: reads and watches it, if its adapter can.
    fn begin_agent(&mut self, state: &Session, generation: u64, pid: u32) {
        self.agent.leave();
        let Some(subject) = self.subject(state, generation, false) else { return };
        // Its files are gone on with where they were left: in the conversation it is in now, whatever it was started with.
        let memory = &state.record().agent;
        let launch = Launch { id: self.id, spec: &subject.spec, control: subject.control, memory };
        let (to, heard) = mpsc::channel(HEARD);
        let watching = self.shared.adapters.watch(&launch, pid, Reporter::new(generation, to));
        self.agent.watch = watching.map(|task| Watch { heard, _task: Task(tokio::spawn(task)) });
        self.begin_talk(subject);
    }

    /// A runner has ended while nobody read it. Whether there is something to wait for.
    fn begin_last_words(&mut self, state: &Session) -> bool {
        self.agent.leave();
        let record = state.record();
        if !record.phase.is_live() || record.generation == 0 || self.agent.told_all_of == record.generation {
            return false;
        }
        let Some(subject) = self.subject(state, record.generation, true) else { return false };
        self.begin_talk(subject);
        self.agent.talk.is_some()
    }

    fn begin_talk(&mut self, subject: Subject) {
        let Some(codec) = subject.codec() else { return };
        let generation = subject.generation;
        let (asks, asked) = mpsc::channel(ORDERS);
        let (to, said) = mpsc::channel(HEARD);
        let task = Task(tokio::spawn(follow::run(subject, codec, asked, to)));
        self.agent.talk = Some(Talk { generation, asks, said, orders: BTreeSet::new(), _task: task });
    }

    /// What there is to know of a generation; none: it is not the session's newest, or no agent's.
    fn subject(&self, state: &Session, generation: u64, ended: bool) -> Option<Subject> {
        let record = state.record();
        if record.generation != generation {
            return None;
        }
        let control = Some(record.agent.control?);
        let mut memory = record.agent.clone();
        // What it was started with decides how its words are to be read, whatever is known by now.
        memory.conversation.clone_from(&memory.launched.conversation);
        memory.mode.clone_from(&memory.launched.mode);
        let queue = std::mem::take(&mut memory.queue).into();
        // What is kept as long as the runner lives and is no adapter's business.
        (memory.permissions, memory.accepted, memory.seen) = Default::default();
        Some(Subject {
            shared: Arc::clone(&self.shared),
            id: self.id,
            generation,
            spec: Arc::new(record.spec.clone()),
            control,
            memory: Arc::new(memory),
            queue,
            ended,
        })
    }
}
