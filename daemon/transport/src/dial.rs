//! From a [`Server`] to a byte stream: TCP, the proxy's CONNECT, TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use crate::endpoint::Endpoint;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::tcp;

/// A proxy's answer to CONNECT is a line and a few headers.
const MAX_ANSWER: usize = 8 * 1024;

/// The way to the server did not open.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("{host} has no address: {source}")]
    Resolve {
        /// The server's or the proxy's name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody took the TCP connection.
    #[error("{host} does not answer: {source}")]
    Connect {
        /// The server's or the proxy's name and port.
        host: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The proxy wants a login, or another one.
    #[error("the proxy {proxy} wants a login; put user:password@ into the proxy variable")]
    ProxyLogin {
        /// The proxy.
        proxy: String,
    },
    /// The proxy would not connect us.
    #[error("the proxy {proxy} answers {status} for {server}")]
    ProxyRefused {
        /// The proxy.
        proxy: String,
        /// Its HTTP status.
        status: u16,
        /// Where we wanted to go.
        server: String,
    },
    /// The proxy does not speak HTTP, or hung up.
    #[error("the proxy {proxy} does not answer CONNECT as a proxy does: {reason}")]
    ProxyAnswer {
        /// The proxy.
        proxy: String,
        /// What it did.
        reason: String,
    },
    /// TLS failed: most often a certificate that is not trusted.
    #[error("TLS with {host} failed: {source}; if its certificate is your own, name its CA file")]
    Tls {
        /// The server's or the proxy's name.
        host: String,
        /// What the TLS library said.
        source: io::Error,
    },
}

/// What the server is spoken to through.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Opens the way. The caller bounds the whole; dropping the future closes what was open.
pub(crate) async fn dial(server: &Server, unacknowledged: Duration) -> Result<Box<dyn Wire>, DialError> {
    let endpoint = server.endpoint();
    let Some(proxy) = server.proxy() else {
        let stream = reach(&endpoint.host(), endpoint.port(), unacknowledged).await?;
        return secured(endpoint, server.tls(), stream).await;
    };
    let stream = reach(proxy.host(), proxy.port(), unacknowledged).await?;
    if proxy.is_secure() {
        let stream = secure(server.tls(), proxy.host(), stream).await?;
        let stream = ask_for_tunnel(proxy, endpoint, stream).await?;
        secured(endpoint, server.tls(), stream).await
    } else {
        let stream = ask_for_tunnel(proxy, endpoint, stream).await?;
        secured(endpoint, server.tls(), stream).await
    }
}

async fn reach(host: &str, port: u16, unacknowledged: Duration) -> Result<tokio::net::TcpStream, DialError> {
    tcp::connect(host, port, unacknowledged).await.map_err(|failure| match failure {
        tcp::Failure::Resolve(source) => DialError::Resolve { host: host.to_owned(), source },
        tcp::Failure::Connect(source) => DialError::Connect { host: format!("{host}:{port}"), source },
    })
}

async fn secured(
    endpoint: &Endpoint,
    tls: &Arc<ClientConfig>,
    stream: impl Wire + 'static,
) -> Result<Box<dyn Wire>, DialError> {
    if endpoint.is_secure() {
        Ok(Box::new(secure(tls, &endpoint.host(), stream).await?))
    } else {
        Ok(Box::new(stream))
    }
}

async fn secure<S: Wire>(
    tls: &Arc<ClientConfig>,
    host: &str,
    stream: S,
) -> Result<tokio_rustls::client::TlsStream<S>, DialError> {
    let failed = |source| DialError::Tls { host: host.to_owned(), source };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(failed)
}

/// Asks the proxy for a tunnel; from then on the stream is the server's.
async fn ask_for_tunnel<S: Wire>(proxy: &Proxy, server: &Endpoint, mut stream: S) -> Result<S, DialError> {
    let odd = |reason: String| DialError::ProxyAnswer { proxy: proxy.to_string(), reason };
    let authority = server.authority();
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(login) = proxy.authorization() {
        request.push_str("Proxy-Authorization: ");
        request.push_str(&login);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| odd(error.to_string()))?;
    stream.flush().await.map_err(|error| odd(error.to_string()))?;

    let mut answer = Vec::with_capacity(512);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == MAX_ANSWER {
            return Err(odd(format!("its answer is longer than {MAX_ANSWER} bytes")));
        }
        // Byte by byte: what follows the answer is the server's and must stay in the stream.
        let byte = stream.read_u8().await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => odd("it hung up".into()),
            _ => odd(error.to_string()),
        })?;
        answer.push(byte);
    }
    match status(&answer) {
        Some(200..=299) => Ok(stream),
        Some(407) => Err(DialError::ProxyLogin { proxy: proxy.to_string() }),
        Some(status) => Err(DialError::ProxyRefused { proxy: proxy.to_string(), status, server: authority }),
        None => Err(odd("it does not speak HTTP".into())),
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    if !matches!(words.next()?, "HTTP/1.1" | "HTTP/1.0") {
        return None;
    }
    words.next()?.parse().ok().filter(|status| (100..600).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tunnel(answer: &[u8]) -> (Result<String, DialError>, String) {
        let server = Endpoint::parse("https://relay.example").unwrap();
        let lookup = |name: &str| (name == "https_proxy").then(|| "http://u:canary@p.example:3128".into());
        let proxy = Proxy::choose(&server, lookup).unwrap().unwrap();
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(answer).await.unwrap();
        let (mut reader, writer) = tokio::io::split(far);
        // The proxy hangs up after its answer when that is all it says.
        let mut writer = writer;
        writer.shutdown().await.unwrap();
        let asked = ask_for_tunnel(&proxy, &server, near).await;
        let outcome = match asked {
            Ok(mut stream) => {
                let mut rest = String::new();
                stream.read_to_string(&mut rest).await.unwrap();
                Ok(rest)
            }
            Err(error) => Err(error),
        };
        let mut request = String::new();
        reader.read_to_string(&mut request).await.unwrap();
        (outcome, request)
    }

    #[tokio::test]
    async fn the_tunnel_is_asked_for_with_the_login_and_leaves_the_servers_bytes() {
        let (rest, request) = tunnel(b"HTTP/1.1 200 Connection established\r\nVia: p\r\n\r\nhello").await;
        assert_eq!(rest.unwrap(), "hello");
        assert_eq!(
            request,
            "CONNECT relay.example:443 HTTP/1.1\r\nHost: relay.example:443\r\n\
             Proxy-Authorization: Basic dTpjYW5hcnk=\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn every_other_answer_is_an_error_of_its_own_that_shows_no_login() {
        let long = [b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'x'; MAX_ANSWER]].concat();
        let mut said = Vec::new();
        for (answer, want) in [
            (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".as_slice(), "wants a login"),
            (b"HTTP/1.0 403 Forbidden\r\n\r\n", "answers 403"),
            (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
            (b"HTTP/1.1 9999 Odd\r\n\r\n", "does not speak HTTP"),
            (b"HTTP/1.1 200 OK\r\n", "hung up"),
            (long.as_slice(), "longer than"),
        ] {
            let text = tunnel(answer).await.0.unwrap_err().to_string();
            assert!(text.contains(want), "{text}");
            said.push(text);
        }
        assert!(said.iter().all(|text| !text.contains("canary") && text.contains("p.example:3128")));
    }
}
