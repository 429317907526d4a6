//! Servers that do exactly what a test says, and no more.

use std::future::Future;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::must;

/// The server's side of one WebSocket.
pub(crate) struct Script(pub(crate) WebSocketStream<TcpStream>);

/// Accepts WebSockets and plays the script on each; gives the base URL.
pub(crate) async fn scripted<F, Fut>(script: F) -> String
where
    F: Fn(Script) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                tokio::spawn(script(Script(socket)));
            }
        }
    });
    base
}

/// Reads one request and answers with these bytes, then holds the connection open.
pub(crate) async fn speak(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(&answer).await.unwrap();
            held.push(stream);
        }
    });
    base
}

/// The first packet of a connection.
pub(crate) fn open_packet(interval: u64, timeout: u64) -> String {
    format!(
        r#"0{{"sid":"e","upgrades":[],"pingInterval":{interval},"pingTimeout":{timeout},"maxPayload":1000000}}"#
    )
}

impl Script {
    pub(crate) async fn text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Opens the namespace.
    pub(crate) async fn open(&mut self) {
        self.open_with_pings(15_000, 45_000).await;
    }

    pub(crate) async fn open_with_pings(&mut self, interval: u64, timeout: u64) {
        self.text(&open_packet(interval, timeout)).await;
        self.expect_prefix("40{").await;
        self.text(r#"40{"sid":"s"}"#).await;
    }

    /// The client's next text.
    pub(crate) async fn hear(&mut self) -> String {
        match must("the client's next message", self.0.next()).await.unwrap().unwrap() {
            Message::Text(text) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub(crate) async fn expect_prefix(&mut self, prefix: &str) {
        let text = self.hear().await;
        assert!(text.starts_with(prefix), "{text}");
    }

    /// Reads until the client closes; gives its close code.
    pub(crate) async fn until_closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = must("the client's close", self.0.next()).await {
            if let Message::Close(frame) = message {
                code = Some(frame.map_or(1005, |frame| frame.code.into()));
            }
        }
        code
    }
}
