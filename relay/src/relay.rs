//! A running relay, from start to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ConfigError};
use crate::http;
use crate::hub::Hub;
use crate::server;
use crate::shared::Shared;
use crate::store::{Store, StoreError, account};
use crate::token::Tokens;

/// How often presence is looked through.
const LOOK: Duration = Duration::from_secs(1);
/// How often old sessions are looked for, where the owner wants them gone.
const EXPIRY: Duration = Duration::from_secs(3_600);
/// How long connections may take to finish when the relay ends.
const ENDING: Duration = Duration::from_secs(10);

/// The relay could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error("{directory}: {why}")]
    Store {
        /// Where it is.
        directory: PathBuf,
        /// What is wrong.
        why: StoreError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {why}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// The system's words.
        why: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("TLS: {path}: {why}")]
    Tls {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl StartError {
    /// Whether another relay has the data directory: trying again finds the same.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Store { why: StoreError::Taken, .. })
    }
}

/// Reads certificate and key, if the configuration names them, and says whether they can be used.
///
/// # Errors
/// [`StartError::Tls`].
pub fn check_tls(config: &Config) -> Result<(), StartError> {
    config.tls.as_ref().map(server::tls).transpose().map(drop)
}

/// A sync server that carries what it cannot read.
pub struct Relay;

/// A running relay. Dropping it ends the relay without waiting; [`Handle::shutdown`] waits.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Relay {
    /// Opens the database, listens, and serves on the present tokio runtime until the handle is shut down or dropped.
    ///
    /// When this returns, the relay answers.
    ///
    /// # Errors
    /// [`StartError`]: nothing was started.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        config.check()?;
        let acceptor = config.tls.as_ref().map(server::tls).transpose()?;
        let hub = Arc::new(Hub::default());
        let in_store = |why| StartError::Store { directory: config.data_dir.clone(), why };
        let publisher = Arc::clone(&hub);
        let store = Store::open(&config.data_dir, move |publication| publisher.publish(publication))
            .map_err(in_store)?;
        let key = store.write(|write| account::signing_key(write)).await.map_err(in_store)?;
        let lifetime = i64::try_from(config.token_lifetime.as_secs()).unwrap_or(i64::MAX);
        let in_listen = |why| StartError::Listen { address: config.listen, why };
        let listener = TcpListener::bind(config.listen).await.map_err(in_listen)?;
        let address = listener.local_addr().map_err(in_listen)?;
        let shared = Shared::new(config.clone(), store.clone(), hub, Tokens::new(&key, lifetime));
        shared.restore_presence().await.map_err(in_store)?;

        let stop = CancellationToken::new();
        let running = tokio::spawn(run(Arc::new(shared), store, listener, acceptor, stop.clone()));
        tracing::info!(%address, tls = config.tls.is_some(), "the relay answers");
        Ok(Handle { address, stop, running: Some(running) })
    }
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: takes no more connections, closes the sockets, lets requests finish (up to 10 s), and returns when
    /// everything it acknowledged is on disk and its data directory is free.
    ///
    /// Not cancel safe: given up, it ends without anybody waiting.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take()
            && let Err(why) = running.await
        {
            tracing::error!(%why, "the relay's main task panicked");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn run(
    shared: Arc<Shared>,
    store: Store,
    listener: TcpListener,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let upkeep = tokio::spawn(upkeep(Arc::clone(&shared), stop.clone()));
    server::serve(
        listener,
        acceptor,
        http::router(Arc::clone(&shared)),
        shared.config.limits.connections,
        stop,
        connections.clone(),
    )
    .await;
    connections.close();
    if timeout(ENDING, connections.wait()).await.is_err() {
        tracing::warn!("some connections did not finish in time and were left behind");
    }
    // Sockets are tasks of their own and have heard that it ends; when all places are free they have left.
    let places = u32::try_from(shared.config.limits.connections).unwrap_or(u32::MAX);
    if timeout(ENDING, shared.places.acquire_many(places)).await.is_err() {
        tracing::warn!("some sockets did not close in time");
    }
    if upkeep.await.is_err() {
        tracing::error!("the relay's upkeep panicked");
    }
    drop(shared);
    let joined = tokio::task::spawn_blocking(move || store.join());
    if timeout(ENDING, joined).await.is_err() {
        tracing::warn!("the database did not close in time");
    }
    tracing::info!("the relay has ended");
}

async fn upkeep(shared: Arc<Shared>, stop: CancellationToken) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut expired: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.cancelled() => return,
        }
        shared.lapse().await;
        let now = Instant::now();
        shared.hub.tidy(now);
        let due = expired.is_none_or(|at| now.saturating_duration_since(at) >= EXPIRY);
        if let Some(days) = shared.config.retention_days.filter(|_| due) {
            expired = Some(now);
            match shared.expire(days).await {
                Ok(0) => {}
                Ok(sessions) => tracing::info!(sessions, days, "deleted sessions beyond their retention"),
                Err(why) => tracing::warn!(%why, "old sessions could not be deleted"),
            }
        }
    }
}
