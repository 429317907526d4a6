//! The one place where the phone's state changes: a thread with a bounded mailbox.
//!
//! Any number of threads and tasks may ask; jobs run one after the other on the dispatcher's own thread. Nothing there
//! waits for the network: what does is an effect, a task beside the dispatcher whose result comes back as a job.
//! No code of the caller's runs on that thread, and no lock is held while anything waits, so a listener may call back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::error::Error;
use crate::link::Heard;
use crate::state::State;

/// Jobs that may wait. A job takes microseconds, so a thousand are some milliseconds behind; more means that somebody
/// asks without listening to answers, and hears *busy*.
pub(crate) const MAILBOX: usize = 1_024;
/// Events of the server's that may wait. Beyond that the connection is not read, and at last the server closes it: what
/// was missed is fetched.
pub(crate) const HEARD: usize = 256;
/// How often unused connections are looked for.
const TICK: Duration = Duration::from_secs(5);

/// Something to do with the state.
pub(crate) type Job = Box<dyn FnOnce(&mut State) + Send>;

/// An answer that will come, exactly once: also when the phone shuts down before.
///
/// Await it, or wait for it on any thread. Dropping it gives up the answer, not what was asked for.
#[derive(Debug)]
#[must_use = "an answer nobody reads"]
pub struct Ticket<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Ticket<T> {
    /// Waits for the answer, blocking this thread. Not for a thread that runs async tasks: await there.
    ///
    /// # Errors
    /// Whatever the call says.
    pub fn wait(self) -> Result<T, Error> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut ticket = self;
        loop {
            match Pin::new(&mut ticket).poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// An answer that is there already.
    pub(crate) fn ready(answer: Result<T, Error>) -> Self {
        let (reply, ticket) = reply();
        reply.send(answer);
        ticket
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(Error::shutting_down())))
    }
}

/// The other end of a [`Ticket`]. Dropped unused, as at the end of the phone, it answers that the phone shuts down.
#[derive(Debug)]
pub(crate) struct Reply<T>(oneshot::Sender<Result<T, Error>>);

impl<T> Reply<T> {
    pub(crate) fn send(self, answer: Result<T, Error>) {
        // Whoever asked may have gone.
        drop(self.0.send(answer));
    }
}

pub(crate) fn reply<T>() -> (Reply<T>, Ticket<T>) {
    let (answer, ticket) = oneshot::channel();
    (Reply(answer), Ticket(ticket))
}

/// Starts effects and takes their results back as jobs.
#[derive(Clone)]
pub(crate) struct Effects {
    /// Without a bound of its own: an effect sends a few jobs and ends, and effects are bounded where they are started.
    results: mpsc::UnboundedSender<Job>,
}

impl Effects {
    /// Runs `effect` beside the dispatcher and `then` on it with the result.
    pub(crate) fn run<T, F>(&self, effect: F, then: impl FnOnce(&mut State, T) + Send + 'static)
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let effects = self.clone();
        tokio::spawn(async move {
            let result = effect.await;
            effects.tell(move |state| then(state, result));
        });
    }

    /// Puts a job behind those that are there.
    pub(crate) fn tell(&self, job: impl FnOnce(&mut State) + Send + 'static) {
        // The dispatcher may have ended: then so has everything it would have told.
        drop(self.results.send(Box::new(job)));
    }
}

/// The dispatcher as callers hold it. The last one dropped ends it.
pub(crate) struct Dispatcher {
    mailbox: mpsc::Sender<Job>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
}

impl Dispatcher {
    /// Starts the thread; `make` builds the state on it.
    pub(crate) fn start(
        make: impl FnOnce(Effects, mpsc::Sender<Heard>) -> State + Send + 'static,
    ) -> Result<Self, Error> {
        let system = |error: std::io::Error| {
            Error::new(crate::error::Kind::System, "starting the phone", error.to_string())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
        let (mailbox, jobs) = mpsc::channel(MAILBOX);
        let (stop, stopping) = watch::channel(false);
        let (tell_end, ended) = watch::channel(false);
        std::thread::Builder::new()
            .name("delight-sdk".into())
            .spawn(move || {
                runtime.block_on(run(make, jobs, stopping));
                // Every effect ends here; with it every reply nobody has sent yet is answered.
                runtime.shutdown_background();
                tell_end.send_replace(true);
            })
            .map_err(system)?;
        Ok(Self { mailbox, stop, ended })
    }

    /// Asks for something; `job` answers the reply, at once or by way of effects.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut State, Reply<T>) + Send + 'static,
    ) -> Ticket<T> {
        let (reply, ticket) = reply();
        match self.mailbox.try_send(Box::new(move |state: &mut State| job(state, reply))) {
            Err(mpsc::error::TrySendError::Full(_)) => {
                Ticket::ready(Err(Error::busy("a call to the phone", MAILBOX)))
            }
            // Sent, or dropped with its reply, which has answered by that.
            _ => ticket,
        }
    }

    /// Ends the dispatcher and waits until everything that was asked is answered.
    pub(crate) async fn end(&self) {
        self.stop.send_replace(true);
        let mut ended = self.ended.clone();
        // An error means that the thread is gone, which is what is waited for.
        drop(ended.wait_for(|ended| *ended).await);
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn run(
    make: impl FnOnce(Effects, mpsc::Sender<Heard>) -> State,
    mut jobs: mpsc::Receiver<Job>,
    mut stopping: watch::Receiver<bool>,
) {
    let (results, mut effects) = mpsc::unbounded_channel();
    let (tell_heard, mut heard) = mpsc::channel(HEARD);
    let mut state = make(Effects { results }, tell_heard);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    state.begin();
    loop {
        // In no fixed order: a server that never stops talking must not keep callers waiting.
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(job) = effects.recv() => job(&mut state),
            Some(event) = heard.recv() => state.hear(&event),
            job = jobs.recv() => match job {
                Some(job) => job(&mut state),
                None => break,
            },
            _ = ticks.tick() => state.tick(),
        }
    }
}
