//! How an agent's own protocol is read and written: line by line, without I/O.

use std::future::Future;
use std::pin::Pin;

use delight_core::session::AgentHeard;
use delight_proto::agent::{AgentEvent, AgentOrder, Source};
use delight_proto::refusal::Refusal;
use tokio::sync::mpsc;

/// What a line of an agent's output means.
#[derive(Debug, Default)]
pub(crate) struct Understood {
    /// What the agent did, in order.
    pub(crate) events: Vec<AgentEvent>,
    /// What is to be written to it because of the line (the next step of a handshake, the refusal of a request that is
    /// not ours to serve); whole lines. Must carry ids that say the same for the same line, so that
    /// [`Codec::wrote`] recognises them.
    pub(crate) reply: Vec<u8>,
}

/// Reads and writes one agent's protocol for one generation of one session.
///
/// After a restart of the daemon a new codec is given the generation's journal from its beginning, output and input in the
/// order they happened; what it returns for lines that have been taken in before is thrown away. A codec must therefore
/// come to the same state by reading, and must never draw ids from chance or a clock: they are derived from message ids,
/// permission ids and counters of lines. If retention has dropped the beginning it starts in the middle, knowing what its
/// launch said (the conversation), and must still serve.
pub(crate) trait Codec: Send + std::fmt::Debug {
    /// What is written first (an `initialize` request). Whole lines; may be empty.
    fn greeting(&mut self) -> Vec<u8>;

    /// Takes in a line of the runner's output, without its newline. Never fails: what is not understood becomes
    /// [`AgentEvent::Skipped`], what is unknown but well-formed is ignored.
    fn line(&mut self, line: &[u8]) -> Understood;

    /// Takes in a line that was written to the runner: one its journal shows, or one just handed to the holder. An order
    /// that was taken in here needs not be written again. Only this remembers: what [`Self::order`] gave and nobody wrote
    /// was not given.
    fn wrote(&mut self, line: &[u8]);

    /// The lines for an order. Empty: the runner has it already, or there is nothing to do.
    ///
    /// # Errors
    /// The agent cannot do this, or not now. `busy` for a message: it is given again when the agent is idle, and its sender
    /// waits for that.
    fn order(&mut self, order: &AgentOrder) -> Result<Vec<u8>, Refusal>;
}

/// A task that watches files of an agent that runs in its own terminal program; it ends by being dropped.
pub(crate) type Watching = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a watcher tells what it saw. Waits when the session does not keep up: files do not run away.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    generation: u64,
    to: mpsc::Sender<AgentHeard>,
}

impl Reporter {
    /// For the runner of this generation.
    pub(crate) fn new(generation: u64, to: mpsc::Sender<AgentHeard>) -> Self {
        Self { generation, to }
    }

    /// Tells what a line of a source means; `offset` after the line. Returns whether somebody still listens.
    pub(crate) async fn report(&self, source: Source, offset: u64, events: Vec<AgentEvent>) -> bool {
        let heard = AgentHeard { generation: self.generation, source, offset, first: 0, events };
        for part in heard.parts() {
            if self.to.send(part).await.is_err() {
                return false;
            }
        }
        true
    }
}
