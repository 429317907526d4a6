//! The task of one connection: a reader and a writer side by side, until one of them ends.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::CancellationToken;

use super::acks::Pending;
use super::attachments::{Assembly, Whole};
use super::closed::{Closed, one_line};
use super::engine::{self, EnginePacket};
use super::event::{AckSender, Event};
use super::heard::Heard;
use super::options::Limits;
use super::outgoing::{Outbound, Outgoing, Queue};
use super::packet::{self, Packet};
use super::payload::Payload;
use crate::dial::Wire;

/// The Engine.IO pong.
pub(crate) const PONG: &str = "3";
/// Messages are written together up to this many bytes, then flushed: few system calls, and no long wait for any.
const BATCH: usize = 64 * 1024;

/// What reader and writer share.
pub(crate) struct Connection {
    pub(crate) limits: Limits,
    pub(crate) patience: Duration,
    pub(crate) outbound: Outbound,
    pub(crate) pending: Pending,
    pub(crate) close: CancellationToken,
    pub(crate) heard: Heard,
}

impl Connection {
    /// Runs until the connection has ended and tells why.
    pub(crate) async fn run<S: Wire>(
        self,
        socket: WebSocketStream<S>,
        mut queue: Queue,
        events: mpsc::Sender<Event>,
        tell: watch::Sender<Option<Closed>>,
    ) {
        let (mut sink, mut stream) = socket.split();
        let pong = Notify::new();
        let closed = tokio::select! {
            closed = self.read(&mut stream, &events, &pong) => closed,
            closed = self.write(&mut sink, &mut queue, &pong) => closed,
        };
        let limit = self.limits.close;
        if closed == Closed::Here {
            // Our own close is told when it is done.
            let _ = timeout(limit, self.take_leave(&mut sink, &mut stream, &mut queue)).await;
            tell.send_replace(Some(closed));
        } else {
            // Any other end is told at once: whoever waits for it wants to reconnect.
            tell.send_replace(Some(closed.clone()));
            drop(events);
            drop(queue);
            let _ = timeout(limit, say_why(sink, stream, &closed)).await;
        }
        tracing::debug!(reason = %tell.borrow().as_ref().map_or_else(String::new, ToString::to_string), "connection ended");
    }

    async fn read<S: Wire>(
        &self,
        stream: &mut SplitStream<WebSocketStream<S>>,
        events: &mpsc::Sender<Event>,
        pong: &Notify,
    ) -> Closed {
        let mut assembly = Assembly::default();
        let mut refusal = Refusal::default();
        let watchdog = tokio::time::sleep(self.patience);
        tokio::pin!(watchdog);
        loop {
            let message = tokio::select! {
                message = stream.next() => message,
                () = &mut watchdog => return Closed::PingTimeout { after: self.patience },
            };
            self.heard.note();
            let limit = self.limits.max_packet;
            let whole = match message {
                Some(Ok(Message::Text(text))) => match engine::decode(&text) {
                    Ok(EnginePacket::Message(text)) => {
                        packet::decode(text).and_then(|packet| assembly.packet(packet))
                    }
                    Ok(EnginePacket::Ping(_)) => {
                        watchdog.as_mut().reset(Instant::now() + self.patience);
                        pong.notify_one();
                        continue;
                    }
                    Ok(EnginePacket::Close) => return refusal.or(Closed::Disconnected),
                    Ok(_) => continue,
                    Err(error) => Err(error),
                },
                Some(Ok(Message::Binary(bytes))) => assembly.attachment(bytes, limit),
                Some(Ok(Message::Close(frame))) => return refusal.or(closed_by(frame)),
                Some(Ok(_)) => continue,
                Some(Err(error)) => return broken(error, limit),
                None => return broken(WsError::ConnectionClosed, limit),
            };
            let event = match whole {
                Ok(None) => continue,
                Ok(Some(Whole::Event { id, name, payload })) => {
                    refusal.saw(&name, &payload);
                    let ack = id.map(|id| AckSender::new(id, self.outbound.clone()));
                    Event { name, payload, ack }
                }
                Ok(Some(Whole::Ack { id, payload })) => {
                    if !self.pending.resolve(id, payload) {
                        tracing::debug!(id, "an acknowledgement nobody awaits");
                    }
                    continue;
                }
                Ok(Some(Whole::Other(Packet::Disconnect))) => return refusal.or(Closed::Disconnected),
                Ok(Some(Whole::Other(_))) => continue,
                Err(error) => return Closed::Protocol { what: error.to_string() },
            };
            tokio::select! {
                taken = events.send(event) => if taken.is_err() { return Closed::Here },
                // Nothing was read meanwhile, pings neither: the server gives us up about now.
                () = &mut watchdog => return Closed::Stalled { after: self.patience },
            }
        }
    }

    async fn write<S: Wire>(
        &self,
        sink: &mut SplitSink<WebSocketStream<S>, Message>,
        queue: &mut Queue,
        pong: &Notify,
    ) -> Closed {
        loop {
            let first = tokio::select! {
                biased;
                () = self.close.cancelled() => return Closed::Here,
                () = pong.notified() => None,
                Some(outgoing) = queue.recv() => Some(outgoing),
            };
            // A batch is never given up halfway but for its limit: what was taken from the queue is sent.
            tokio::select! {
                biased;
                written = write_batch(sink, queue, first) => if let Err(error) = written {
                    return broken(error, self.limits.max_packet);
                },
                closed = self.overdue() => return closed,
            }
        }
    }

    /// Waits until a batch may take no longer.
    async fn overdue(&self) -> Closed {
        let closing = async {
            self.close.cancelled().await;
            tokio::time::sleep(self.limits.close).await;
        };
        tokio::select! {
            () = tokio::time::sleep(self.limits.send) => Closed::SendTimeout { after: self.limits.send },
            () = closing => Closed::Here,
        }
    }

    /// Sends what is queued, leaves the namespace, closes, and waits for the peer to close too.
    async fn take_leave<S: Wire>(
        &self,
        sink: &mut SplitSink<WebSocketStream<S>, Message>,
        stream: &mut SplitStream<WebSocketStream<S>>,
        queue: &mut Queue,
    ) {
        let parting = async {
            while let Ok(Outgoing { text, .. }) = queue.try_recv() {
                sink.feed(Message::text(text)).await?;
            }
            sink.feed(Message::text(packet::encode_disconnect())).await?;
            sink.send(close_frame(CloseCode::Normal, "")).await?;
            std::future::pending::<Result<(), WsError>>().await
        };
        // Reading goes on meanwhile, or a peer that writes first would never read.
        let listening = async { while let Some(Ok(_)) = stream.next().await {} };
        tokio::select! {
            sent = parting => if let Err(error) = sent {
                tracing::debug!(%error, "the connection ended before it was closed");
            },
            () = listening => {}
        }
    }
}

/// Writes a pong (no first message) or a message and what else waits, and flushes. Room in the queue is freed when it
/// has been handed to the kernel.
async fn write_batch<S: Wire>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    queue: &mut Queue,
    first: Option<Outgoing>,
) -> Result<(), WsError> {
    let Some(first) = first else {
        return sink.send(Message::text(PONG)).await;
    };
    let mut rooms = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(Outgoing { text, room }) = next {
        bytes += text.len();
        rooms.push(room);
        sink.feed(Message::text(text)).await?;
        next = if bytes < BATCH { queue.try_recv().ok() } else { None };
    }
    sink.flush().await
}

/// Tells the peer why we go, and reads away what it still sends so that our word is not lost in a reset.
async fn say_why<S: Wire>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    stream: SplitStream<WebSocketStream<S>>,
    closed: &Closed,
) {
    let frame = match closed {
        Closed::TooLarge { .. } => close_frame(CloseCode::Size, &closed.to_string()),
        Closed::Protocol { .. } => close_frame(CloseCode::Protocol, &closed.to_string()),
        Closed::Stalled { .. } => close_frame(CloseCode::Policy, &closed.to_string()),
        Closed::Refused { .. } | Closed::Disconnected => close_frame(CloseCode::Normal, ""),
        // The answer to the peer's close frame waits to be flushed.
        Closed::ByServer { .. } => {
            let _ = sink.flush().await;
            return;
        }
        // Nobody hears us any longer.
        Closed::Here | Closed::PingTimeout { .. } | Closed::SendTimeout { .. } | Closed::Lost { .. } => {
            return;
        }
    };
    if sink.send(frame).await.is_err() {
        return;
    }
    if let Ok(mut socket) = sink.reunite(stream) {
        let mut discarded = [0_u8; 4096];
        while socket.get_mut().read(&mut discarded).await.is_ok_and(|count| count > 0) {}
    }
}

fn close_frame(code: CloseCode, reason: &str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

/// The end a close frame of the server's means.
pub(crate) fn closed_by(frame: Option<CloseFrame>) -> Closed {
    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
        let words = one_line(frame.reason.as_str());
        (frame.code.into(), if words.is_empty() { words } else { format!(": {words}") })
    });
    Closed::ByServer { code, reason }
}

/// The end an error of the WebSocket means.
pub(crate) fn broken(error: WsError, limit: usize) -> Closed {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        WsError::Capacity(_) => Closed::TooLarge { limit },
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | WsError::ConnectionClosed
        | WsError::AlreadyClosed => Closed::Lost { reason: "the server hung up".into() },
        WsError::Io(error) => Closed::Lost { reason: error.to_string() },
        other => Closed::Protocol { what: format!("no WebSocket ({})", one_line(&other.to_string())) },
    }
}

/// Some servers acknowledge CONNECT before they look at the token: then they say `error` first of all and throw us
/// out.
#[derive(Debug, Default)]
struct Refusal {
    seen: bool,
    message: Option<String>,
}

impl Refusal {
    fn saw(&mut self, name: &str, payload: &Payload) {
        #[derive(serde::Deserialize)]
        struct Words {
            message: String,
        }
        let first = !std::mem::replace(&mut self.seen, true);
        self.message = (first && name == "error").then(|| {
            let words = payload.first::<Words>().map(|words| words.message);
            words.map_or_else(|_| "it gives no reason".into(), |words| one_line(&words))
        });
    }

    fn or(self, closed: Closed) -> Closed {
        self.message.map_or(closed, |message| Closed::Refused { message })
    }
}
