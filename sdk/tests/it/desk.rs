//! The daemon's side, scripted: a machine with sessions that answers calls, over delight's own Socket.IO client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delight_crypto::{ContentSecret, DataKey, Dialect, Fresh, MasterSecret, SealingKey, SigningKey, wrapped};
use delight_proto::sync::rpc::{Address, Params, bind_answer};
use delight_sdk::Account;
use delight_transport::http::{self, Client, Method};
use delight_transport::secret::{Auth, Token};
use delight_transport::server::Server;
use delight_transport::socketio::{Args, Event, Handle, Options, connect};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::rig::{must, until};

/// What a scripted machine answers to a call.
pub(crate) type Answers = Arc<dyn Fn(&Address, Value) -> Value + Send + Sync>;

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// An account's side of HTTP, without the sdk.
#[derive(Clone)]
pub(crate) struct Member {
    http: Client,
    pub(crate) token: String,
    content: delight_crypto::ContentPublic,
}

impl Member {
    pub(crate) async fn log_in(base: &str, account: &Account) -> Self {
        let master = MasterSecret::from_base64(&account.export()).unwrap();
        let signing = SigningKey::derive(&master, Dialect::Happy);
        let content = ContentSecret::derive(&master, Dialect::Happy).public();
        let options = http::Options { timeout: Duration::from_secs(30), ..http::Options::default() };
        let http = Client::new(Server::new(base, None, |_| None).unwrap(), options).unwrap();
        let challenge = delight_crypto::PairingPublic::from_bytes(random()).to_base64();
        let proof = json!({
            "publicKey": signing.public_base64(),
            "challenge": challenge,
            "signature": signing.sign_base64(&challenge).unwrap(),
        });
        let mut member = Self { http, token: String::new(), content };
        let answer = member.call(Method::POST, "/v1/auth", Some(proof)).await;
        member.token = answer["token"].as_str().unwrap().to_owned();
        member.http.set_token(Some(Token::new(member.token.clone()).unwrap()));
        member
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let answer = self.http.request(method, path, &[], body.as_ref()).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}")).json().unwrap()
    }

    fn wrap(&self, key: &DataKey) -> String {
        wrapped::wrap(key, &self.content, Fresh::new(random()), Fresh::new(random())).unwrap()
    }
}

pub(crate) fn seal(key: &SealingKey, value: &Value) -> String {
    key.seal(value.to_string().as_bytes(), Fresh::new(random())).unwrap().to_base64()
}

/// A session of the machine.
#[derive(Clone)]
pub(crate) struct DeskSession {
    pub(crate) id: String,
    pub(crate) key: Arc<SealingKey>,
}

struct Offers {
    /// What is registered at every connect: full names.
    methods: Vec<String>,
    keys: BTreeMap<String, Arc<SealingKey>>,
    socket: Option<Handle>,
}

pub(crate) struct Desk {
    pub(crate) member: Member,
    pub(crate) machine: String,
    offers: Arc<Mutex<Offers>>,
    serving: JoinHandle<()>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Desk {
    /// A machine that is registered, connected and answers `methods` with what `answers` says.
    pub(crate) async fn start(base: &str, account: &Account, methods: &[&str], answers: Answers) -> Self {
        let member = Member::log_in(base, account).await;
        let machine = format!("machine-{}", u64::from_le_bytes(random()));
        let data_key = DataKey::from_bytes(random());
        let key = Arc::new(SealingKey::data(&data_key));
        let body = json!({
            "id": machine,
            "metadata": seal(&key, &json!({ "host": "desk", "platform": "linux" })),
            "daemonState": seal(&key, &json!({ "status": "running", "pid": 7 })),
            "dataEncryptionKey": member.wrap(&data_key),
        });
        member.call(Method::POST, "/v1/machines", Some(body)).await;
        let offers = Arc::new(Mutex::new(Offers {
            methods: methods.iter().map(|method| format!("{machine}:{method}")).collect(),
            keys: BTreeMap::from([(machine.clone(), key)]),
            socket: None,
        }));
        let serving =
            tokio::spawn(serve(base.to_owned(), member.clone(), machine.clone(), offers.clone(), answers));
        let desk = Self { member, machine, offers, serving };
        until("the desk is connected", || async { desk.socket() }).await;
        desk
    }

    fn socket(&self) -> Option<Handle> {
        self.offers.lock().unwrap().socket.clone().filter(|socket| socket.ended().is_none())
    }

    pub(crate) fn emit(&self, event: &str, value: &Value) {
        self.socket().expect("the desk is connected").emit(event, &Args::one(value).unwrap()).unwrap();
    }

    /// A session of the machine that answers these methods.
    pub(crate) async fn session(&self, methods: &[&str]) -> DeskSession {
        let data_key = DataKey::from_bytes(random());
        let key = Arc::new(SealingKey::data(&data_key));
        let body = json!({
            "tag": format!("tag-{}", u64::from_le_bytes(random())),
            "metadata": seal(&key, &json!({ "path": "/work", "host": "desk" })),
            "dataEncryptionKey": self.member.wrap(&data_key),
        });
        let answer = self.member.call(Method::POST, "/v1/sessions", Some(body)).await;
        let id = answer["session"]["id"].as_str().unwrap().to_owned();
        let names: Vec<_> = methods.iter().map(|method| format!("{id}:{method}")).collect();
        {
            let mut offers = self.offers.lock().unwrap();
            offers.keys.insert(id.clone(), Arc::clone(&key));
            offers.methods.extend(names.clone());
        }
        for name in names {
            self.emit("rpc-register", &json!({ "method": name }));
        }
        DeskSession { id, key }
    }

    /// Writes messages as the session's agent.
    pub(crate) async fn say(&self, session: &DeskSession, local_ids: &[&str]) {
        let messages: Vec<_> = local_ids
            .iter()
            .map(|id| json!({ "localId": id, "content": seal(&session.key, &says(id)) }))
            .collect();
        self.post(session, messages).await;
    }

    pub(crate) async fn post(&self, session: &DeskSession, messages: Vec<Value>) {
        let path = format!("/v3/sessions/{}/messages", session.id);
        self.member.call(Method::POST, &path, Some(json!({ "messages": messages }))).await;
    }

    /// Publishes an agent state over whatever is there.
    pub(crate) async fn agent_state(&self, session: &DeskSession, state: &Value) {
        let mut version = 0;
        loop {
            let update = json!({
                "sid": session.id, "agentState": seal(&session.key, state), "expectedVersion": version
            });
            let socket = self.socket().expect("the desk is connected");
            let args = Args::one(&update).unwrap();
            let limit = Duration::from_secs(20);
            let ack: Value =
                socket.emit_with_ack("update-state", &args, limit).await.unwrap().first().unwrap();
            match ack["result"].as_str() {
                Some("success") => return,
                Some("version-mismatch") => version = ack["version"].as_u64().unwrap_or(0),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The text of a message an agent wrote.
pub(crate) fn says(text: &str) -> Value {
    json!({ "role": "user", "content": { "type": "text", "text": text } })
}

async fn serve(base: String, member: Member, machine: String, offers: Arc<Mutex<Offers>>, answers: Answers) {
    let auth = json!({ "token": member.token, "clientType": "machine-scoped", "machineId": machine });
    let server = Server::new(&base, None, |_| None).unwrap();
    let options = Options::new(server, Auth::new(&auth).unwrap());
    loop {
        let (socket, mut events) =
            until("the server takes the desk", || async { connect(options.clone()).await.ok() }).await;
        let methods = offers.lock().unwrap().methods.clone();
        for method in &methods {
            socket.emit("rpc-register", &Args::one(&json!({ "method": method })).unwrap()).unwrap();
        }
        // The server answers each; when the last is answered all are there.
        let mut registered = 0;
        while registered < methods.len() {
            match must("the methods are registered", events.next()).await {
                Ok(event) if event.name == "rpc-registered" => registered += 1,
                Ok(event) => answer(event, &offers, &answers),
                Err(_) => break,
            }
        }
        offers.lock().unwrap().socket = Some(socket.clone());
        while let Ok(event) = events.next().await {
            answer(event, &offers, &answers);
        }
    }
}

fn answer(event: Event, offers: &Arc<Mutex<Offers>>, answers: &Answers) {
    let Some(ack) = event.ack else { return };
    let call: Value = event.payload.first().unwrap();
    let address: Address = call["method"].as_str().unwrap().parse().unwrap();
    let key = offers.lock().unwrap().keys[address.id.as_str()].clone();
    let answers = Arc::clone(answers);
    // Beside the others: a call that takes long must not hold them up, as in a real daemon.
    tokio::task::spawn_blocking(move || {
        let opened = key.open_base64(call["params"].as_str().unwrap()).unwrap();
        let params = Params::open(opened.json(), &address).unwrap();
        params.check_time(now_ms()).unwrap();
        assert!(params.nonce().is_some(), "the sdk binds its requests");
        let asked: Value = params.shape("any").unwrap();
        let result = answers(&address, asked);
        let sealed = seal(&key, &bind_answer(&params, result));
        tokio::spawn(async move { ack.send(&Args::one(&sealed).unwrap()).await });
    });
}

pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Answers to nothing.
pub(crate) fn silent() -> Answers {
    Arc::new(|_, _| json!({ "error": "nobody scripted an answer" }))
}
