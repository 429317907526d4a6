//! From options to an open namespace, within one deadline.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::acks::Pending;
use super::closed::{Closed, one_line};
use super::connection::{self, Connection};
use super::engine::{self, EnginePacket, Opening};
use super::event::Events;
use super::handle::Handle;
use super::heard::Heard;
use super::options::{BadOptions, Options};
use super::outgoing::{Ended, Outbound};
use super::packet::{self, Packet};
use crate::dial::{DialError, Wire, dial};
use crate::reconnect::Retry;

/// The packets here are small and many connections idle: small buffers.
const BUFFER: usize = 8 * 1024;
/// Packets a server may send before it opens the namespace; pings among them.
const MAX_PREAMBLE: usize = 16;

/// How far a connect had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Name, TCP, proxy, TLS.
    Reach,
    /// The WebSocket handshake.
    Upgrade,
    /// The open packet of Engine.IO.
    Open,
    /// The namespace and with it our auth object.
    Namespace,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reach => "reaching the server",
            Self::Upgrade => "the WebSocket handshake",
            Self::Open => "the server's open packet",
            Self::Namespace => "the server's answer to our CONNECT",
        })
    }
}

/// No connection came to be.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The options make no connection.
    #[error(transparent)]
    Options(#[from] BadOptions),
    /// It took too long.
    #[error("no connection within {after:?}: {stage} hung")]
    Timeout {
        /// What hung.
        stage: Stage,
        /// [`Limits::connect`](super::Limits::connect).
        after: Duration,
    },
    /// The way to the server did not open.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server, or something before it, answers HTTP where a WebSocket was asked for.
    #[error("the server answers HTTP {status} where its WebSocket should be; is the address right?")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The server refuses us: log in again.
    #[error("the server refuses us: {message}")]
    Refused {
        /// The server's words, bounded, without control characters.
        message: String,
    },
    /// The connection ended while it was made.
    #[error("the connection ended during {stage}: {closed}")]
    Ended {
        /// How far it had come.
        stage: Stage,
        /// Why.
        closed: Closed,
    },
}

impl ConnectError {
    /// What it means for the next attempt.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Options(_) => Retry::Never,
            Self::Refused { .. } => Retry::Login,
            // Even what looks final has been seen to pass: a proxy restarted, a certificate renewed, a route added.
            Self::Timeout { .. } | Self::Dial(_) | Self::Status { .. } | Self::Ended { .. } => Retry::Later,
        }
    }
}

/// Connects, within [`Limits::connect`](super::Limits::connect). Dropping the future closes what was open.
///
/// A server may refuse us only after this has succeeded: then [`Events`] ends with [`Closed::Refused`].
///
/// # Errors
/// [`ConnectError`]; a refusal is told apart from a failing network.
pub async fn connect(options: Options) -> Result<(Handle, Events), ConnectError> {
    options.check()?;
    let deadline = Instant::now() + options.limits.connect;
    let late = |stage| ConnectError::Timeout { stage, after: options.limits.connect };
    let dialled = timeout_at(deadline, dial(&options.server, options.limits.send)).await;
    let stream = dialled.map_err(|_| late(Stage::Reach))??;
    connect_over(stream, &options, deadline).await
}

/// The rest of [`connect`], over a stream that is open.
pub(crate) async fn connect_over<S: Wire + 'static>(
    stream: S,
    options: &Options,
    deadline: Instant,
) -> Result<(Handle, Events), ConnectError> {
    let late = |stage| ConnectError::Timeout { stage, after: options.limits.connect };
    let upgraded = timeout_at(deadline, upgrade(stream, options)).await;
    let mut socket = upgraded.map_err(|_| late(Stage::Upgrade))??;

    let opened = timeout_at(deadline, open(&mut socket, options.limits.max_packet)).await;
    let opening = opened.map_err(|_| late(Stage::Open))??;

    let entered = timeout_at(deadline, enter(&mut socket, options)).await;
    let sid = entered.map_err(|_| late(Stage::Namespace))??.unwrap_or_else(|| opening.sid.clone());
    Ok(start(socket, sid, &opening, options))
}

async fn upgrade<S: Wire>(stream: S, options: &Options) -> Result<WebSocketStream<S>, ConnectError> {
    let path = format!("{}?EIO=4&transport=websocket", options.path);
    let url = options.server.endpoint().websocket_url(&path);
    let failed = |error| ended(Stage::Upgrade, error, options.limits.max_packet);
    let mut request = url.into_client_request().map_err(failed)?;
    if let Ok(agent) = HeaderValue::from_str(&options.user_agent) {
        request.headers_mut().insert("User-Agent", agent);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(options.limits.max_packet))
        .max_frame_size(Some(options.limits.max_packet));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(match response.status().as_u16() {
            401 => ConnectError::Refused { message: "HTTP 401".into() },
            status => ConnectError::Status { status },
        }),
        Err(error) => Err(failed(error)),
    }
}

async fn open<S: Wire>(socket: &mut WebSocketStream<S>, limit: usize) -> Result<Opening, ConnectError> {
    let text = next_text(socket, Stage::Open, limit).await?;
    match engine::decode(&text) {
        Ok(EnginePacket::Open(json)) => Opening::parse(json).map_err(|error| odd(Stage::Open, &error)),
        Ok(_) => Err(odd(Stage::Open, &"something else than an open packet")),
        Err(error) => Err(odd(Stage::Open, &error)),
    }
}

/// Opens the namespace; gives the server's name for the connection, if it tells one.
async fn enter<S: Wire>(
    socket: &mut WebSocketStream<S>,
    options: &Options,
) -> Result<Option<String>, ConnectError> {
    #[derive(Deserialize)]
    struct Connected {
        sid: String,
    }
    const STAGE: Stage = Stage::Namespace;
    let limit = options.limits.max_packet;
    let connect = packet::encode_connect(options.auth.expose());
    socket.send(Message::text(connect)).await.map_err(|error| ended(STAGE, error, limit))?;
    for _ in 0..MAX_PREAMBLE {
        let text = next_text(socket, STAGE, limit).await?;
        let message = match engine::decode(&text) {
            Ok(EnginePacket::Message(message)) => message,
            Ok(EnginePacket::Ping(_)) => {
                let pong = socket.send(Message::text(connection::PONG)).await;
                pong.map_err(|error| ended(STAGE, error, limit))?;
                continue;
            }
            Ok(EnginePacket::Close) => {
                return Err(ConnectError::Ended { stage: STAGE, closed: Closed::Disconnected });
            }
            Ok(_) => continue,
            Err(error) => return Err(odd(STAGE, &error)),
        };
        match packet::decode(message) {
            Ok(Packet::Connect(json)) => {
                let connected = json.and_then(|json| serde_json::from_str::<Connected>(json.get()).ok());
                return Ok(connected.map(|connected| connected.sid));
            }
            Ok(Packet::ConnectError(json)) => {
                return Err(ConnectError::Refused { message: refusal(json.as_deref()) });
            }
            Ok(Packet::Disconnect) => {
                return Err(ConnectError::Ended { stage: STAGE, closed: Closed::Disconnected });
            }
            Ok(Packet::Elsewhere) => {}
            Ok(Packet::Event { .. } | Packet::Ack { .. }) => {
                return Err(odd(STAGE, &"an event before the namespace was open"));
            }
            Err(error) => return Err(odd(STAGE, &error)),
        }
    }
    Err(odd(STAGE, &"too much before the namespace was open"))
}

fn start<S: Wire + 'static>(
    socket: WebSocketStream<S>,
    sid: String,
    opening: &Opening,
    options: &Options,
) -> (Handle, Events) {
    let limits = &options.limits;
    let (tell, ended) = Ended::new();
    let largest = limits.max_packet.min(opening.max_payload);
    let (outbound, queue) = Outbound::new(limits.max_queued, largest, ended.clone());
    let pending = Pending::new(limits.max_pending);
    let (events, received) = tokio::sync::mpsc::channel(limits.max_events);
    let close = CancellationToken::new();
    let heard = Heard::new();
    let connection = Connection {
        limits: limits.clone(),
        patience: opening.patience(),
        outbound: outbound.clone(),
        pending: pending.clone(),
        close: close.clone(),
        heard: heard.clone(),
    };
    tokio::spawn(connection.run(socket, queue, events, tell));
    let guard = close.clone().drop_guard();
    let handle = Handle::new(sid, outbound, pending, ended.clone(), close, heard);
    (handle, Events { queue: received, ended, _close: guard })
}

async fn next_text<S: Wire>(
    socket: &mut WebSocketStream<S>,
    stage: Stage,
    limit: usize,
) -> Result<Utf8Bytes, ConnectError> {
    loop {
        return match socket.next().await {
            Some(Ok(Message::Text(text))) => Ok(text),
            Some(Ok(Message::Binary(_))) => Err(odd(stage, &"a binary message")),
            Some(Ok(Message::Close(frame))) => {
                Err(ConnectError::Ended { stage, closed: connection::closed_by(frame) })
            }
            Some(Ok(_)) => continue,
            Some(Err(error)) => Err(ended(stage, error, limit)),
            None => Err(ended(stage, WsError::ConnectionClosed, limit)),
        };
    }
}

fn refusal(json: Option<&RawValue>) -> String {
    #[derive(Deserialize)]
    struct Words {
        message: String,
    }
    let words = json.and_then(|json| serde_json::from_str::<Words>(json.get()).ok());
    words.map_or_else(|| "it gives no reason".into(), |words| one_line(&words.message))
}

fn odd(stage: Stage, what: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::Ended { stage, closed: Closed::Protocol { what: what.to_string() } }
}

fn ended(stage: Stage, error: WsError, limit: usize) -> ConnectError {
    ConnectError::Ended { stage, closed: connection::broken(error, limit) }
}
