//! A relay in this process, and the two ways to talk to it.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use delight_relay::{Config, Handle, Relay};
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longest wait for anything that is going to happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) directory: Arc<TempDir>,
    pub(crate) config: Config,
    pub(crate) relay: Option<Handle>,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
}

pub(crate) fn http_client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        tokio_rustls::rustls::crypto::ring::default_provider().install_default().unwrap();
    });
    reqwest::Client::builder().no_proxy().timeout(SOON).build().unwrap()
}

pub(crate) fn config(directory: &Path) -> Config {
    Config { listen: "127.0.0.1:0".parse().unwrap(), data_dir: directory.join("data"), ..Config::default() }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let mut config = config(directory.path());
        change(&mut config);
        let relay = Relay::start(config.clone()).await.unwrap();
        let base = format!("http://{}", relay.address());
        Self { directory, config, relay: Some(relay), base, http: http_client() }
    }

    /// Ends the relay and starts it again, on the same data and another port.
    pub(crate) async fn restart(&mut self) {
        self.relay.take().unwrap().shutdown().await;
        let relay = Relay::start(self.config.clone()).await.unwrap();
        self.base = format!("http://{}", relay.address());
        self.relay = Some(relay);
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        request(&self.http, &self.base, None, Method::POST, path, Some(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        request(&self.http, &self.base, None, Method::GET, path, None).await
    }

    /// An account of its own, made the way Happy's clients do.
    pub(crate) async fn account(&self, seed: u8) -> Account {
        let (status, body) = self.post("/v1/auth", login(seed, &format!("challenge {seed} ********"))).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let token = body["token"].as_str().unwrap().to_owned();
        Account { token, base: self.base.clone(), http: self.http.clone() }
    }

    pub(crate) fn again(&self, account: &Account) -> Account {
        Account { token: account.token.clone(), base: self.base.clone(), http: self.http.clone() }
    }
}

pub(crate) fn login(seed: u8, challenge: &str) -> Value {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let signature = key.sign(challenge.as_bytes());
    json!({
        "publicKey": STANDARD.encode(key.verifying_key().as_bytes()),
        "challenge": STANDARD.encode(challenge),
        "signature": STANDARD.encode(signature.to_bytes()),
    })
}

pub(crate) async fn request(
    http: &reqwest::Client,
    base: &str,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let mut request = http.request(method, format!("{base}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) token: String,
    pub(crate) base: String,
    http: reqwest::Client,
}

impl Account {
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        request(&self.http, &self.base, Some(&self.token), method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    pub(crate) async fn session(&self, tag: &str) -> String {
        let body = self.post("/v1/sessions", json!({ "tag": tag, "metadata": "bWV0YQ==" })).await;
        body["session"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn machine(&self, id: &str) {
        self.post("/v1/machines", json!({ "id": id, "metadata": "bWV0YQ==" })).await;
    }

    pub(crate) async fn send(&self, session: &str, local_ids: &[&str]) -> Value {
        let messages: Vec<Value> =
            local_ids.iter().map(|id| json!({ "localId": id, "content": format!("c-{id}") })).collect();
        self.post(&format!("/v3/sessions/{session}/messages"), json!({ "messages": messages })).await
    }

    pub(crate) async fn watcher(&self) -> Socket {
        self.socket(json!({ "clientType": "user-scoped" })).await
    }

    pub(crate) async fn session_socket(&self, id: &str) -> Socket {
        self.socket(json!({ "clientType": "session-scoped", "sessionId": id })).await
    }

    pub(crate) async fn machine_socket(&self, id: &str) -> Socket {
        self.socket(json!({ "clientType": "machine-scoped", "machineId": id })).await
    }

    pub(crate) async fn socket(&self, mut auth: Value) -> Socket {
        auth["token"] = self.token.clone().into();
        Socket::connect(&self.base, &auth).await.unwrap()
    }
}

/// One event: its name, its payload and the number it wants to be acknowledged by.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) payload: Value,
    pub(crate) ack: Option<u64>,
}

/// A Socket.IO client of our own: it acknowledges events of the server, and shows every frame in its order.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_ack: u64,
    acks: HashMap<u64, Value>,
    events: VecDeque<Event>,
    closed: bool,
}

impl Socket {
    /// Connects and logs in. `Err` is what the server says instead of a welcome.
    pub(crate) async fn connect(base: &str, auth: &Value) -> Result<Self, String> {
        let url = format!("{}/v1/updates/?EIO=4&transport=websocket", base.replacen("http", "ws", 1));
        let (stream, _) = timeout(SOON, tokio_tungstenite::connect_async(url)).await.unwrap().unwrap();
        let mut socket =
            Self { stream, next_ack: 0, acks: HashMap::new(), events: VecDeque::new(), closed: false };
        let open = socket.frame().await.unwrap();
        assert!(open.starts_with("0{"), "{open}");
        socket.raw(&format!("40{auth}")).await;
        match socket.frame().await {
            Some(frame) if frame.starts_with("40{") => Ok(socket),
            Some(frame) => Err(frame),
            None => Err("closed".to_owned()),
        }
    }

    pub(crate) async fn raw(&mut self, frame: &str) {
        // A socket the server has closed may still be written to.
        drop(self.stream.send(Message::text(frame)).await);
    }

    /// The next frame; pings are answered on the way. `None`: the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<String> {
        loop {
            let next = timeout(SOON, self.stream.next()).await.expect("a frame or an end, soon");
            match next {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.raw("3").await,
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => {
                    self.closed = true;
                    return None;
                }
            }
        }
    }

    async fn take(&mut self) {
        let Some(frame) = self.frame().await else { return };
        let (kind, rest) = frame.split_at(2);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, body) = rest.split_at(digits);
        match kind {
            "42" => {
                let mut arguments: Vec<Value> = serde_json::from_str(body).unwrap();
                let payload = if arguments.len() > 1 { arguments.remove(1) } else { Value::Null };
                let name = arguments[0].as_str().unwrap().to_owned();
                self.events.push_back(Event { name, payload, ack: number.parse().ok() });
            }
            "43" => {
                let mut arguments: Vec<Value> = serde_json::from_str(body).unwrap();
                self.acks.insert(number.parse().unwrap(), arguments.pop().unwrap_or(Value::Null));
            }
            _ => panic!("an unexpected frame: {frame}"),
        }
    }

    pub(crate) async fn emit(&mut self, event: &str, payload: Value) {
        self.raw(&format!("42{}", json!([event, payload]))).await;
    }

    /// Sends an event that asks for an answer; the number to wait for it with.
    pub(crate) async fn begin(&mut self, event: &str, payload: Option<Value>) -> u64 {
        let number = self.next_ack;
        self.next_ack += 1;
        let arguments = payload.map_or_else(|| json!([event]), |payload| json!([event, payload]));
        self.raw(&format!("42{number}{arguments}")).await;
        number
    }

    pub(crate) async fn finish(&mut self, number: u64) -> Value {
        loop {
            if let Some(answer) = self.acks.remove(&number) {
                return answer;
            }
            assert!(!self.closed, "closed before the answer");
            self.take().await;
        }
    }

    pub(crate) async fn ask(&mut self, event: &str, payload: Value) -> Value {
        let number = self.begin(event, Some(payload)).await;
        self.finish(number).await
    }

    pub(crate) async fn answer(&mut self, event: &Event, result: Value) {
        self.raw(&format!("43{}{}", event.ack.unwrap(), json!([result]))).await;
    }

    /// The next event that fits, in order; those before it are dropped.
    pub(crate) async fn until(&mut self, fits: impl Fn(&Event) -> bool) -> Event {
        loop {
            while let Some(event) = self.events.pop_front() {
                if fits(&event) {
                    return event;
                }
            }
            assert!(!self.closed, "closed before the event");
            self.take().await;
        }
    }

    pub(crate) async fn update(&mut self, t: &str) -> Value {
        self.until(|event| event.name == "update" && event.payload["body"]["t"] == t).await.payload
    }

    pub(crate) async fn ephemeral(&mut self, kind: &str) -> Value {
        self.until(|event| event.name == "ephemeral" && event.payload["type"] == kind).await.payload
    }

    /// Everything that has arrived, in order. What was sent to this socket before the server took the ping is in it.
    pub(crate) async fn drain(&mut self) -> Vec<Event> {
        let number = self.begin("ping", None).await;
        assert_eq!(self.finish(number).await, json!({}));
        self.events.drain(..).collect()
    }

    /// Registers a method and waits until that is known.
    pub(crate) async fn provide(&mut self, method: &str) {
        self.emit("rpc-register", json!({ "method": method })).await;
        self.until(|event| event.name == "rpc-registered" && event.payload["method"] == method).await;
    }

    /// Waits for the server to end the connection.
    pub(crate) async fn ended(&mut self) {
        while !self.closed {
            // Frames that are still under way do not matter here.
            self.frame().await;
        }
    }

    /// Leaves the way a client does that means it.
    pub(crate) async fn leave(mut self) {
        self.raw("41").await;
        self.ended().await;
    }
}
