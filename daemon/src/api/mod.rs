//! The control API's server: JSON-RPC 2.0, one message a line, over a Unix socket of the daemon's owner.

mod agent;
mod call;
mod connection;
mod lines;
mod link;
pub(crate) mod listener;
mod outgoing;
mod output;
pub(crate) mod peer;
mod policy;
mod request;
mod routes;
mod screen;
pub(crate) mod sends;
mod subscription;
mod why;
pub(crate) mod workdir;

use std::sync::Arc;
use std::time::Duration;

use delight_proto::api::envelope::Request;
use delight_proto::api::method::RelayStatus;
use delight_proto::place::Place;
use delight_proto::refusal::Refusal;
use delight_proto::session::Origin;
use serde_json::value::RawValue;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::adapters::Adapters;
use crate::keys::Linking;
use crate::store::Store;
use crate::supervisor::Supervision;
use crate::uplink::UplinkHandle;

/// Connections at once. A person has a handful of terminals, a script one; each costs a descriptor and a few KiB.
/// Further ones wait in the socket's backlog, so a burst is served, not refused.
const MAX_CONNECTIONS: usize = 512;

/// How long answers may take to reach their clients when the daemon ends. A client that does not read is left behind.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) supervision: Supervision,
    pub(crate) store: Store,
    pub(crate) place: Place,
    /// Session kinds there are.
    pub(crate) adapters: Adapters,
    /// The account and its keys.
    pub(crate) linking: Linking,
    /// The relay inside the daemon, when one was asked for.
    pub(crate) relay: Option<RelayStatus>,
    /// Unix milliseconds of the daemon's start.
    pub(crate) started_ms: u64,
    /// Input that came with a key.
    pub(crate) sends: sends::Sends,
    /// The link to the server.
    pub(crate) uplink: UplinkHandle,
}

/// Carries out one request without a connection: for those who ask by another way.
pub(crate) async fn once(
    daemon: &Arc<Daemon>,
    origin: Origin,
    request: &Request,
) -> Result<Box<RawValue>, Refusal> {
    call::Caller::new(Arc::clone(daemon), origin).call(request, &mut outgoing::Room::none()).await
}

/// Accepts connections until `ending` says so, then lets open answers be written.
pub(crate) async fn serve(listener: UnixListener, daemon: Arc<Daemon>, mut ending: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            // An error means that the daemon is already gone.
            _ = ending.wait_for(|ending| *ending) => break,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, seat)) => {
                let (daemon, ending) = (Arc::clone(&daemon), ending.clone());
                connections.spawn(async move {
                    connection::serve(stream, daemon, ending).await;
                    drop(seat);
                });
            }
            Err(e) => {
                // Out of descriptors, mostly: one that is closed makes room. Without a pause this loop would spin.
                tracing::error!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let all_gone = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_WORDS, all_gone).await.is_err() {
        tracing::info!("some clients did not read their last answers");
    }
}

async fn accept(
    listener: &UnixListener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(tokio::net::UnixStream, tokio::sync::OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let seat = Arc::clone(room).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, seat))
}

#[cfg(test)]
mod tests;
