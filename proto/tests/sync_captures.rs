//! Recorded traffic of a real Happy server, its daemon and its remote client: every line parses, and what was parsed is
//! written again as the same JSON.
//!
//! `data/captures` holds one line of every shape there was. `DELIGHT_CAPTURES=DIR cargo test -p delight-proto` runs the
//! same over other recordings of that form. In them `x#plain` is what was sealed in `x`.

// The helpers of this test are not test functions themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use delight_proto::sync::http::{self, Call};
use delight_proto::sync::record::Record;
use delight_proto::sync::rpc::{self, Address, MachineRequest, Params, SessionRequest, answer};
use delight_proto::sync::socket::{
    ClientEvent, ConnectAuth, Connected, Kept, PATH, RpcAck, ServerEvent, TransportOpen, VersionedAck,
};
use delight_proto::sync::state::{AgentState, DaemonState, MachineMetadata, SessionMetadata};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Fields that are read and left out on purpose: nobody here needs them.
const IGNORED: &[(&str, &str)] = &[
    // Always null on today's server.
    ("/v1/sessions", "lastMessage"),
];

/// Fields of states that we keep without knowing them.
const KEPT: &[&str] = &["sandbox", "stale", "agy"];

#[test]
fn every_recorded_line_parses_without_loss() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures")];
    folders.extend(std::env::var_os("DELIGHT_CAPTURES").map(PathBuf::from));
    for folder in folders {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "jsonl"))
            .collect();
        files.sort();
        assert!(!files.is_empty(), "no recordings in {}", folder.display());
        let mut reader = Reader::default();
        for file in files {
            for (at, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
                let line: Value = serde_json::from_str(line).unwrap();
                reader.context = format!("{}:{}", file.file_name().unwrap().to_string_lossy(), at + 1);
                reader.line(&line);
            }
        }
        println!("{}: {} payloads, {} plaintexts", folder.display(), reader.payloads, reader.plaintexts);
        assert!(
            reader.payloads > 200 && reader.plaintexts > 100,
            "{} {}",
            reader.payloads,
            reader.plaintexts
        );
    }
}

#[derive(Default)]
struct Reader {
    context: String,
    payloads: usize,
    plaintexts: usize,
    /// Which event waits for an acknowledgement: (connection, from the client, ack id).
    waiting: HashMap<(u64, bool, u64), (String, String)>,
    verbs: HashMap<u64, String>,
}

impl Reader {
    fn line(&mut self, line: &Value) {
        match text(line, "kind") {
            // The recorder's own, and what belongs to the transport.
            "mark" | "ws-close" | "ws-error" => {}
            "ws-open" => assert!(text(line, "url").starts_with(PATH)),
            "http-request" => self.http_request(line),
            "http-response" => self.http_response(line),
            "ws" => self.packet(line),
            other => panic!("{}: a line of kind {other}", self.context),
        }
        self.sealed_inside(line, "");
    }

    fn http_request(&mut self, line: &Value) {
        let (url, body) = (text(line, "url"), &line["body"]);
        self.verbs.insert(line["n"].as_u64().unwrap(), text(line, "method").to_owned());
        let id = |at: usize| url.split(['/', '?']).nth(at).unwrap().try_into().unwrap();
        let account = |url: &str| url.contains("/account/");
        let offer = if account(url) {
            delight_proto::sync::pairing_link::Offer::Account
        } else {
            delight_proto::sync::pairing_link::Offer::Machine
        };
        match (text(line, "method"), shape_of(url).as_str()) {
            ("POST", "/v1/auth") => self.call::<http::Login>(url, body, |_| {}),
            ("POST", "/v1/auth/request" | "/v1/auth/account/request") => {
                self.call::<http::AskPairing>(url, body, |call| call.offer = offer);
            }
            ("POST", "/v1/auth/response" | "/v1/auth/account/response") => {
                self.call::<http::AnswerPairing>(url, body, |call| call.offer = offer);
            }
            ("POST", "/v1/machines") => self.call::<http::CreateMachine>(url, body, |_| {}),
            ("POST", "/v1/sessions") => self.call::<http::CreateSession>(url, body, |_| {}),
            ("POST", "/v1/sessions/*/archive") => {
                self.call::<http::ArchiveSession>(url, body, |call| call.id = id(3));
            }
            ("POST", "/v1/sessions/*/push-event") => {
                self.call::<http::PushEvent>(url, body, |call| call.sid = id(3));
            }
            ("POST", "/v3/sessions/*/messages") => {
                self.call::<http::PostMessages>(url, body, |call| call.sid = id(3));
            }
            ("GET", "/v1/machines") => assert_eq!(http::ListMachines {}.path(), url),
            ("GET", "/v1/sessions") => assert_eq!(http::ListSessions::Newest.path(), url),
            ("GET", "/v1/sessions/*/messages") => {
                let call = http::RecentMessages { sid: id(3), limit: None, after: None };
                assert_eq!(call.path(), url);
            }
            ("GET", "/v3/sessions/*/messages") => {
                let order = http::PageOrder::After(0);
                assert_eq!(http::PageMessages { sid: id(3), order, limit: 100 }.path(), url);
            }
            ("GET", "/v1/auth/request/status") => {
                let key = url.split_once("publicKey=").unwrap().1;
                let key = key.replace("%2F", "/").replace("%2B", "+").replace("%3D", "=");
                let call = http::PollPairing { public_key: key.as_str().try_into().unwrap() };
                assert_eq!(call.path(), url);
            }
            (verb, path) => panic!("{}: {verb} {path}", self.context),
        }
    }

    fn call<C: Call + DeserializeOwned>(&mut self, url: &str, body: &Value, complete: impl Fn(&mut C)) {
        assert_eq!(C::VERB, http::Verb::Post);
        let mut call: C = serde_json::from_value(bare(body)).unwrap();
        complete(&mut call);
        assert_eq!(call.path(), url, "{}", self.context);
        self.same(url, body, &call);
    }

    fn http_response(&mut self, line: &Value) {
        let (url, body) = (text(line, "url"), &line["body"]);
        match shape_of(url).as_str() {
            "/v1/auth" => self.round_trip::<http::LoggedIn>(url, body),
            "/v1/auth/request" | "/v1/auth/account/request" => {
                self.round_trip::<http::PairingState>(url, body);
                let state: http::PairingState = serde_json::from_value(body.clone()).unwrap();
                assert!(!matches!(state.progress(), http::PairingProgress::Unknown(_)));
            }
            "/v1/auth/request/status" => {
                self.round_trip::<http::PairingStatus>(url, body);
                let status: http::PairingStatus = serde_json::from_value(body.clone()).unwrap();
                assert_eq!(status.progress(), http::PairingProgress::Pending);
            }
            "/v1/auth/response" | "/v1/auth/account/response" | "/v1/sessions/*/archive" => {
                self.round_trip::<http::Done>(url, body);
            }
            "/v1/machines" if body.is_array() => self.round_trip::<http::MachineList>(url, body),
            "/v1/machines" => self.round_trip::<http::MachineCreated>(url, body),
            "/v1/sessions" if body.get("session").is_some() => {
                self.round_trip::<http::SessionCreated>(url, body);
            }
            "/v1/sessions" => self.round_trip::<http::SessionList>(url, body),
            "/v1/sessions/*/push-event" => self.round_trip::<http::PushOutcome>(url, body),
            "/v3/sessions/*/messages"
                if self.verbs.get(&line["n"].as_u64().unwrap()).is_some_and(|verb| verb == "POST") =>
            {
                self.round_trip::<http::Posted>(url, body);
            }
            "/v1/sessions/*/messages" | "/v3/sessions/*/messages"
                if body["messages"][0].get("content").is_some() =>
            {
                self.round_trip::<http::MessagePage>(url, body);
            }
            "/v3/sessions/*/messages" if body.get("hasMore").is_some() => {
                self.round_trip::<http::MessagePage>(url, body);
            }
            "/v3/sessions/*/messages" => self.round_trip::<http::Posted>(url, body),
            path => panic!("{}: an answer to {path}", self.context),
        }
    }

    fn packet(&mut self, line: &Value) {
        let from_client = text(line, "dir") == "client->server";
        match (text(line, "eio"), line.get("sio").and_then(Value::as_str)) {
            ("open", _) => self.round_trip::<TransportOpen>("open", &line["data"]),
            ("ping" | "pong", _) | (_, Some("DISCONNECT")) => {}
            (_, Some("CONNECT")) if from_client => {
                self.round_trip::<ConnectAuth>("connect", &line["data"]);
                let auth: ConnectAuth = serde_json::from_value(line["data"].clone()).unwrap();
                auth.scope().unwrap();
            }
            (_, Some("CONNECT")) => self.round_trip::<Connected>("connected", &line["data"]),
            (_, Some("EVENT")) => self.event(line, from_client),
            (_, Some("ACK")) => self.ack(line, from_client),
            other => panic!("{}: {other:?}", self.context),
        }
    }

    fn event(&mut self, line: &Value, from_client: bool) {
        let name = text(line, "event");
        let args: Vec<Value> = line["args"].as_array().unwrap().iter().map(bare).collect();
        let written = if from_client {
            let event = ClientEvent::read(name, &args).unwrap();
            assert!(!matches!(event, ClientEvent::Unknown { .. }), "{}: {name}", self.context);
            assert_eq!(event.name(), name);
            assert_eq!(event.is_acknowledged(), line.get("ack").is_some(), "{}: {name}", self.context);
            event.args().unwrap()
        } else {
            let event = ServerEvent::read(name, &args).unwrap();
            assert_eq!(event.name(), name);
            match &event {
                ServerEvent::Unknown { .. } => panic!("{}: {name}", self.context),
                ServerEvent::Update(update) => assert_ne!(update.body.kind(), ""),
                ServerEvent::Ephemeral(event) => {
                    use delight_proto::sync::ephemeral::Ephemeral;
                    assert!(!matches!(event, Ephemeral::Unknown { .. }), "{}", self.context);
                }
                _ => {}
            }
            event.args().unwrap()
        };
        assert_eq!(written, args, "{}", self.context);
        self.payloads += 1;
        if let Some(ack) = line.get("ack").and_then(Value::as_u64) {
            let method = line["args"][0].get("method").and_then(Value::as_str).unwrap_or_default();
            let key = (line["c"].as_u64().unwrap(), from_client, ack);
            self.waiting.insert(key, (name.to_owned(), method.to_owned()));
        }
    }

    fn ack(&mut self, line: &Value, from_client: bool) {
        let key = (line["c"].as_u64().unwrap(), !from_client, line["ack"].as_u64().unwrap());
        let data = &line["data"][0];
        if from_client {
            // The answer to a call: one sealed text.
            assert!(serde_json::from_value::<rpc::RpcText>(data["cipher"].clone()).is_ok());
            if let Some((_, method)) = self.waiting.remove(&key) {
                self.answer(&method, &data["#plain"]);
            }
        } else if data.get("ok").is_some() {
            self.round_trip::<RpcAck>("rpc-call", data);
            if let (Some((_, method)), Some(plain)) = (self.waiting.remove(&key), data.get("result#plain")) {
                self.answer(&method, plain);
            }
        } else if data.get("result").is_some() {
            let kept = match () {
                () if data.get("agentState").is_some() => Kept::AgentState,
                () if data.get("daemonState").is_some() => Kept::DaemonState,
                () => Kept::Metadata,
            };
            let ack = VersionedAck::read(kept, &bare(data)).unwrap();
            assert!(!matches!(ack, VersionedAck::Error { .. }), "{}", self.context);
            assert_eq!(ack.write(kept), bare(data), "{}", self.context);
        } else {
            assert_eq!(data, &json!({}), "{}: only a ping is answered with nothing", self.context);
        }
        self.payloads += 1;
    }

    /// An answer's plaintext, by the method it answers.
    fn answer(&mut self, method: &str, plain: &Value) {
        let method = method.split_once(':').unwrap().1;
        let read_file = |reader: &mut Self, done: fn(&Value) -> Value| {
            let written = match answer::failure(plain) {
                Some(failed) => answer::failed(&failed.0),
                None => done(plain),
            };
            reader.equal(plain, &written);
        };
        fn done<T: DeserializeOwned + Serialize>(plain: &Value) -> Value {
            let shape: T = answer::read("an answer", plain).unwrap().unwrap();
            answer::succeeded(&shape).unwrap()
        }
        match method {
            "spawn-happy-session" | "resume-happy-session" => {
                self.round_trip::<rpc::SpawnResult>(method, plain);
                let result: rpc::SpawnResult = serde_json::from_value(plain.clone()).unwrap();
                assert!(!matches!(result, rpc::SpawnResult::Unknown { .. }));
            }
            "stop-session" | "stop-daemon" | "killSession" => {
                self.round_trip::<answer::Message>(method, plain);
            }
            "bash" | "ripgrep" | "difftastic" => self.round_trip::<rpc::CommandOutcome>(method, plain),
            "readFile" => read_file(self, done::<rpc::FileContent>),
            "writeFile" => read_file(self, done::<rpc::FileWritten>),
            "listDirectory" => read_file(self, done::<rpc::DirectoryListing>),
            "getDirectoryTree" => read_file(self, done::<rpc::DirectoryTree>),
            "abort" | "permission" | "switch" => assert!(plain.is_null() || plain.is_boolean()),
            other => panic!("{}: an answer to {other}", self.context),
        }
    }

    /// Every `x#plain` below `value`; `above` is the name `value` stands under.
    fn sealed_inside(&mut self, value: &Value, above: &str) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.sealed_inside(item, above)),
            Value::Object(object) => {
                for (key, inner) in object {
                    match key.strip_suffix("#plain") {
                        Some(field) => self.plaintext(field, above, object, inner),
                        None => self.sealed_inside(inner, key),
                    }
                }
            }
            _ => {}
        }
    }

    fn plaintext(&mut self, field: &str, above: &str, around: &Map<String, Value>, plain: &Value) {
        self.plaintexts += 1;
        // In updates the value stands under the state's name.
        let field = if field == "value" { above } else { field };
        match field {
            "metadata" if plain.get("platform").is_some() => {
                self.state::<MachineMetadata>(plain, |state| {
                    let nested = state.cli_availability.as_ref().map(|inner| inner.rest.clone());
                    let support = state.resume_support.as_ref().map(|inner| inner.rest.clone());
                    [Some(state.rest.clone()), nested, support].into_iter().flatten().collect()
                });
            }
            "metadata" => self.state::<SessionMetadata>(plain, |state| {
                let servers = state.mcp_servers.iter().flatten().map(|server| server.rest.clone());
                std::iter::once(state.rest.clone()).chain(servers).collect()
            }),
            "agentState" => self.state::<AgentState>(plain, |state| {
                let open = state.requests.iter().flatten().map(|(_, request)| request.rest.clone());
                let completed =
                    state.completed_requests.iter().flatten().map(|(_, request)| request.rest.clone());
                std::iter::once(state.rest.clone()).chain(open).chain(completed).collect()
            }),
            "daemonState" => self.state::<DaemonState>(plain, |state| vec![state.rest.clone()]),
            "message" | "content" | "c" => {
                let record = Record::open(&serde_json::to_vec(plain).unwrap()).unwrap();
                assert!(!matches!(record, Record::Unknown { .. }), "{}: {plain}", self.context);
                let written: Value = serde_json::from_slice(&record.plaintext().unwrap()).unwrap();
                self.equal(plain, &written);
            }
            "params" => {
                let address: Address = around["method"].as_str().unwrap().parse().unwrap();
                let params = Params::open(&serde_json::to_vec(plain).unwrap(), &address).unwrap();
                let machine = address.id.len() == 36;
                let written = if machine {
                    MachineRequest::read(&address.method, &params).unwrap().params()
                } else if address.method == "nosuchmethod"
                    || SessionRequest::read(&address.method, &params).is_err()
                {
                    let refusal = SessionRequest::read(&address.method, &params).unwrap_err();
                    assert_eq!(refusal.code, delight_proto::refusal::Code::UnknownMethod, "{refusal}");
                    return;
                } else {
                    SessionRequest::read(&address.method, &params).unwrap().params()
                };
                self.equal(plain, &written.unwrap());
            }
            // Answers, read where their method is known.
            "" | "result" => {}
            other => panic!("{}: what is sealed in {other}?", self.context),
        }
    }

    fn state<T: DeserializeOwned + Serialize>(
        &mut self,
        plain: &Value,
        rests: fn(&T) -> Vec<Map<String, Value>>,
    ) {
        let state: T = delight_proto::sync::state::open(&serde_json::to_vec(plain).unwrap()).unwrap();
        for key in rests(&state).iter().flat_map(Map::keys) {
            assert!(KEPT.contains(&key.as_str()), "{}: {key} has no field", self.context);
        }
        let written: Value =
            serde_json::from_slice(&delight_proto::sync::state::plaintext(&state).unwrap()).unwrap();
        self.equal(plain, &written);
    }

    fn round_trip<T: DeserializeOwned + Serialize>(&mut self, url: &str, original: &Value) {
        let shape: T = match serde_json::from_value(bare(original)) {
            Ok(shape) => shape,
            Err(error) => panic!("{}: {error}: {original}", self.context),
        };
        self.same(url, original, &shape);
    }

    fn same<T: Serialize>(&mut self, url: &str, original: &Value, shape: &T) {
        let mut original = bare(original);
        for (at, field) in IGNORED {
            if *at == url {
                forget(&mut original, field);
            }
        }
        self.equal(&original, &serde_json::to_value(shape).unwrap());
        self.payloads += 1;
    }

    fn equal(&self, original: &Value, written: &Value) {
        assert_eq!(original, written, "{}", self.context);
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// What the recorder added, taken away.
fn bare(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(bare).collect(),
        Value::Object(object) => object
            .iter()
            .filter(|(key, _)| !key.contains('#'))
            .map(|(key, value)| (key.clone(), bare(value)))
            .collect(),
        other => other.clone(),
    }
}

fn forget(value: &mut Value, field: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| forget(item, field)),
        Value::Object(object) => {
            object.remove(field);
            object.values_mut().for_each(|inner| forget(inner, field));
        }
        _ => {}
    }
}

/// A path without query and with its id as `*`.
fn shape_of(url: &str) -> String {
    let path = url.split('?').next().unwrap();
    let parts: Vec<&str> = path
        .split('/')
        .enumerate()
        .map(|(at, part)| if at == 3 && path.contains("sessions/") { "*" } else { part })
        .collect();
    parts.join("/")
}
