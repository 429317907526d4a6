//! The connection by delight's own client: any number of calls wait on one at once.

use std::sync::Arc;
use std::time::Duration;

use delight_transport::reconnect::Retry;
use delight_transport::secret::Auth;
use delight_transport::socketio::{AckError, Args, Events, Handle, Options, connect};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{Closed, Heard, NotAnswered};
use crate::error::Kind;
use crate::server::Server;

/// A connection. Dropping it ends it.
pub(crate) struct Link {
    socket: Handle,
    ended: watch::Receiver<Option<Closed>>,
}

/// The right to make a call. Everybody has it.
pub(crate) type Turn = Arc<Link>;

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
        let auth = Auth::new(&auth).map_err(|error| Closed { reason: error.to_string(), refused: false })?;
        let mut options = Options::new(server.way().clone(), auth);
        options.user_agent = crate::http::USER_AGENT.into();
        let (socket, told) = connect(options)
            .await
            .map_err(|error| Closed { refused: error.retry() == Retry::Login, reason: error.to_string() })?;
        let (tell_end, ended) = watch::channel(None);
        tokio::spawn(listen(told, events, tell_end));
        Ok(Self { socket, ended })
    }

    /// The right to make a call on it.
    #[allow(clippy::unnecessary_wraps, reason = "the other client has none to give while it waits")]
    pub(crate) fn turn(self: &Arc<Self>) -> Option<Turn> {
        Some(Arc::clone(self))
    }

    /// Sends an event and waits for its acknowledgement's first argument.
    ///
    /// Cancel safe in so far as the event may have been sent.
    pub(crate) async fn ask(
        &self,
        event: &'static str,
        value: Option<Value>,
        limit: Duration,
    ) -> Result<Value, NotAnswered> {
        let args = value.as_ref().map_or_else(|| Ok(Args::none()), Args::one);
        let args = args.map_err(|error| NotAnswered::NotSent(error.to_string()))?;
        let answer = self.socket.emit_with_ack(event, &args, limit).await.map_err(|error| {
            let words = error.to_string();
            match error {
                AckError::NotSent(_) | AckError::TooMany { .. } => NotAnswered::NotSent(words),
                AckError::Timeout { .. } => NotAnswered::Perhaps(words, Kind::TimedOut),
                AckError::Closed(_) => NotAnswered::Perhaps(words, Kind::Unreachable),
            }
        })?;
        answer.first().map_err(|error| NotAnswered::Perhaps(error.to_string(), Kind::BadAnswer))
    }

    /// Whether it takes no more calls.
    pub(crate) fn is_spent(&self) -> bool {
        self.socket.ended().is_some()
    }

    /// The end, to be waited for beside the connection.
    pub(crate) fn end(&self) -> watch::Receiver<Option<Closed>> {
        self.ended.clone()
    }
}

/// Hands on what the server tells, until the end. When nobody takes it, reading stops.
async fn listen(
    mut told: Events,
    events: Option<mpsc::Sender<Heard>>,
    tell_end: watch::Sender<Option<Closed>>,
) {
    let closed = loop {
        let event = match told.next().await {
            Ok(event) => event,
            Err(closed) => break closed,
        };
        let Some(events) = &events else { continue };
        // The text was JSON before it came here, or the connection would have ended.
        let args =
            event.payload.args.iter().filter_map(|text| serde_json::from_str(text.get()).ok()).collect();
        // Nobody listens any more: the connection is about to end.
        drop(events.send(Heard { name: event.name, args }).await);
    };
    tracing::debug!(reason = %closed, "a connection of the phone ended");
    let refused = closed.retry() == Retry::Login;
    tell_end.send_replace(Some(Closed { reason: closed.to_string(), refused }));
}
