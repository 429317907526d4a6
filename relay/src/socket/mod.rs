//! The Socket.IO endpoint: one task reads a connection, one writes it.
//!
//! Spoken here directly over WebSocket instead of by a library, for three properties this relay stands on: events of a
//! socket are taken in the order in which they came (`message` has no acknowledgement and no number of its own); what
//! waits for a slow socket is bounded in bytes; and a socket that sends faster than its events can be taken is read more
//! slowly instead of being buffered. Every client of this wire uses WebSocket only, so polling is not offered.

mod event;
pub(crate) mod packet;
pub(crate) mod peer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use self::event::Event;
use self::packet::Packet;
use self::peer::{Peer, Scope};
use crate::clock;
use crate::ids;
use crate::limit::Bucket;
use crate::presence::Kind;
use crate::shared::Shared;

/// How long a connection may take to log in.
const LOGIN: Duration = Duration::from_secs(20);
/// How long a last word may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Longest id in a login.
const ID_MAX: usize = 256;

type Sink = SplitSink<WebSocket, Message>;
type Stream = SplitStream<WebSocket>;

/// The query of a connection.
#[derive(Deserialize)]
pub(crate) struct Handshake {
    #[serde(rename = "EIO")]
    version: Option<String>,
    transport: Option<String>,
}

/// Takes a connection.
pub(crate) async fn connect(
    State(shared): State<Arc<Shared>>,
    Query(handshake): Query<Handshake>,
    request: Request,
) -> Response {
    let refuse = |code: u8, message: &str| {
        (StatusCode::BAD_REQUEST, Json(json!({ "code": code, "message": message }))).into_response()
    };
    if handshake.version.as_deref() != Some("4") {
        return refuse(5, "Unsupported protocol version");
    }
    if handshake.transport.as_deref() != Some("websocket") {
        return refuse(0, "Transport unknown");
    }
    let (mut parts, _) = request.into_parts();
    let Some(closing) = parts.extensions.get::<CancellationToken>().map(CancellationToken::child_token)
    else {
        return refuse(3, "Bad request");
    };
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        let error = json!({ "error": "the relay has as many connections as it may" });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(error)).into_response();
    };
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade
            .max_message_size(packet::MAX)
            .max_frame_size(packet::MAX)
            // A thousand idle machines should cost little: the library's default reads 128 KiB ahead for each.
            .read_buffer_size(4_096)
            .write_buffer_size(0)
            .on_upgrade(move |socket| async move {
                serve(shared, socket, closing).await;
                drop(place);
            }),
        Err(why) => why.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    token: Option<String>,
    client_type: Option<String>,
    session_id: Option<String>,
    machine_id: Option<String>,
    app_state: Option<String>,
}

fn log_in(
    shared: &Shared,
    sid: &str,
    login: &str,
    closing: &CancellationToken,
) -> Result<Arc<Peer>, &'static str> {
    let login: Login = serde_json::from_str(login).map_err(|_| "Missing authentication token")?;
    let token = login.token.ok_or("Missing authentication token")?;
    let fits = |id: &String| !id.is_empty() && id.len() <= ID_MAX;
    let scope = match login.client_type.as_deref() {
        None | Some("user-scoped") => Scope::User,
        Some("session-scoped") => Scope::Session(
            login.session_id.filter(fits).ok_or("Session ID required for session-scoped clients")?,
        ),
        Some("machine-scoped") => Scope::Machine(
            login.machine_id.filter(fits).ok_or("Machine ID required for machine-scoped clients")?,
        ),
        Some(_) => return Err("Unknown client type"),
    };
    let account =
        shared.tokens.account(&token, clock::now_ms() / 1_000).ok_or("Invalid authentication token")?;
    let watching = login.app_state.as_deref() == Some("active");
    let limits = &shared.config.limits;
    let peer =
        Arc::new(Peer::new(shared.next_socket(), account, scope, watching, limits.outbox, closing.clone()));
    // First of all: from the next line on, anything may be said to it, and a client takes nothing before this.
    peer.send(packet::connected(sid).into());
    if shared.hub.join(Arc::clone(&peer), limits.sockets_per_account) {
        Ok(peer)
    } else {
        Err("Too many connections of this account")
    }
}

async fn serve(shared: Arc<Shared>, socket: WebSocket, closing: CancellationToken) {
    let (mut sink, mut stream) = socket.split();
    let Ok(sid) = ids::update() else { return };
    let rules = &shared.config.presence;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let open = packet::open(&sid, millis(rules.ping_interval), millis(rules.ping_timeout));
    let login = async {
        let _turn = shared.logins.acquire().await.ok()?;
        sink.send(Message::Text(open.into())).await.ok()?;
        // rust_socketio answers a ping nobody sent before it logs in, as servers of Socket.IO allow.
        loop {
            match stream.next().await?.ok()? {
                Message::Text(frame) if matches!(packet::parse(&frame), Ok(Packet::Pong)) => {}
                login => break Some(login),
            }
        }
    };
    let login = tokio::select! {
        login = timeout(LOGIN, login) => login.ok().flatten(),
        () = closing.cancelled() => None,
    };
    let Some(Message::Text(login)) = login else { return };
    let Ok(Packet::Connect(login)) = packet::parse(&login) else { return };
    let peer = match log_in(&shared, &sid, login, &closing) {
        Ok(peer) => peer,
        Err(why) => {
            tracing::debug!(why, "a socket was refused");
            let farewell = async {
                sink.send(Message::Text(packet::refused(why).into())).await?;
                sink.close().await
            };
            // Whether it heard why makes no difference here.
            drop(timeout(FAREWELL, farewell).await);
            return;
        }
    };
    tracing::debug!(socket = peer.number, scope = ?peer.scope, "a socket joined");
    let writing = tokio::spawn(write(Arc::clone(&peer), sink, rules.ping_interval, rules.ping_timeout));
    if let Scope::Machine(id) = &peer.scope
        && let Err(why) = shared.alive(&peer, Kind::Machine, id.clone(), false).await
    {
        tracing::warn!(%why, "a machine's presence could not be recorded");
    }
    let on_purpose = read(&shared, &peer, &mut stream).await;
    peer.closing.cancel();
    shared.left(&peer, on_purpose).await;
    if writing.await.is_err() {
        tracing::error!(socket = peer.number, "the writing task of a socket panicked");
    }
    tracing::debug!(socket = peer.number, on_purpose, "a socket left");
}

/// Puts frames and pings on the wire until the socket is to close or takes nothing any more.
async fn write(peer: Arc<Peer>, mut sink: Sink, ping_interval: Duration, patience: Duration) {
    let mut pings = interval_at(tokio::time::Instant::now() + ping_interval, ping_interval);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            biased;
            () = peer.closing.cancelled() => break,
            () = peer.ready.notified() => timeout(patience, drain(&peer, &mut sink)).await,
            _ = pings.tick() => {
                timeout(patience, sink.send(Message::Text(Utf8Bytes::from_static(packet::PING)))).await
            }
        };
        if !matches!(sent, Ok(Ok(()))) {
            peer.closing.cancel();
            return;
        }
    }
    let farewell = async {
        drain(&peer, &mut sink).await?;
        sink.close().await
    };
    // The connection ends either way.
    drop(timeout(FAREWELL, farewell).await);
}

async fn drain(peer: &Peer, sink: &mut Sink) -> Result<(), axum::Error> {
    while let Some(frame) = peer.next_frame() {
        sink.feed(Message::Text(frame)).await?;
    }
    sink.flush().await
}

/// Takes frames until the connection ends. `true`: the client said goodbye.
async fn read(shared: &Arc<Shared>, peer: &Arc<Peer>, stream: &mut Stream) -> bool {
    let rules = &shared.config.presence;
    let calls = Arc::new(Semaphore::new(shared.config.limits.calls_in_flight));
    let mut pace = Bucket::full(shared.config.limits.events_per_second, Instant::now());
    loop {
        let next = tokio::select! {
            next = timeout(rules.ping_interval + rules.ping_timeout, stream.next()) => next,
            () = peer.closing.cancelled() => return false,
        };
        let frame = match next {
            Ok(Some(Ok(Message::Text(frame)))) => frame,
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            Ok(Some(Ok(Message::Close(_)))) => return true,
            // Binary frames are not of this wire; broken, ended and silent connections are over.
            _ => return false,
        };
        while let Err(wait) = pace.take(Instant::now()) {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = peer.closing.cancelled() => return false,
            }
        }
        match packet::parse(&frame) {
            Ok(Packet::Pong) => {}
            Ok(Packet::Leave) => return true,
            Ok(Packet::Ack { ack, arguments }) => {
                let answer = arguments.first().map_or("null", |answer| answer.get());
                peer.answered(ack, answer.to_owned());
            }
            Ok(Packet::Event { ack, arguments }) => {
                if !take(shared, peer, &calls, ack, &arguments).await {
                    return false;
                }
            }
            // A second login on one connection, and everything that is not of this wire.
            Ok(Packet::Connect(_)) | Err(_) => return false,
        }
    }
}

async fn take(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    calls: &Arc<Semaphore>,
    ack: Option<u64>,
    arguments: &[&RawValue],
) -> bool {
    let Some((name, rest)) = arguments.split_first() else { return false };
    let Ok(name) = serde_json::from_str::<String>(name.get()) else { return false };
    let event = Event { shared, peer, calls, ack, payload: rest.first().copied() };
    match event.handle(&name).await {
        Ok(()) => true,
        Err(why) => {
            tracing::warn!(%why, "closing a socket whose event cannot be carried out");
            false
        }
    }
}
