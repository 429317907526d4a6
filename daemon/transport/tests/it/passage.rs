//! The way to the server: through a proxy, through TLS with a CA of one's own, through both; the same for HTTP and
//! WebSockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delight_transport::http::{Client, HttpError, Options as HttpOptions};
use delight_transport::server::Server;
use delight_transport::socketio::{Args, ConnectError, Options, connect};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::served::Served;
use crate::{auth, must};

/// A name only the proxy knows: what arrives under it went through the proxy.
const NAME: &str = "relay.test";
const LOGIN: &str = "Basic dXNlcjpwQHNz"; // user:p@ss

/// A proxy that tunnels and forwards to `NAME`, and remembers the first line of every request.
async fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(pass_on(stream, Arc::clone(&record)));
        }
    });
    (address, seen)
}

async fn pass_on(mut near: TcpStream, seen: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(near.read_u8().await?));
    }
    let (first, rest) = head.split_once("\r\n").unwrap();
    seen.lock().unwrap().push(first.to_owned());
    let login = format!("proxy-authorization: {}", LOGIN.to_ascii_lowercase());
    if !rest.to_ascii_lowercase().contains(&login) {
        return near.write_all(b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n").await;
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (authority, path) = match target.strip_prefix("http://") {
        Some(url) => url.split_once('/').unwrap(),
        None => (target, ""),
    };
    let port = authority.strip_prefix(NAME).unwrap().strip_prefix(':').unwrap();
    let mut far = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
    if method == "CONNECT" {
        near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        far.write_all(format!("{method} /{path} HTTP/1.1\r\n{rest}").as_bytes()).await?;
    }
    copy_bidirectional(&mut near, &mut far).await.map(|_| ())
}

/// Speaks TLS before the server, under `NAME` and `localhost`, by a CA that lies in the given file.
async fn tls_before(server: SocketAddr, folder: &Path) -> (SocketAddr, PathBuf) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let names = vec![NAME.to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut near = acceptor.accept(stream).await?;
                let mut far = TcpStream::connect(server).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    (address, ca_file)
}

/// Says hello by HTTP and by Socket.IO.
async fn hello(server: Server) {
    let http = Client::new(server.clone(), HttpOptions::default()).unwrap();
    assert_eq!(must("HTTP", http.get::<Value>("/v1/hello", &[])).await.unwrap(), json!({"hello": "there"}));
    let (handle, _events) = must("Socket.IO", connect(Options::new(server, auth("good")))).await.unwrap();
    let answer = handle.emit_with_ack("echo", &Args::one("hello").unwrap(), Duration::from_secs(30)).await;
    assert_eq!(answer.unwrap().first::<String>().unwrap(), "hello");
    handle.close().await;
}

#[tokio::test]
async fn http_and_websocket_go_through_the_same_proxy() {
    let served = Served::start();
    let (proxy, seen) = proxy().await;
    let port = served.address.port();
    let variable = format!("http://user:p%40ss@{proxy}");
    let lookup = |name: &str| (name == "HTTP_PROXY").then(|| variable.clone());
    hello(Server::new(&format!("http://{NAME}:{port}"), None, lookup).unwrap()).await;
    assert_eq!(
        *seen.lock().unwrap(),
        [format!("GET http://{NAME}:{port}/v1/hello HTTP/1.1"), format!("CONNECT {NAME}:{port} HTTP/1.1")]
    );

    // Listed, neither goes there: the name is then unknown.
    let lookup = |name: &str| match name {
        "HTTP_PROXY" => Some(variable.clone()),
        "no_proxy" => Some("test".into()),
        _ => None,
    };
    let direct = Server::new(&format!("http://{NAME}:{port}"), None, lookup).unwrap();
    let http = Client::new(direct.clone(), HttpOptions::default()).unwrap();
    assert!(must("HTTP", http.get::<Value>("/v1/hello", &[])).await.is_err());
    assert!(must("Socket.IO", connect(Options::new(direct, auth("good")))).await.is_err());
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn both_go_through_proxy_and_tls_with_a_ca_of_ones_own() {
    let served = Served::start();
    let folder = tempfile::tempdir().unwrap();
    let (secured, ca_file) = tls_before(served.address, folder.path()).await;
    let (proxy, seen) = proxy().await;
    let base = format!("https://{NAME}:{}", secured.port());
    let variable = format!("user:p%40ss@{proxy}");
    let lookup = |name: &str| (name == "all_proxy").then(|| variable.clone());
    hello(Server::new(&base, Some(&ca_file), lookup).unwrap()).await;
    let tunnel = format!("CONNECT {NAME}:{} HTTP/1.1", secured.port());
    assert_eq!(*seen.lock().unwrap(), [tunnel.clone(), tunnel]);
}

#[tokio::test]
async fn a_proxy_behind_tls_is_spoken_to_by_tls() {
    let served = Served::start();
    let folder = tempfile::tempdir().unwrap();
    let (proxy, seen) = proxy().await;
    let (secured, ca_file) = tls_before(proxy, folder.path()).await;
    let variable = format!("https://user:p%40ss@localhost:{}", secured.port());
    let lookup = |name: &str| (name == "http_proxy").then(|| variable.clone());
    let base = format!("http://{NAME}:{}", served.address.port());
    hello(Server::new(&base, Some(&ca_file), lookup).unwrap()).await;
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_proxy_that_wants_a_login_is_said_to_want_one() {
    let (proxy, _seen) = proxy().await;
    let lookup = |name: &str| (name == "https_proxy").then(|| format!("http://{proxy}"));
    let server = Server::new(&format!("https://{NAME}"), None, lookup).unwrap();
    let refused = must("Socket.IO", connect(Options::new(server.clone(), auth("good")))).await.unwrap_err();
    assert!(refused.to_string().contains("wants a login"), "{refused}");
    let http = Client::new(server, HttpOptions::default()).unwrap();
    let refused = must("HTTP", http.get::<Value>("/", &[])).await.unwrap_err();
    assert!(matches!(refused, HttpError::Network { sent: false, .. }), "{refused}");
}

#[tokio::test]
async fn a_ca_of_ones_own_is_trusted_by_option_or_variable_and_by_nothing_else() {
    let served = Served::start();
    let folder = tempfile::tempdir().unwrap();
    let (secured, ca_file) = tls_before(served.address, folder.path()).await;
    let base = format!("https://localhost:{}", secured.port());
    let named = ca_file.to_str().unwrap().to_owned();
    hello(Server::new(&base, None, |name| (name == "SSL_CERT_FILE").then(|| named.clone())).unwrap()).await;
    // The CA vouches for the names, not for the address.
    let other = format!("https://127.0.0.1:{}", secured.port());
    // Another CA of that kind vouches for none of them.
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, stranger) = tls_before(served.address, elsewhere.path()).await;
    let stranger = stranger.to_str().unwrap().to_owned();
    for server in [
        Server::new(&other, None, |name| (name == "SSL_CERT_FILE").then(|| named.clone())).unwrap(),
        Server::new(&base, None, |name| (name == "SSL_CERT_FILE").then(|| stranger.clone())).unwrap(),
    ] {
        let refused =
            must("Socket.IO", connect(Options::new(server.clone(), auth("good")))).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Dial(_)), "{refused}");
        assert!(refused.to_string().contains("certificate"), "{refused}");
        let http = Client::new(server, HttpOptions::default()).unwrap();
        let refused = must("HTTP", http.get::<Value>("/v1/hello", &[])).await.unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
}
