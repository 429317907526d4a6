//! A phone that sends whatever it is told to, and sees what a server sees.

use std::time::Duration;

use delight_crypto::{ContentSecret, DataKey, Dialect, Fresh, MasterSecret, SealingKey, SigningKey, wrapped};
use delight_transport::http::{Client, Options as HttpOptions};
use delight_transport::secret::{Auth, Token};
use delight_transport::server::Server;
use delight_transport::socketio::{self, Args, Events, Handle, Options};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::rig::{Link, MACHINE, secret};

/// The phone.
pub(super) struct Raw {
    pub(super) runtime: Runtime,
    pub(super) handle: Handle,
    events: Events,
    http: Client,
    master: [u8; 32],
    key: SealingKey,
    pub(super) token: String,
}

pub(super) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn nonce() -> Fresh<24> {
    let mut bytes = [0; 24];
    bytes.copy_from_slice(&secret()[..24]);
    Fresh::new(bytes)
}

impl Raw {
    pub(super) fn connect(link: &Link, url: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let signing = SigningKey::derive(&MasterSecret::from_bytes(link.master), Dialect::Happy);
        let (http, token, handle, events) = runtime.block_on(async {
            let server = Server::new(url, None, |_| None).unwrap();
            let http = Client::new(server.clone(), HttpOptions::default()).unwrap();
            let challenge = delight_crypto::PairingPublic::from_bytes(secret()).to_base64();
            let login = json!({
                "publicKey": signing.public_base64(),
                "challenge": challenge,
                "signature": signing.sign_base64(&challenge).unwrap(),
            });
            let answer: Value = http.post("/v1/auth", &login).await.unwrap();
            let token = answer["token"].as_str().unwrap().to_owned();
            http.set_token(Some(Token::new(&token).unwrap()));
            let auth = json!({ "token": token, "clientType": "user-scoped" });
            let (handle, events) =
                socketio::connect(Options::new(server, Auth::new(&auth).unwrap())).await.unwrap();
            (http, token, handle, events)
        });
        let key = SealingKey::data(&DataKey::from_bytes(link.machine_key));
        Self { runtime, handle, events, http, master: link.master, key, token }
    }

    pub(super) fn seal(&self, plaintext: &Value) -> String {
        self.key.seal(plaintext.to_string().as_bytes(), nonce()).unwrap().to_base64()
    }

    pub(super) fn open(&self, sealed: &str) -> Value {
        match self.key.open_base64(sealed) {
            Ok(opened) => serde_json::from_slice(opened.json()).unwrap(),
            // What is not sealed is a refusal in clear.
            Err(_) => serde_json::from_str(sealed).unwrap(),
        }
    }

    /// Makes a call and gives the server's own answer.
    pub(super) fn call(&self, method: &str, params: &str) -> Value {
        let call = json!({ "method": method, "params": params });
        let args = Args::one(&call).unwrap();
        let ack = self.handle.emit_with_ack("rpc-call", &args, Duration::from_secs(40));
        self.runtime.block_on(ack).unwrap().first().unwrap()
    }

    /// Delivers params to the machine as they are; what came back, opened.
    pub(super) fn deliver(&self, method: &str, params: &str) -> Value {
        let ack = self.call(&format!("{MACHINE}:{method}"), params);
        assert_eq!(ack["ok"], true, "{ack}");
        self.open(ack["result"].as_str().unwrap())
    }

    /// What the server has there.
    pub(super) fn get(&self, path: &str) -> Value {
        self.runtime.block_on(self.http.get(path, &[])).unwrap()
    }

    /// The machine's row as the server has it.
    pub(super) fn machine(&self) -> Value {
        self.get(&format!("/v1/machines/{MACHINE}"))["machine"].clone()
    }

    /// The key of a session of the account, as every phone of it can have it.
    pub(super) fn session_key(&self, id: &str) -> DataKey {
        let rows = self.get("/v1/sessions");
        let row = rows["sessions"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap();
        let content = ContentSecret::derive(&MasterSecret::from_bytes(self.master), Dialect::Happy);
        wrapped::unwrap(row["dataEncryptionKey"].as_str().unwrap(), &content).unwrap()
    }

    /// The bodies of the updates the server has pushed since, up to the first that fits.
    pub(super) fn updates_until(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut bodies = Vec::new();
        self.runtime.block_on(async {
            loop {
                let next = tokio::time::timeout(delight_tests::LONG, self.events.next());
                let event = next.await.expect("the update comes").unwrap();
                if event.name != "update" {
                    continue;
                }
                let body = event.payload.first::<Value>().unwrap()["body"].clone();
                bodies.push(body);
                if fits(&bodies[bodies.len() - 1]) {
                    return;
                }
            }
        });
        bodies
    }
}
