//! One connected socket as the rest of the relay sees it: who it is, and the bounded queue of what it is sent.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::packet;

/// Expendable frames (activity, usage) are left out while more than this many frames wait.
const EXPENDABLE_BEYOND: usize = 256;
/// Most frames that wait, whatever their size: bounds the queue's own memory.
const FRAMES_MAX: usize = 16_384;

/// What a socket is for. It says what the socket hears; it gives no rights beyond its account's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Watches the whole account.
    User,
    /// Serves a session.
    Session(String),
    /// Serves a machine.
    Machine(String),
}

/// A connected socket.
pub(crate) struct Peer {
    /// Unique while the relay runs; a later socket has a higher one.
    pub(crate) number: u64,
    pub(crate) account: String,
    pub(crate) scope: Scope,
    pub(crate) since: Instant,
    /// The person is looking at this watcher now.
    pub(crate) watching: AtomicBool,
    /// How many methods it answers.
    pub(crate) methods: AtomicUsize,
    /// Ends the connection.
    pub(crate) closing: CancellationToken,
    outbox: Mutex<Outbox>,
    pub(crate) ready: Notify,
    outbox_max: usize,
    questions: Mutex<Questions>,
    next_question: AtomicU64,
}

#[derive(Default)]
struct Outbox {
    frames: VecDeque<Utf8Bytes>,
    bytes: usize,
}

#[derive(Default)]
struct Questions {
    waiting: HashMap<u64, oneshot::Sender<String>>,
    closed: bool,
}

impl Peer {
    pub(crate) fn new(
        number: u64,
        account: String,
        scope: Scope,
        watching: bool,
        outbox_max: usize,
        closing: CancellationToken,
    ) -> Self {
        Self {
            number,
            account,
            scope,
            since: Instant::now(),
            watching: AtomicBool::new(watching),
            methods: AtomicUsize::new(0),
            closing,
            outbox: Mutex::default(),
            ready: Notify::new(),
            outbox_max,
            questions: Mutex::default(),
            next_question: AtomicU64::new(0),
        }
    }

    /// Queues a frame. A socket too slow for its bound is closed rather than left with a gap it cannot see.
    pub(crate) fn send(&self, frame: Utf8Bytes) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        if outbox.bytes + frame.len() > self.outbox_max || outbox.frames.len() >= FRAMES_MAX {
            drop(outbox);
            if !self.closing.is_cancelled() {
                tracing::info!(socket = self.number, "closing a socket that does not keep up");
                self.closing.cancel();
            }
            return;
        }
        outbox.bytes += frame.len();
        outbox.frames.push_back(frame);
        drop(outbox);
        self.ready.notify_one();
    }

    /// Queues a frame unless the socket is behind already.
    pub(crate) fn send_expendable(&self, frame: Utf8Bytes) {
        let behind = {
            let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
            outbox.frames.len() >= EXPENDABLE_BEYOND || outbox.bytes + frame.len() > self.outbox_max / 2
        };
        if !behind {
            self.send(frame);
        }
    }

    /// The next frame to put on the wire.
    pub(crate) fn next_frame(&self) -> Option<Utf8Bytes> {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = outbox.frames.pop_front()?;
        outbox.bytes -= frame.len();
        if outbox.frames.is_empty() && outbox.frames.capacity() > 64 {
            outbox.frames = VecDeque::new();
        }
        Some(frame)
    }

    /// Asks this socket something. The receiver gets the JSON of its answer, or is dropped when the socket closes.
    pub(crate) fn ask(&self, name: &str, payload: &str) -> (u64, oneshot::Receiver<String>) {
        let (tell, told) = oneshot::channel();
        let number = self.next_question.fetch_add(1, Ordering::Relaxed);
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        if !questions.closed {
            questions.waiting.insert(number, tell);
            drop(questions);
            self.send(packet::question(number, name, payload).into());
        }
        (number, told)
    }

    /// Nobody waits for this answer any more.
    pub(crate) fn forget(&self, question: u64) {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&question);
    }

    /// The socket answered. An answer nobody waits for is dropped.
    pub(crate) fn answered(&self, question: u64, answer: String) {
        let waiting = self.questions.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&question);
        if let Some(waiting) = waiting {
            // Whoever asked may just have given up.
            drop(waiting.send(answer));
        }
    }

    /// The socket is gone: nothing is answered from now on.
    pub(crate) fn closed(&self) {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        questions.closed = true;
        questions.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(outbox_max: usize) -> Peer {
        Peer::new(1, "c".into(), Scope::User, false, outbox_max, CancellationToken::new())
    }

    #[test]
    fn a_socket_that_does_not_keep_up_is_closed_not_left_with_a_gap() {
        let peer = peer(100);
        peer.send("x".repeat(60).into());
        assert!(!peer.closing.is_cancelled());
        peer.send("y".repeat(60).into());
        assert!(peer.closing.is_cancelled());
        assert_eq!(peer.next_frame().map(|frame| frame.len()), Some(60));
        assert_eq!(peer.next_frame(), None);
    }

    #[test]
    fn what_may_be_missed_is_left_out_first() {
        let peer = peer(1_000);
        for _ in 0..600 {
            peer.send_expendable("x".into());
        }
        assert!(!peer.closing.is_cancelled());
        assert_eq!(std::iter::from_fn(|| peer.next_frame()).count(), EXPENDABLE_BEYOND);
    }

    #[tokio::test]
    async fn a_closed_socket_answers_nothing_and_nobody_waits_for_it() {
        let peer = peer(1_000);
        let (number, told) = peer.ask("rpc-request", "{}");
        peer.answered(number, "1".into());
        assert_eq!(told.await.unwrap(), "1");
        let (_, early) = peer.ask("rpc-request", "{}");
        peer.closed();
        let (_, late) = peer.ask("rpc-request", "{}");
        assert!(early.await.is_err() && late.await.is_err());
    }
}
