//! The agent's side of a session's actor: its protocol is read from what its runner writes, orders are written in it.
//!
//! A task a generation folds the generation's journal into a fresh codec, then follows the holder as a viewer. It works
//! the same after a start, after a new daemon found the runner alive, after a broken connection, and when the runner
//! has ended while nobody read: what the journal holds and the session has not taken in is told, then the end.

mod fold;
mod follow;
mod hosting;
mod last_words;
mod lines;
mod reading;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use delight_core::session::{AgentHeard, Happening};
use delight_proto::agent::{AgentMemory, AgentOrder, Control, Message};
use delight_proto::id::{LocalId, SessionId};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::StartSpec;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Shared;
use crate::adapters::Launch;
use crate::adapters::codec::Codec;

/// What the task may have told and the actor not heard: a handful of lines, each as large as a record may be. Beyond it
/// the task waits, then the holder keeps what it sends, in the journal: an agent that floods slows its own reader.
const HEARD: usize = 16;

/// Orders on their way to the task: all a session may have under way ([`delight_core::session::state::MAX_TAGGED`])
/// and some that became moot.
const ORDERS: usize = 128;

/// How long the end of a runner waits for its last words while nothing of them comes: a disk that stalls, not one
/// that is slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tags of this bit are the shell's own: replies of a codec. The reducer counts from 1.
pub(super) const OWN_TAG: u64 = 1 << 63;

/// Whose protocol is read.
#[derive(Debug, Clone)]
struct Subject {
    shared: Arc<Shared>,
    id: SessionId,
    generation: u64,
    spec: Arc<StartSpec>,
    control: Option<Control>,
    memory: Arc<AgentMemory>,
    /// Messages it may have been given, and nobody knows.
    queue: Arc<[Message]>,
    /// Whether its runner is known to have ended: then there is nobody to follow or to answer.
    ended: bool,
}

impl Subject {
    fn codec(&self) -> Option<Box<dyn Codec>> {
        self.shared.adapters.codec(&Launch {
            id: self.id,
            spec: &self.spec,
            control: self.control,
            memory: &self.memory,
        })
    }

    fn journal(&self) -> std::path::PathBuf {
        self.shared.launcher.place.session(self.id).join("journal")
    }
}

/// What the task is asked.
#[derive(Debug)]
enum Ask {
    /// To put an order into the agent's words.
    Order { tag: u64, order: Box<AgentOrder> },
    /// To begin anew from the journal: something it thinks was written was not.
    Again,
}

/// What the task says.
#[derive(Debug)]
pub(super) enum Said {
    /// The agent did or said something.
    Heard(Box<AgentHeard>),
    /// This is to be written; with a tag: for an order.
    Write { tag: Option<u64>, bytes: Vec<u8> },
    /// The agent has the order already.
    Done { tag: u64 },
    /// The order cannot be given.
    Failed { tag: u64, refusal: Refusal },
    /// The runner, which has ended, had the message.
    Given { local_id: LocalId },
    /// The agent takes the message when it is idle.
    NotYet { tag: u64 },
}

/// A task that ends with its handle.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The reader of one generation.
#[derive(Debug)]
struct Talk {
    generation: u64,
    asks: mpsc::Sender<Ask>,
    said: mpsc::Receiver<Said>,
    /// Orders it has not answered.
    orders: BTreeSet<u64>,
    _task: Task,
}

/// The watcher of one generation's files.
#[derive(Debug)]
struct Watch {
    heard: mpsc::Receiver<AgentHeard>,
    _task: Task,
}

/// What is held back until the reader has told all.
#[derive(Debug)]
enum Held {
    /// Something the holder said.
    Happening(Happening),
    /// The connection to the holder ended.
    Parted(String),
}

/// What a session's actor has of its agent.
#[derive(Debug, Default)]
pub(super) struct Agent {
    talk: Option<Talk>,
    watch: Option<Watch>,
    /// Not empty: the runner's end waits, with all that came after it.
    held: Vec<Held>,
    /// When it waits no longer.
    patience: Option<Instant>,
    /// The generation whose reader has told all up to its end.
    told_all_of: u64,
    /// The last own tag given.
    last_tag: u64,
}

/// What came of waiting for the agent.
pub(super) enum Came {
    /// The task or the watcher said something.
    Said(Said),
    /// The reader has told all, or takes too long.
    Over,
}

impl Agent {
    /// The next thing the agent's tasks say. Cancel safe. `hears`: whether the session takes it in now; else it waits, but
    /// for the last words of a runner, whose end waits for them.
    pub(super) async fn next(&mut self, hears: bool) -> Came {
        let hears = hears || !self.held.is_empty();
        loop {
            let over = async {
                match self.patience {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                said = receive(self.talk.as_mut().map(|talk| &mut talk.said)), if hears => match said {
                    Some(said) => {
                        if self.patience.is_some() {
                            self.patience = Some(Instant::now() + PATIENCE);
                        }
                        if let (Said::Write { tag: Some(tag), .. } | Said::Done { tag } | Said::Failed { tag, .. } | Said::NotYet { tag }, Some(talk)) =
                            (&said, &mut self.talk)
                        {
                            talk.orders.remove(tag);
                        }
                        return Came::Said(said);
                    }
                    None => {
                        self.told_all_of = self.talk.as_ref().map_or(0, |talk| talk.generation);
                        return Came::Over;
                    }
                },
                heard = receive(self.watch.as_mut().map(|watch| &mut watch.heard)), if hears => match heard {
                    Some(heard) => return Came::Said(Said::Heard(Box::new(heard))),
                    None => self.watch = None,
                },
                () = over => {
                    tracing::warn!("the last words of a runner do not come");
                    return Came::Over;
                }
            }
        }
    }

    /// Whether something has to wait for the reader: what ends this generation, and all that comes after it.
    fn must_wait(&self, ends: Option<u64>) -> bool {
        let reads = |generation| self.talk.as_ref().is_some_and(|talk| talk.generation == generation);
        !self.held.is_empty() || ends.is_some_and(reads)
    }

    fn hold(&mut self, what: Held) {
        self.held.push(what);
        self.patience.get_or_insert_with(|| Instant::now() + PATIENCE);
    }

    /// The reader is over: refuses what it was asked and gives what was held back.
    fn over(&mut self) -> (Vec<Happening>, Vec<Held>) {
        let orders = self.talk.take().map(|talk| talk.orders).unwrap_or_default();
        let failed = |tag| Happening::TagFailed { tag, refusal: no_agent() };
        self.patience = None;
        (orders.into_iter().map(failed).collect(), std::mem::take(&mut self.held))
    }

    /// Forgets the runner: the connection to its holder broke. Orders under way are answered by what is heard of the
    /// holder next.
    fn leave(&mut self) {
        (self.talk, self.watch) = (None, None);
    }

    /// Gives an order to the reader.
    pub(super) fn order(&mut self, tag: u64, order: AgentOrder) -> Result<(), Refusal> {
        let talk = self.talk.as_mut().ok_or_else(no_agent)?;
        match talk.asks.try_send(Ask::Order { tag, order: Box::new(order) }) {
            Ok(()) => {
                talk.orders.insert(tag);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Refusal::new(Code::Busy, "the agent was not told", "it is still told of earlier orders"))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(no_agent()),
        }
    }

    /// A tag of the shell's own.
    fn own_tag(&mut self) -> u64 {
        self.last_tag += 1;
        OWN_TAG | self.last_tag
    }

    /// Something that was to be written was not, and the runner lives: the reader begins anew from the journal.
    pub(super) fn again(&mut self) {
        if let Some(talk) = &self.talk {
            // Full: it has so much to do that it will meet the fault again itself; closed: it is over.
            let _ = talk.asks.try_send(Ask::Again);
        }
    }
}

async fn receive<T>(from: Option<&mut mpsc::Receiver<T>>) -> Option<T> {
    match from {
        Some(from) => from.recv().await,
        None => std::future::pending().await,
    }
}

fn no_agent() -> Refusal {
    Refusal::new(Code::WrongState, "the agent was not told", "no runner of it that speaks its protocol is up")
        .fix("see what the session does: delightctl show")
}
