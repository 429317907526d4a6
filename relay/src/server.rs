//! Listening: accept, TLS, one task a connection, and an end that waits for what was promised.

use std::io::BufReader;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig, pki_types::pem::PemObject as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::Tls;
use crate::relay::StartError;

/// How long a TLS handshake, or the head of a request, may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How long accepting pauses when the system has no more descriptors: others must close first.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Reads certificate and key.
pub(crate) fn tls(files: &Tls) -> Result<TlsAcceptor, StartError> {
    let unusable = |path: &std::path::Path, why: String| StartError::Tls { path: path.to_owned(), why };
    let read = |path: &std::path::Path| {
        std::fs::File::open(path).map(BufReader::new).map_err(|why| unusable(path, why.to_string()))
    };
    let chain = rustls::pki_types::CertificateDer::pem_reader_iter(read(&files.cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| unusable(&files.cert, why.to_string()))?;
    if chain.is_empty() {
        return Err(unusable(&files.cert, "there is no certificate in it".to_owned()));
    }
    let key = rustls::pki_types::PrivateKeyDer::from_pem_reader(read(&files.key)?)
        .map_err(|why| unusable(&files.key, why.to_string()))?;
    // Named, not the process's default: whoever embeds the relay may have chosen another, or none.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| unusable(&files.cert, why.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|why| unusable(&files.cert, why.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until `stop`, then lets connections finish what they began.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    connections_max: usize,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(connections_max));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(why) => {
                tracing::warn!(%why, "a connection could not be accepted");
                tokio::time::sleep(EXHAUSTED).await;
                continue;
            }
        };
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, address, acceptor, router, &stop).await;
            // An upgraded connection lives on as a socket of its own; this place is for its HTTP part, so sockets are
            // bounded by their own limits.
            drop(place);
        });
    }
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    stop: &CancellationToken,
) {
    // Frames are small and somebody waits for each.
    if let Err(why) = stream.set_nodelay(true) {
        tracing::debug!(%why, "a connection was gone before it was served");
        return;
    }
    match acceptor {
        None => http(stream, address, router, stop).await,
        Some(acceptor) => match timeout(ARRIVAL, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => http(stream, address, router, stop).await,
            Ok(Err(why)) => tracing::debug!(%why, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

async fn http<S>(stream: S, address: SocketAddr, router: Router, stop: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ending = stop.clone();
    let service = router.map_request(move |mut request: axum::http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(address);
        request.extensions_mut().insert(ending.clone());
        request.map(axum::body::Body::new)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ARRIVAL)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = result {
        tracing::debug!(%why, "a connection ended in an error");
    }
}
