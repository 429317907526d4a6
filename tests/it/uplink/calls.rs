//! Calls as a hostile server would deliver them: from raw sockets, by nobody's library but the transport.

use std::collections::BTreeSet;
use std::time::Duration;

use delight_crypto::{DataKey, Dialect, Fresh, MasterSecret, SealingKey, SigningKey};
use delight_proto::sync::rpc::{Address, bind_request, read_bound_answer};
use delight_tests::Sandbox;
use delight_transport::http::{Client, Options as HttpOptions};
use delight_transport::secret::{Auth, Token};
use delight_transport::server::Server;
use delight_transport::socketio::{self, Args, Events, Handle, Options};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::rig::{Link, MACHINE, Relay, is_online, secret};

/// A phone that sends whatever it is told to.
struct Raw {
    runtime: Runtime,
    handle: Handle,
    _events: Events,
    key: SealingKey,
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn nonce() -> Fresh<24> {
    let mut bytes = [0; 24];
    bytes.copy_from_slice(&secret()[..24]);
    Fresh::new(bytes)
}

impl Raw {
    fn connect(link: &Link, url: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let signing = SigningKey::derive(&MasterSecret::from_bytes(link.master), Dialect::Happy);
        let (handle, events) = runtime.block_on(async {
            let server = Server::new(url, None, |_| None).unwrap();
            let http = Client::new(server.clone(), HttpOptions::default()).unwrap();
            let challenge = delight_crypto::PairingPublic::from_bytes(secret()).to_base64();
            let login = json!({
                "publicKey": signing.public_base64(),
                "challenge": challenge,
                "signature": signing.sign_base64(&challenge).unwrap(),
            });
            let answer: Value = http.post("/v1/auth", &login).await.unwrap();
            let token = Token::new(answer["token"].as_str().unwrap()).unwrap();
            let auth = json!({ "token": token.expose(), "clientType": "user-scoped" });
            socketio::connect(Options::new(server, Auth::new(&auth).unwrap())).await.unwrap()
        });
        let key = SealingKey::data(&DataKey::from_bytes(link.machine_key));
        Self { runtime, handle, _events: events, key }
    }

    fn seal(&self, plaintext: &Value) -> String {
        self.key.seal(plaintext.to_string().as_bytes(), nonce()).unwrap().to_base64()
    }

    fn open(&self, sealed: &str) -> Value {
        match self.key.open_base64(sealed) {
            Ok(opened) => serde_json::from_slice(opened.json()).unwrap(),
            // What is not sealed is a refusal in clear.
            Err(_) => serde_json::from_str(sealed).unwrap(),
        }
    }

    /// Delivers params as they are; what came back, opened.
    fn deliver(&self, method: &str, params: &str) -> Value {
        let call = json!({ "method": format!("{MACHINE}:{method}"), "params": params });
        let args = Args::one(&call).unwrap();
        let ack = self.handle.emit_with_ack("rpc-call", &args, Duration::from_secs(40));
        let ack: Value = self.runtime.block_on(ack).unwrap().first().unwrap();
        assert_eq!(ack["ok"], true, "{ack}");
        self.open(ack["result"].as_str().unwrap())
    }
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_else(|| panic!("no refusal: {answer}"))
}

/// What a server delivers twice is done once, whenever. [sync-protocol, fault 11: a relay can replay a call]
#[test]
fn a_replayed_call_is_refused_also_by_the_next_daemon() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let link = Link::make(&sandbox, &relay.url());
    let daemon = sandbox.start_daemon();
    is_online(&sandbox);
    let raw = Raw::connect(&link, &relay.url());
    let sealed = raw.seal(&json!({}));
    assert_eq!(raw.deliver("ping", &sealed)["success"], true);
    assert!(error(&raw.deliver("ping", &sealed)).contains("delivered before"));
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    is_online(&sandbox);
    assert!(error(&raw.deliver("ping", &sealed)).contains("delivered before"));
    assert_eq!(raw.deliver("ping", &raw.seal(&json!({})))["success"], true, "a fresh one is done");
}

/// A server cannot make one thing of another: not a call for another method, not our own answer, not a record, not a plain text.
#[test]
fn a_call_is_run_for_its_own_method_and_moment_only() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let link = Link::make(&sandbox, &relay.url());
    let _daemon = sandbox.start_daemon();
    is_online(&sandbox);
    let raw = Raw::connect(&link, &relay.url());
    let address = |method: &str| format!("{MACHINE}:{method}").parse::<Address>().unwrap();
    let bound = |method: &str, at: u64| bind_request(&address(method), &json!({}), at, "bm9uY2U=");

    let answer = raw.deliver("ping", &raw.seal(&bound("ping", now_ms())));
    assert_eq!(read_bound_answer(&answer, "bm9uY2U=").unwrap()["success"], true);
    assert!(read_bound_answer(&answer, "b3RoZXI=").is_err());

    let elsewhere = raw.deliver("stop-daemon", &raw.seal(&bound("ping", now_ms())));
    assert!(error(&elsewhere).contains("another method"), "{elsewhere}");
    let late = raw.deliver("ping", &raw.seal(&bound("ping", now_ms() - 600_000)));
    assert!(error(&late).contains("clock"), "{late}");
    for not_a_call in [json!({"role": "user"}), json!({"success": true}), json!([1]), json!("text")] {
        assert!(raw.deliver("ping", &raw.seal(&not_a_call)).get("error").is_some(), "{not_a_call}");
    }
    assert!(error(&raw.deliver("ping", "{}")).contains("sealed"), "plain calls are not taken");
    assert!(error(&raw.deliver("ping", "AAAA")).contains("not sealed with"));

    // The daemon's own words, handed back to it as a call.
    let call = json!({ "method": format!("{MACHINE}:ping"), "params": raw.seal(&json!({})) });
    let args = Args::one(&call).unwrap();
    let ack = raw.handle.emit_with_ack("rpc-call", &args, Duration::from_secs(40));
    let ack: Value = raw.runtime.block_on(ack).unwrap().first().unwrap();
    let reflected = raw.deliver("stop-daemon", ack["result"].as_str().unwrap());
    assert!(reflected.get("error").is_some(), "{reflected}");
    assert_eq!(raw.deliver("ping", &raw.seal(&json!({})))["success"], true, "it is there all the while");
}

/// A storm is answered, each call once, and the daemon goes on. [happy 5.10: 15 s for an unknown method]
#[test]
fn a_storm_of_calls_gets_an_answer_each() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let link = Link::make(&sandbox, &relay.url());
    let _daemon = sandbox.start_daemon();
    is_online(&sandbox);
    let raw = Raw::connect(&link, &relay.url());
    let answers = raw.runtime.block_on(async {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let call = json!({ "method": format!("{MACHINE}:ping"), "params": raw.seal(&json!({})) });
            let (handle, args) = (raw.handle.clone(), Args::one(&call).unwrap());
            calls.spawn(async move {
                let ack = handle.emit_with_ack("rpc-call", &args, Duration::from_secs(40)).await.unwrap();
                ack.first::<Value>().unwrap()
            });
        }
        calls.join_all().await
    });
    let opened: Vec<Value> = answers
        .iter()
        .filter(|ack| ack["ok"] == true)
        .map(|ack| raw.open(ack["result"].as_str().unwrap()))
        .collect();
    assert_eq!(opened.len(), 200);
    let done = opened.iter().filter(|answer| answer["success"] == true).count();
    let kinds: BTreeSet<&str> = opened.iter().filter_map(|answer| answer["error"].as_str()).collect();
    assert!(done >= 32, "{done} of 200 were done");
    assert!(kinds.iter().all(|kind| kind.contains("too many")), "{kinds:?}");
    assert_eq!(raw.deliver("ping", &raw.seal(&json!({})))["success"], true);
}
