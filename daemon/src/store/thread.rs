//! The store's one writing thread and its group commit.

use std::fs;
use std::io;
use std::sync::Arc;

use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::policy::Policy;
use delight_proto::refusal::{Code, Refusal};
use tokio::sync::{mpsc, oneshot, watch};

use super::beside::Beside;
use super::events::Logs;
use super::registry::{self, Registry};
use super::{Contents, LinkRecord, PolicyChange, PolicyChanged, Write, policy, stray};

/// Commits that may wait. Each belongs to a session's step, and a session has one step at a time: this is more than
/// the sessions that can be busy at once, and a full queue only makes them wait.
const QUEUE: usize = 1_024;

/// Most commits flushed together: bounds how long the first of them waits for the last.
const GROUP: usize = 256;

/// Why a commit was not carried out whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitFailed {
    /// What, why, fix.
    pub(crate) refusal: Refusal,
    /// The last event number the session's log really holds.
    pub(crate) log_seq: u64,
}

/// A minute: nothing on the store's threads waits for a time.
#[cfg(target_os = "linux")]
const TIMER_SLACK_NS: u64 = 60_000_000_000;

struct Commit {
    id: SessionId,
    writes: Vec<Write>,
    done: oneshot::Sender<Result<(), CommitFailed>>,
}

/// What became of reading the links.
type Links = Result<Vec<(SessionId, LinkRecord)>, Refusal>;

enum Job {
    Commit(Commit),
    Policy(PolicyChange, oneshot::Sender<Result<PolicyChanged, Refusal>>),
    /// Answered with all links.
    Links(oneshot::Sender<Links>),
    /// Answered when everything before it is done.
    Close(oneshot::Sender<()>),
}

/// A handle on the store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    jobs: mpsc::Sender<Job>,
    policy: watch::Receiver<Arc<Policy>>,
}

impl Store {
    pub(super) fn start(place: Place) -> Result<(Self, Contents), Refusal> {
        let refuse =
            |reason: String| Refusal::new(Code::Storage, "the store's thread could not be started", reason);
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (opened, is_open) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                private_files();
                // Before the timers are quiet: its short sleeps would each take as long as their slack.
                let free = registry::await_release(&place.registry());
                quiet_timers();
                let opening =
                    free.and_then(|()| super::read_all(&place)).and_then(|(registry, policy, contents)| {
                        let beside = Beside::start(registry.flusher()).map_err(|e| refuse(e.to_string()))?;
                        Ok((registry, beside, policy, contents))
                    });
                match opening {
                    Ok((registry, beside, policy, contents)) => {
                        let (policy, watched) = watch::channel(Arc::new(policy));
                        let logs = Logs::new(place.clone());
                        let keeper = Keeper { registry, beside, logs, place, policy };
                        // The daemon has given up starting if nobody listens; the queue is closed then.
                        let _ = opened.send(Ok((contents, watched)));
                        keeper.run(queue);
                    }
                    Err(refusal) => drop(opened.send(Err(refusal))),
                }
            })
            .map_err(|e| refuse(e.to_string()))?;
        let (contents, policy) = is_open.recv().map_err(|_| refuse("it ended at once".to_owned()))??;
        Ok((Self { jobs, policy }, contents))
    }

    /// The owner's policy, now and whenever it changes.
    pub(crate) fn policy(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.clone()
    }

    /// Changes the policy; durable, and seen by everybody who watches it, when answered.
    ///
    /// Dropping the future undoes nothing.
    ///
    /// # Errors
    /// `storage` when it could not be written; the refusals of the change itself.
    pub(crate) async fn change_policy(&self, change: PolicyChange) -> Result<PolicyChanged, Refusal> {
        let (done, answer) = oneshot::channel();
        if self.jobs.send(Job::Policy(change, done)).await.is_err() {
            return Err(gone().refusal);
        }
        answer.await.unwrap_or_else(|_| Err(gone().refusal))
    }

    /// Carries out the writes of one session in order and answers when they are as safe as the table in [`super`]
    /// says.
    ///
    /// Dropping the future undoes nothing: the writes happen whether or not the answer is awaited.
    ///
    /// # Errors
    /// The first write that failed; those after it were not carried out, and no record of this commit is durable.
    /// A flush that failed counts as a failed write.
    pub(crate) async fn commit(&self, id: SessionId, writes: Vec<Write>) -> Result<(), CommitFailed> {
        let (done, answer) = oneshot::channel();
        if self.jobs.send(Job::Commit(Commit { id, writes, done })).await.is_err() {
            return Err(gone());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The links of all sessions to the server.
    ///
    /// # Errors
    /// `storage`.
    pub(crate) async fn links(&self) -> Result<Vec<(SessionId, LinkRecord)>, Refusal> {
        let (to, answer) = oneshot::channel();
        if self.jobs.send(Job::Links(to)).await.is_err() {
            return Err(gone().refusal);
        }
        answer.await.unwrap_or_else(|_| Err(gone().refusal))
    }

    /// Flushes and ends the store. Later commits are refused.
    pub(crate) async fn close(&self) {
        let (done, answer) = oneshot::channel();
        if self.jobs.send(Job::Close(done)).await.is_ok() {
            // An error means the thread has ended already, which is what is asked for.
            let _ = answer.await;
        }
    }
}

fn gone() -> CommitFailed {
    let refusal = Refusal::new(Code::Storage, "the store has ended", "its thread stopped")
        .fix("restart the daemon: sessions go on");
    CommitFailed { refusal, log_seq: 0 }
}

/// Whatever this thread and those it starts create belongs to the owner alone. The rest of the process keeps the umask
/// it was started with: sessions inherit that one, and a shell whose files nobody else may read would be a surprise.
#[cfg(target_os = "linux")]
fn private_files() {
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::stat::{Mode, umask};
    match unshare(CloneFlags::CLONE_FS) {
        Ok(()) => drop(umask(Mode::S_IRWXG | Mode::S_IRWXO)),
        Err(e) => tracing::warn!(error = %e, "the store's files are protected by their directory alone"),
    }
}

/// Elsewhere a thread has no umask of its own: the directory's mode protects the files.
#[cfg(not(target_os = "linux"))]
fn private_files() {}

/// sled's helper threads look for work once a second, each on its own, though they are told of any. Their timers get
/// slack (inherited from this thread): they ride on wake-ups that happen anyway and cause few of their own.
#[cfg(target_os = "linux")]
fn quiet_timers() {
    if let Err(e) = nix::sys::prctl::set_timerslack(TIMER_SLACK_NS) {
        tracing::debug!(error = %e, "the store's timers keep their slack");
    }
}

#[cfg(not(target_os = "linux"))]
fn quiet_timers() {}

struct Keeper {
    registry: Registry,
    beside: Beside,
    logs: Logs,
    place: Place,
    policy: watch::Sender<Arc<Policy>>,
}

impl Keeper {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP);
        let mut closing = Vec::new();
        while queue.blocking_recv_many(&mut group, GROUP) > 0 {
            let mut finished = Vec::with_capacity(group.len());
            for job in group.drain(..) {
                match job {
                    Job::Commit(commit) => {
                        let result = self.apply(commit.id, &commit.writes);
                        finished.push((commit, result));
                    }
                    Job::Policy(change, done) => {
                        let changed = policy::change(&self.registry, &self.policy, change);
                        // Whoever asked may be gone; the change stands all the same.
                        let _ = done.send(changed);
                    }
                    Job::Links(to) => drop(to.send(self.registry.load_links())),
                    Job::Close(done) => closing.push(done),
                }
            }
            self.answer(finished);
            if !closing.is_empty() {
                queue.close();
            }
        }
        // What is made durable beside it is, before it is said to have ended.
        drop(self);
        for done in closing {
            let _ = done.send(());
        }
    }

    /// Makes durable what these commits were promised, and tells them.
    fn answer(&mut self, commits: Vec<(Commit, Result<(), Refusal>)>) {
        let waits = |commit: &Commit| {
            commit.writes.iter().any(|write| match write {
                Write::Append(_) => false,
                Write::Checkpoint(_) => self.beside.has_failed(),
                Write::Save(_) | Write::Link(_) | Write::Forget => true,
            })
        };
        let waiting: Vec<bool> = commits.iter().map(|(commit, _)| waits(commit)).collect();
        let is_checkpoint = |write: &Write| matches!(write, Write::Checkpoint(_));
        let checkpoint = commits.iter().any(|(commit, _)| commit.writes.iter().any(is_checkpoint));
        let flushed = if waiting.contains(&true) { self.flush() } else { Ok(()) };
        for ((commit, result), waits) in commits.into_iter().zip(waiting.iter().copied()) {
            let result = if waits { result.and_then(|()| flushed.clone()) } else { result };
            let result =
                result.map_err(|refusal| CommitFailed { refusal, log_seq: self.logs.last_seq(commit.id) });
            // Whoever asked may be gone; the write stands all the same.
            let _ = commit.done.send(result);
        }
        if checkpoint && !waiting.contains(&true) {
            self.beside.flush();
        }
        for closed in self.logs.take_closed() {
            self.beside.sync(closed);
        }
    }

    fn flush(&self) -> Result<(), Refusal> {
        let flushed = self.registry.flush();
        match &flushed {
            Ok(()) => self.beside.is_flushed(),
            Err(refusal) => tracing::error!(%refusal, "the registry could not be flushed"),
        }
        flushed
    }

    fn apply(&mut self, id: SessionId, writes: &[Write]) -> Result<(), Refusal> {
        for write in writes {
            match write {
                Write::Save(record) | Write::Checkpoint(record) => self.registry.put(record)?,
                Write::Link(link) => self.registry.put_link(id, link)?,
                Write::Append(event) => self.logs.append(id, event)?,
                Write::Forget => self.forget(id)?,
            }
        }
        Ok(())
    }

    /// The directory is renamed first: from then on the removal is completed even after a crash.
    fn forget(&mut self, id: SessionId) -> Result<(), Refusal> {
        self.logs.close(id);
        match fs::rename(self.place.session(id), stray::removed_dir(&self.place, id)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(Refusal::new(
                    Code::Storage,
                    format!("the directory of session {id} could not be set aside"),
                    e.to_string(),
                ));
            }
        }
        policy::forget(&self.registry, &self.policy, id)?;
        self.registry.delete(id)
    }
}

/// Deletes the directory of a forgotten session. Blocks on the disk.
pub(crate) fn delete_directory(place: &Place, id: SessionId) -> io::Result<()> {
    // A runner that was killed left it. Whatever else is wrong with it, the next runner says.
    let _ = fs::remove_file(place.agent_socket(id));
    match fs::remove_dir_all(stray::removed_dir(place, id)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
