//! What goes out on one connection: bounded, in batches.

use std::sync::Arc;

use delight_proto::api::MAX_IN_FLIGHT;
use delight_proto::api::envelope::Response;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Lines that may wait besides those of requests: notifications. A subscriber further behind than this and what the
/// broadcast keeps is told that it lagged.
const QUEUE: usize = 64;

/// Lines written with one system call at most.
const BATCH: usize = 64;

/// Answers that can be large (lists, journals) and are made at once for one connection. Each is at most
/// [`delight_proto::api::MAX_LINE`]: a client that asks and does not read makes the daemon hold 16 MiB, no more.
const LARGE_AT_ONCE: usize = 4;

struct Out {
    line: Box<str>,
    /// Given back once the line is written: a client that does not read gets no further requests taken.
    _held: Vec<OwnedSemaphorePermit>,
}

/// The way out of one connection.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Out>,
    in_flight: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// The right to one answer.
#[derive(Debug)]
pub(super) struct Permit(Vec<OwnedSemaphorePermit>);

/// Room for an answer that can be large.
pub(super) struct Room<'a>(Option<(&'a Outgoing, &'a mut Permit)>);

impl<'a> Room<'a> {
    /// On a connection.
    pub(super) fn of(out: &'a Outgoing, permit: &'a mut Permit) -> Self {
        Self(Some((out, permit)))
    }

    /// For an answer that goes another way, which bounds it.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Waits until it is there.
    pub(super) async fn large(&mut self) {
        if let Some((out, permit)) = &mut self.0 {
            out.permit_large(permit).await;
        }
    }
}

impl Outgoing {
    /// The way out and the task that writes.
    pub(super) fn new(write: OwnedWriteHalf) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, lines) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(write_out(write, lines));
        let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        (Self { queue, in_flight, large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }, writer)
    }

    /// Waits for room for another request. Cancel safe.
    pub(super) async fn permit(&self) -> Permit {
        // The semaphores are never closed.
        Permit(Arc::clone(&self.in_flight).acquire_owned().await.into_iter().collect())
    }

    /// Waits for room for a large answer besides.
    async fn permit_large(&self, permit: &mut Permit) {
        permit.0.extend(Arc::clone(&self.large).acquire_owned().await);
    }

    /// Queues an answer. A connection that has ended takes it silently: there is nobody left to tell.
    pub(super) async fn answer(&self, response: &Response, permit: Permit) {
        // Plain structs: serialising them cannot fail.
        let line = serde_json::to_string(response).unwrap_or_default().into_boxed_str();
        let _ = self.queue.send(Out { line, _held: permit.0 }).await;
    }

    /// Queues a notification; `false` when the connection has ended.
    pub(super) async fn notify(&self, line: Box<str>) -> bool {
        self.queue.send(Out { line, _held: Vec::new() }).await.is_ok()
    }
}

async fn write_out(mut write: OwnedWriteHalf, mut lines: mpsc::Receiver<Out>) {
    let mut batch = Vec::new();
    while lines.recv_many(&mut batch, BATCH).await > 0 {
        let mut bytes = Vec::with_capacity(batch.iter().map(|out: &Out| out.line.len() + 1).sum());
        for out in &batch {
            bytes.extend_from_slice(out.line.as_bytes());
            bytes.push(b'\n');
        }
        if write.write_all(&bytes).await.is_err() {
            // The client is gone; whoever still has something for it sees the closed queue.
            return;
        }
        batch = Vec::new();
    }
}
