//! Which connection a call goes over.
//!
//! The phone's listening connection, while it gives a turn ([`crate::link`] says when); beside it, and before it is open,
//! calls get connections of their own, which are kept for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use delight_proto::sync::bounded::Name;
use delight_proto::sync::socket::{ConnectAuth, Scope};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::error::{Error, Kind};
use crate::http::{Http, json};
use crate::link::{Closed, Heard, Link, NotAnswered, Turn};
use crate::server::Server;

/// Connections beside the listening one. Eight calls at once keep 16 spawns within two rounds; each costs a thread here
/// and a socket there.
const BESIDE: usize = 8;
/// How long an unused connection is kept.
const KEPT: Duration = Duration::from_secs(10);

/// The connections of one account to one server.
pub(crate) struct Lanes {
    server: Server,
    http: Arc<Http>,
    permits: Semaphore,
    listening: Mutex<Option<Arc<Link>>>,
    idle: Mutex<Vec<(Instant, Link)>>,
    /// The server did not answer the first `ping` it was sent: it knows none, and is not asked again.
    mute: AtomicBool,
}

impl Lanes {
    pub(crate) fn new(server: Server, http: Arc<Http>) -> Self {
        let (permits, listening) = (Semaphore::new(BESIDE), Mutex::new(None));
        Self { server, http, permits, listening, idle: Mutex::default(), mute: AtomicBool::new(false) }
    }

    /// Opens a connection with the account's token, renewed when the server refuses it.
    pub(crate) async fn open(&self, events: Option<mpsc::Sender<Heard>>) -> Result<Link, Error> {
        let token = self.http.token().await?;
        let client = Name::cut(concat!("delight-sdk/", env!("CARGO_PKG_VERSION")));
        let auth = json(&ConnectAuth::new(token.clone(), Scope::User, client))?;
        match Link::open(&self.server, auth, events).await {
            Ok(link) => Ok(link),
            Err(Closed { reason, refused }) => {
                if refused {
                    self.http.forget(&token).await;
                    return Err(Error::new(Kind::LoginRefused, "connecting to the server", reason));
                }
                Err(Error::new(Kind::Unreachable, "connecting to the server", reason)
                    .fix("check the network and the server's URL"))
            }
        }
    }

    /// Uses this connection for calls too, or none.
    pub(crate) fn listen_on(&self, link: Option<Arc<Link>>) {
        *locked(&self.listening) = link;
    }

    /// Makes a call on whichever connection is free, opening one if need be.
    ///
    /// # Errors
    /// [`Error::perhaps_done`] tells whether it was sent.
    pub(crate) async fn ask(
        &self,
        event: &'static str,
        value: Value,
        limit: Duration,
    ) -> Result<Value, Error> {
        if let Some(link) = self.listening_turn() {
            return link.ask(event, Some(value), limit).await.map_err(not_answered);
        }
        let begun = Instant::now();
        let late = || {
            Error::new(Kind::Busy, "a call through the server", "calls before it took all the time it had")
        };
        let Ok(permit) = timeout(limit, self.permits.acquire()).await else { return Err(late()) };
        let Ok(_permit) = permit else { return Err(Error::shutting_down()) };
        let link = match self.take_idle() {
            Some(link) => link,
            None => self.open(None).await?,
        };
        let limit = limit.saturating_sub(begun.elapsed());
        if limit.is_zero() {
            return Err(late());
        }
        let answer = link.ask(event, Some(value), limit).await.map_err(not_answered);
        if !link.is_spent() {
            locked(&self.idle).push((Instant::now(), link));
        }
        answer
    }

    /// Drops connections nobody used for a while.
    pub(crate) fn sweep(&self) {
        let old: Vec<_> = {
            let mut idle = locked(&self.idle);
            let (kept, old) =
                idle.drain(..).partition(|(used, link)| used.elapsed() < KEPT && !link.is_spent());
            *idle = kept;
            old
        };
        drop(old);
    }

    /// Waits for the end of the listening connection and says why it ended. Now and then it asks the server for a sign of
    /// life; a server that never gave one is not known to give any. A connection that takes no more calls is ended.
    pub(crate) async fn watch(&self, every: Duration, patience: Duration) -> Error {
        let over = |reason: String, refused: bool| {
            let kind = if refused { Kind::LoginRefused } else { Kind::Unreachable };
            Error::new(kind, "the connection to the server", reason)
        };
        let Some(link) = locked(&self.listening).clone() else { return over("there is none".into(), false) };
        let mut end = link.end();
        let mut answers = false;
        loop {
            let ended = async { end.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) };
            if let Ok(why) = timeout(every, ended).await {
                return why
                    .map_or_else(|| over("it broke".into(), false), |why| over(why.reason, why.refused));
            }
            // While it is in use the answer that is awaited is the sign of life.
            let Some(turn) = link.turn() else { continue };
            if turn.is_spent() {
                return over("a call on it was not answered".into(), false);
            }
            if self.mute.load(Ordering::Relaxed) {
                continue;
            }
            match turn.ask("ping", None, patience).await {
                Ok(_) => answers = true,
                Err(_) => {
                    self.mute.store(!answers, Ordering::Relaxed);
                    return over("it gave no sign of life".into(), false);
                }
            }
        }
    }

    fn listening_turn(&self) -> Option<Turn> {
        let link = locked(&self.listening).clone()?;
        link.turn().filter(|turn| !turn.is_spent())
    }

    fn take_idle(&self) -> Option<Link> {
        let mut idle = locked(&self.idle);
        while let Some((_, link)) = idle.pop() {
            if !link.is_spent() {
                return Some(link);
            }
        }
        None
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is whole at every point where a panic could be.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_answered(why: NotAnswered) -> Error {
    let what = "a call through the server";
    match why {
        NotAnswered::NotSent(reason) => Error::new(Kind::Unreachable, what, reason),
        NotAnswered::Perhaps(reason, kind) => Error::new(kind, what, reason).perhaps_done(),
    }
}
