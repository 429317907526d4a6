//! A phone that makes calls: the same for every peer, by nobody's library but the transport.

use std::time::{Duration, Instant};

use delight_crypto::{DataKey, Dialect, Fresh, MasterSecret, PairingPublic, SealingKey, SigningKey};
use delight_tests::link::{Link, secret};
use delight_transport::http::{Client, Options as HttpOptions};
use delight_transport::secret::{Auth, Token};
use delight_transport::server::Server;
use delight_transport::socketio::{self, Args, Events, Handle, Options};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// How long a server may keep a caller waiting, and a little more.
const ANSWER: Duration = Duration::from_secs(40);

/// Between two calls nobody answered. A relay reads 500 events a second of one socket.
const AGAIN: Duration = Duration::from_millis(3);

/// Longest wait for a machine to answer: it bounds a failure, and the bench beside a peer that has given up.
const PATIENCE: Duration = Duration::from_secs(90);

/// An account's phone, and the key of one machine of it.
pub(super) struct Caller {
    runtime: Runtime,
    way: Server,
    token: String,
    key: SealingKey,
    machine: String,
    open: Option<Handle>,
}

impl Caller {
    /// Logs in and connects.
    pub(super) fn connect(link: &Link, machine: &str, url: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let way = Server::new(url, None, |_| None).unwrap();
        let token = runtime.block_on(log_in(&way, link));
        let key = SealingKey::data(&DataKey::from_bytes(link.machine_key));
        let mut caller = Self { runtime, way, token, key, machine: machine.to_owned(), open: None };
        caller.reconnect();
        caller
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Opens a connection as soon as there is somebody to take it.
    fn reconnect(&mut self) {
        let began = Instant::now();
        let auth = json!({ "token": self.token, "clientType": "user-scoped" });
        self.open = None;
        while self.open.is_none() {
            let options = Options::new(self.way.clone(), Auth::new(&auth).unwrap());
            match self.runtime.block_on(socketio::connect(options)) {
                Ok((handle, events)) => {
                    self.runtime.spawn(ignore(events));
                    self.open = Some(handle);
                }
                Err(error) => assert!(began.elapsed() < PATIENCE, "the phone cannot connect: {error}"),
            }
        }
    }

    /// Makes calls at once; each one's answer, opened, and how long it took.
    pub(super) fn call_all(&mut self, calls: Vec<(&str, Value)>) -> Vec<Result<(Value, Duration), String>> {
        let began = Instant::now();
        let handle = self.open.as_ref().unwrap();
        let mut running = Vec::new();
        for (method, params) in calls {
            let sealed = self.key.seal(params.to_string().as_bytes(), nonce()).unwrap().to_base64();
            let call = json!({ "method": format!("{}:{method}", self.machine), "params": sealed });
            let (handle, args) = (handle.clone(), Args::one(&call).unwrap());
            running.push(self.runtime.spawn(async move {
                let ack = handle.emit_with_ack("rpc-call", &args, ANSWER).await;
                (ack.map(|ack| ack.first::<Value>().unwrap()), began.elapsed())
            }));
        }
        let answers = running.into_iter().map(|call| self.runtime.block_on(call).unwrap());
        let answers: Vec<_> = answers.collect();
        answers
            .into_iter()
            .map(|(ack, took)| {
                let ack = ack.map_err(|error| error.to_string())?;
                match ack["result"].as_str() {
                    Some(sealed) if ack["ok"] == true => Ok((self.read(sealed), took)),
                    _ => Err(ack["error"].to_string()),
                }
            })
            .collect()
    }

    fn read(&self, sealed: &str) -> Value {
        let opened = self.key.open_base64(sealed).expect("the answer is sealed with the machine's key");
        serde_json::from_slice(opened.json()).unwrap()
    }

    /// Calls until the machine has answered: it is there for phones then, whatever anybody says of it. Why it has not when it
    /// takes too long.
    ///
    /// The call is one every peer refuses after reading it: to stop a session that does not exist.
    pub(super) fn until_answered(&mut self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let call = ("stop-session", json!({ "sessionId": "there-is-none" }));
            let Err(why) = self.call_all(vec![call]).remove(0) else { return Ok(()) };
            if began.elapsed() > PATIENCE {
                return Err(format!("no answer within {PATIENCE:?}: {why}"));
            }
            if self.open.as_ref().is_none_or(|handle| handle.ended().is_some()) {
                self.reconnect();
            } else {
                std::thread::sleep(AGAIN);
            }
        }
    }
}

/// Takes out what the server tells: a connection whose events nobody takes out is not read any more.
async fn ignore(mut events: Events) {
    while events.next().await.is_ok() {}
}

fn nonce() -> Fresh<24> {
    let mut bytes = [0; 24];
    bytes.copy_from_slice(&secret()[..24]);
    Fresh::new(bytes)
}

/// A token of the link's account, which is made by that.
pub(super) async fn log_in(way: &Server, link: &Link) -> String {
    let http = Client::new(way.clone(), HttpOptions::default()).unwrap();
    let signing = SigningKey::derive(&MasterSecret::from_bytes(link.master), Dialect::Happy);
    let challenge = PairingPublic::from_bytes(secret()).to_base64();
    let login = json!({
        "publicKey": signing.public_base64(),
        "challenge": challenge,
        "signature": signing.sign_base64(&challenge).unwrap(),
    });
    let answer: Value = http.post("/v1/auth", &login).await.unwrap();
    Token::new(answer["token"].as_str().unwrap()).unwrap().expose().to_owned()
}
