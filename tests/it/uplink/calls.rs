//! Calls as a hostile server would deliver them: from raw sockets, by nobody's library but the transport.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use delight_proto::sync::rpc::{Address, bind_request, read_bound_answer};
use delight_tests::Sandbox;
use delight_transport::socketio::Args;
use serde_json::{Value, json};

use super::raw::{Raw, now_ms};
use super::rig::{Link, MACHINE, Relay, is_online};
use super::talk::agent;

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
    let ack = raw.call(&format!("{MACHINE}:ping"), &raw.seal(&json!({})));
    let reflected = raw.deliver("stop-daemon", ack["result"].as_str().unwrap());
    assert!(reflected.get("error").is_some(), "{reflected}");
    assert_eq!(raw.deliver("ping", &raw.seal(&json!({})))["success"], true, "it is there all the while");
}

/// What nobody offers is refused at once, by the machine as by a session. [happy 5.10: 15 s for an unknown method]
#[test]
fn row_5_10_an_unknown_method_is_refused_at_once() {
    // Sockets that were just opened may be about to offer it: they are waited for, but not for long.
    const AT_ONCE: Duration = Duration::from_secs(5);
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let link = Link::make(&sandbox, &relay.url());
    let phone = link.phone();
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let raw = Raw::connect(&link, &relay.url());
    for id in [MACHINE, session.id.as_str()] {
        for method in ["no-such-method", "", "ping:ping"] {
            let (method, began) = (format!("{id}:{method}"), Instant::now());
            let ack = raw.call(&method, &raw.seal(&json!({})));
            assert!(began.elapsed() < AT_ONCE, "{method}: {:?}", began.elapsed());
            assert_eq!(ack, json!({ "ok": false, "error": "RPC method not available" }), "{method}");
        }
    }
    // What Happy's daemon offers and this one does not is answered by the machine itself, with its reason.
    let params = json!({ "directory": "/", "claudeSessionId": "x" });
    let began = Instant::now();
    let refused = raw.deliver("claude-fork-session", &raw.seal(&params));
    assert!(error(&refused).contains("not offered"), "{refused}");
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

/// A storm is answered, each call once, and the daemon goes on.
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
