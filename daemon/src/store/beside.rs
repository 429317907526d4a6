//! What is made durable beside the commits: nobody was promised it, and no commit waits for it.
//!
//! Without it an agent that says much would wait for the disk with every few hundred events: when its log begins a new
//! segment, and when its record is saved so that a restart folds few events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use delight_journal::Closed;

use super::registry::Flusher;

/// Jobs that may wait. Beyond it the disk is slower than what is written, and whoever writes has to wait for it.
const JOBS: usize = 64;

/// Something to be made durable.
#[derive(Debug)]
enum Job {
    Registry,
    Segment(Closed),
}

/// The thread that does it. It ends with this, when it has done all.
#[derive(Debug)]
pub(super) struct Beside {
    /// Missing only while it ends.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    flusher: Flusher,
    /// Whether the registry's last flush here failed.
    failed: Arc<AtomicBool>,
}

impl Beside {
    pub(super) fn start(flusher: Flusher) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(JOBS);
        let failed = Arc::new(AtomicBool::new(false));
        let thread = {
            let (flusher, failed) = (flusher.clone(), Arc::clone(&failed));
            std::thread::Builder::new()
                .name("store-sync".to_owned())
                .spawn(move || run(&queue, &flusher, &failed))?
        };
        Ok(Self { jobs: Some(jobs), thread: Some(thread), flusher, failed })
    }

    /// Has the registry flushed some time.
    pub(super) fn flush(&self) {
        self.give(Job::Registry);
    }

    /// Has a closed segment made durable some time.
    pub(super) fn sync(&self, closed: Closed) {
        self.give(Job::Segment(closed));
    }

    /// Whether the registry could not be flushed here: whoever writes it flushes it then, and hears why.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// It was flushed elsewhere.
    pub(super) fn is_flushed(&self) {
        self.failed.store(false, Ordering::Relaxed);
    }

    fn give(&self, job: Job) {
        let refused = match &self.jobs {
            Some(jobs) => jobs.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = refused {
            carry_out(job, &self.flusher, &self.failed);
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that makes the store durable panicked");
        }
    }
}

fn run(queue: &Receiver<Job>, flusher: &Flusher, failed: &AtomicBool) {
    let mut flushes = false;
    while let Ok(job) = queue.recv() {
        for job in std::iter::once(job).chain(queue.try_iter()) {
            match job {
                // One flush serves all that wait.
                Job::Registry => flushes = true,
                segment => carry_out(segment, flusher, failed),
            }
        }
        if std::mem::take(&mut flushes) {
            carry_out(Job::Registry, flusher, failed);
        }
    }
}

fn carry_out(job: Job, flusher: &Flusher, failed: &AtomicBool) {
    match job {
        Job::Registry => {
            let flushed = flusher.flush();
            failed.store(flushed.is_err(), Ordering::Relaxed);
            if let Err(refusal) = flushed {
                tracing::warn!(%refusal, "the registry was not flushed; the next write of it does that");
            }
        }
        Job::Segment(closed) => {
            if let Err(e) = closed.sync() {
                tracing::warn!(error = %e, "a full segment was not made durable; the next one waits for that");
            }
        }
    }
}
