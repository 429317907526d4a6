//! One Socket.IO connection by `rust_socketio`, kept within limits it does not have itself.
//!
//! What that library does not do, and what is done about it here:
//! - It has no limit on connecting, sending or ending, and its tasks cannot be stopped: each connection lives in a runtime
//!   and a thread of its own, which end together with it, whatever the library is waiting for.
//! - It reconnects by itself and gives up after a while: its reconnect hook is taken as the news that the connection ended,
//!   and never returns.
//! - It picks one of 999 numbers at random for each acknowledgement, calls everybody who waits for that number, and may end
//!   its reading task by a panic when there were two. So one acknowledgement is awaited at a time; after one that did not
//!   come the connection takes no more calls ([`Link::is_spent`]).
//! - It calls back under a lock: the callbacks only hand on, into a bounded queue. When that is full, reading stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use rust_socketio::asynchronous::{Client, ClientBuilder};
use rust_socketio::{Event, Payload, TransportType};
use serde_json::Value;
use tokio::sync::{Mutex as TurnLock, OwnedMutexGuard, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::{Closed, Heard, NotAnswered};
use crate::error::Kind;
use crate::server::Server;

/// From the first step to the server's welcome. A hung connect must not keep the next from beginning.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one event may take to be written. A peer that does not read for that long is gone.
const SEND: Duration = Duration::from_secs(10);
/// How long a clean end may take.
const LEAVE: Duration = Duration::from_secs(1);
/// Calls that wait for their turn on one connection: only the one that has it, since [`crate::lanes`] hands a
/// connection to one caller at a time.
const WAITING: usize = 1;

struct Question {
    event: &'static str,
    value: Option<Value>,
    limit: Duration,
    answer: oneshot::Sender<Result<Value, NotAnswered>>,
}

/// A connection. Dropping it ends it.
pub(crate) struct Link {
    questions: mpsc::Sender<Question>,
    ended: watch::Receiver<Option<Closed>>,
    spent: AtomicBool,
    turn: Arc<TurnLock<()>>,
}

/// The right to make a call: one at a time.
pub(crate) struct Turn {
    link: Arc<Link>,
    _lock: OwnedMutexGuard<()>,
}

impl std::ops::Deref for Turn {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Link {
    /// Connects; returns when the server has welcomed us. `events` hears everything the server tells; without it nothing
    /// is listened to.
    ///
    /// Cancel safe: given up, the connection ends.
    pub(crate) async fn open(
        server: &Server,
        auth: Value,
        events: Option<mpsc::Sender<Heard>>,
    ) -> Result<Self, Closed> {
        let failed = |reason: String| Closed { reason, refused: false };
        let address = server.url(delight_proto::sync::socket::PATH);
        let tls = if server.is_plain() {
            None
        } else {
            Some(server.native_tls().map_err(|error| failed(error.reason))?)
        };
        let (questions, asked) = mpsc::channel(WAITING);
        let (tell_end, ended) = watch::channel(None);
        let (tell_open, open) = oneshot::channel();
        let run = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    tell_end.send_replace(Some(Closed { reason: error.to_string(), refused: false }));
                    return;
                }
            };
            let (tell_news, news) = mpsc::channel(8);
            let mut builder = ClientBuilder::new(address)
                .transport_type(TransportType::Websocket)
                .auth(auth)
                .reconnect(true)
                .reconnect_on_disconnect(true);
            if let Some(tls) = tls {
                builder = builder.tls_config(tls);
            }
            let builder = hear(builder, &tell_news, events);
            let closed = runtime.block_on(live(builder, news, asked, tell_open));
            runtime.shutdown_background();
            tell_end.send_replace(Some(closed));
        };
        std::thread::Builder::new()
            .name("delight-sdk-link".into())
            .spawn(run)
            .map_err(|error| failed(error.to_string()))?;
        let mut link = Self { questions, ended, spent: AtomicBool::new(false), turn: Arc::default() };
        match open.await {
            Ok(()) => Ok(link),
            Err(_) => Err(link.closed().await),
        }
    }

    /// The right to make a call on it, unless somebody else has it.
    pub(crate) fn turn(self: &Arc<Self>) -> Option<Turn> {
        let lock = Arc::clone(&self.turn).try_lock_owned().ok()?;
        Some(Turn { link: Arc::clone(self), _lock: lock })
    }

    /// Sends an event and waits for its acknowledgement's first argument.
    ///
    /// Not cancel safe: given up, the connection is spent.
    pub(crate) async fn ask(
        &self,
        event: &'static str,
        value: Option<Value>,
        limit: Duration,
    ) -> Result<Value, NotAnswered> {
        // Set for as long as nothing came: also when this future is dropped.
        self.spent.store(true, Ordering::Release);
        let (answer, answered) = oneshot::channel();
        let question = Question { event, value, limit, answer };
        if self.questions.send(question).await.is_err() {
            return Err(NotAnswered::NotSent("the connection has ended".into()));
        }
        let answer = match answered.await {
            Ok(answer) => answer?,
            Err(_) => return Err(NotAnswered::Perhaps("the connection ended".into(), Kind::Unreachable)),
        };
        self.spent.store(false, Ordering::Release);
        Ok(answer)
    }

    /// Whether it takes no more calls.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Acquire) || self.ended.borrow().is_some()
    }

    /// Waits for the end. Cancel safe.
    async fn closed(&mut self) -> Closed {
        let ended = self.ended.wait_for(Option::is_some).await;
        let gone = || Closed { reason: "the connection's thread is gone".into(), refused: false };
        ended.ok().and_then(|ended| ended.clone()).unwrap_or_else(gone)
    }

    /// The end, to be waited for beside the connection.
    pub(crate) fn end(&self) -> watch::Receiver<Option<Closed>> {
        self.ended.clone()
    }
}

/// What the library's callbacks tell.
enum News {
    Welcome,
    /// The server said no.
    Refused(String),
    /// The network said no.
    Broken(String),
    Ended,
}

fn hear(
    builder: ClientBuilder,
    news: &mpsc::Sender<News>,
    events: Option<mpsc::Sender<Heard>>,
) -> ClientBuilder {
    // News are few and the first counts: what does not fit is not missed.
    let tell = |news: &mpsc::Sender<News>| {
        let news = news.clone();
        Arc::new(move |what: News| drop(news.try_send(what)))
    };
    let (welcome, trouble, end) = (tell(news), tell(news), tell(news));
    let builder = builder
        .on(Event::Connect, move |_, _| {
            welcome(News::Welcome);
            async {}.boxed()
        })
        .on(Event::Error, move |payload, _| {
            trouble(trouble_of(&payload));
            async {}.boxed()
        })
        .on_reconnect(move || {
            end(News::Ended);
            std::future::pending().boxed()
        });
    let Some(events) = events else { return builder };
    builder.on_any(move |event, payload, _| {
        let events = events.clone();
        async move {
            if let Payload::Text(args) = payload {
                // Nobody listens any more: the connection is about to end.
                drop(events.send(Heard { name: String::from(event), args }).await);
            }
        }
        .boxed()
    })
}

/// Both a server's `error` event or refusal and the library's own troubles come as the same event.
fn trouble_of(payload: &Payload) -> News {
    let Payload::Text(args) = payload else { return News::Broken("an error nobody explained".into()) };
    match args.first() {
        Some(Value::Object(said)) => {
            let words = said.get("message").and_then(Value::as_str).unwrap_or("no reason was given");
            News::Refused(words.chars().take(200).collect())
        }
        Some(Value::String(words)) => match words.strip_prefix("Received an ConnectError frame: ") {
            Some(words) => News::Refused(words.chars().take(200).collect()),
            None => News::Broken(words.chars().take(200).collect()),
        },
        _ => News::Broken("an error nobody explained".into()),
    }
}

async fn live(
    builder: ClientBuilder,
    mut news: mpsc::Receiver<News>,
    mut asked: mpsc::Receiver<Question>,
    open: oneshot::Sender<()>,
) -> Closed {
    let failed = |reason: String| Closed { reason, refused: false };
    // In a task of its own: a handshake of nonsense must end as an error also where the library panics.
    let connecting = async {
        let client = match tokio::spawn(builder.connect()).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(failed(words(&error))),
            Err(_) => return Err(failed("the server's handshake is none".into())),
        };
        match news.recv().await {
            Some(News::Welcome) => Ok(client),
            Some(News::Refused(reason)) => Err(Closed { reason, refused: true }),
            Some(News::Broken(reason)) => Err(failed(reason)),
            Some(News::Ended) | None => Err(failed("the server closed the connection".into())),
        }
    };
    let client = match timeout(CONNECT, connecting).await {
        Ok(Ok(client)) => client,
        Ok(Err(closed)) => return closed,
        Err(_) => return failed(format!("no welcome within {CONNECT:?}")),
    };
    if open.send(()).is_err() {
        return failed("nobody wants it any more".into());
    }
    let closed = loop {
        tokio::select! {
            question = asked.recv() => match question {
                Some(question) => {
                    if let Err(closed) = put(&client, question, &mut news).await {
                        break closed;
                    }
                }
                None => {
                    drop(timeout(LEAVE, client.disconnect()).await);
                    break failed("it was closed here".into());
                }
            },
            closed = ended(&mut news) => break closed,
        }
    };
    tracing::debug!(reason = %closed.reason, "a connection of the phone ended");
    closed
}

/// Waits for the news that the connection has ended, and why.
async fn ended(news: &mut mpsc::Receiver<News>) -> Closed {
    let mut closed = Closed { reason: "the server closed the connection".into(), refused: false };
    loop {
        match news.recv().await {
            Some(News::Welcome) => {}
            // A server that checks the token late says no first and closes then.
            Some(News::Refused(reason)) => closed = Closed { reason, refused: true },
            Some(News::Broken(reason)) => closed.reason = reason,
            Some(News::Ended) | None => return closed,
        }
    }
}

/// Puts one question and waits for its answer. An error is the end of the connection.
async fn put(client: &Client, question: Question, news: &mut mpsc::Receiver<News>) -> Result<(), Closed> {
    let Question { event, value, limit, answer } = question;
    let (tell, told) = oneshot::channel();
    let mut tell = Some(tell);
    let acknowledged = move |payload: Payload, _: Client| {
        if let Some(tell) = tell.take() {
            // The asker may have given up.
            drop(tell.send(payload));
        }
        async {}.boxed()
    };
    let asking = async {
        // The library forgets what comes after its own limit: ours is the one that counts.
        let sent =
            client.emit_with_ack(event, Payload::Text(value.into_iter().collect()), limit * 2, acknowledged);
        match timeout(SEND, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(NotAnswered::NotSent(words(&error))),
            // Part of it may have been written.
            Err(_) => {
                return Err(NotAnswered::Perhaps(format!("not sent within {SEND:?}"), Kind::Unreachable));
            }
        }
        match timeout(limit, told).await {
            Ok(Ok(payload)) => Ok(first(payload)),
            Ok(Err(_)) => Err(NotAnswered::Perhaps("the connection ended".into(), Kind::Unreachable)),
            Err(_) => Err(NotAnswered::Perhaps(format!("no answer within {limit:?}"), Kind::TimedOut)),
        }
    };
    tokio::select! {
        outcome = asking => {
            let broken = match &outcome {
                Err(NotAnswered::NotSent(why)) => Some(why.clone()),
                _ => None,
            };
            drop(answer.send(outcome));
            broken.map_or(Ok(()), |reason| Err(Closed { reason, refused: false }))
        }
        closed = ended(news) => {
            drop(answer.send(Err(NotAnswered::Perhaps(closed.reason.clone(), Kind::Unreachable))));
            Err(closed)
        }
    }
}

/// An error of the library's with its causes, which it does not name itself. It holds no payload.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

/// The first argument of an acknowledgement: the library gives all of them as one array.
fn first(payload: Payload) -> Value {
    let Payload::Text(mut args) = payload else { return Value::Null };
    match args.pop() {
        Some(Value::Array(args)) => args.into_iter().next().unwrap_or(Value::Null),
        other => other.unwrap_or(Value::Null),
    }
}
