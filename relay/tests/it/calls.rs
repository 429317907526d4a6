//! Remote calls.

use std::time::{Duration, Instant};

use serde_json::json;

use super::rig::{Event, Rig};

fn is_request(event: &Event) -> bool {
    event.name == "rpc-request"
}

#[tokio::test]
async fn a_call_reaches_its_provider_and_the_answer_comes_back() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut provider = account.machine_socket("m").await;
    provider.provide("m:spawn-happy-session").await;
    let mut caller = account.watcher().await;
    for (number, result) in
        [json!("c2VhbGVk"), json!({ "a": [1, null] }), json!(null)].into_iter().enumerate()
    {
        let params = format!("p{number}");
        let call = caller
            .begin("rpc-call", Some(json!({ "method": "m:spawn-happy-session", "params": params })))
            .await;
        let asked = provider.until(is_request).await;
        assert_eq!(asked.payload, json!({ "method": "m:spawn-happy-session", "params": params }));
        provider.answer(&asked, result.clone()).await;
        assert_eq!(caller.finish(call).await, json!({ "ok": true, "result": result }));
    }
}

#[tokio::test]
async fn many_calls_at_once_get_each_their_own_answer() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut provider = account.machine_socket("m").await;
    provider.provide("m:echo").await;
    let mut caller = account.watcher().await;
    let mut calls = Vec::new();
    for number in 0..200 {
        calls.push((
            number,
            caller
                .begin("rpc-call", Some(json!({ "method": "m:echo", "params": format!("{number}") })))
                .await,
        ));
    }
    let mut asked = Vec::new();
    for _ in 0..200 {
        asked.push(provider.until(is_request).await);
    }
    asked.reverse();
    for one in asked {
        let params = one.payload["params"].clone();
        provider.answer(&one, params).await;
    }
    for (number, call) in calls {
        assert_eq!(caller.finish(call).await, json!({ "ok": true, "result": format!("{number}") }));
    }
}

#[tokio::test]
async fn refusals_come_at_once_and_in_the_words_clients_know() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut caller = account.watcher().await;
    let begun = Instant::now();
    let nobody = caller.ask("rpc-call", json!({ "method": "x:y", "params": "" })).await;
    assert_eq!(nobody, json!({ "ok": false, "error": "RPC method not available" }));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let invalid = caller.ask("rpc-call", json!({ "params": "" })).await;
    assert_eq!(invalid, json!({ "ok": false, "error": "Invalid parameters: method is required" }));
    caller.provide("u:own").await;
    let own = caller.ask("rpc-call", json!({ "method": "u:own", "params": "" })).await;
    assert_eq!(own, json!({ "ok": false, "error": "Cannot call RPC on the same socket" }));
    caller.emit("rpc-register", json!({ "method": "" })).await;
    let told = caller.until(|event| event.name == "rpc-error").await.payload;
    assert_eq!(told, json!({ "type": "register", "error": "Invalid method name" }));
    caller.emit("rpc-unregister", json!({ "method": "u:own" })).await;
    caller.until(|event| event.name == "rpc-unregistered").await;
    let gone = caller.ask("rpc-call", json!({ "method": "u:own", "params": "" })).await;
    assert_eq!(gone["error"], "RPC method not available");
}

#[tokio::test]
async fn a_provider_that_leaves_ends_its_calls_at_once() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut provider = account.machine_socket("m").await;
    provider.provide("m:slow").await;
    let mut caller = account.watcher().await;
    let call = caller.begin("rpc-call", Some(json!({ "method": "m:slow", "params": "" }))).await;
    provider.until(is_request).await;
    drop(provider);
    assert_eq!(caller.finish(call).await, json!({ "ok": false, "error": "RPC target disconnected" }));
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_given_up() {
    let rig = Rig::with(|config| config.rpc.timeout = Duration::from_millis(100)).await;
    let account = rig.account(1).await;
    let mut provider = account.machine_socket("m").await;
    provider.provide("m:slow").await;
    let mut caller = account.watcher().await;
    let call = caller.begin("rpc-call", Some(json!({ "method": "m:slow", "params": "" }))).await;
    let asked = provider.until(is_request).await;
    assert_eq!(caller.finish(call).await, json!({ "ok": false, "error": "operation has timed out" }));
    provider.answer(&asked, json!("late")).await;
    assert!(provider.drain().await.is_empty(), "a late answer harms nobody");
    assert!(caller.drain().await.is_empty());
}

#[tokio::test]
async fn a_call_waits_for_a_provider_that_is_coming_back() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut provider = account.machine_socket("m").await;
    provider.provide("m:ping").await;
    let mut caller = account.watcher().await;
    provider.leave().await;
    let call = caller.begin("rpc-call", Some(json!({ "method": "m:ping", "params": "" }))).await;
    let mut back = account.machine_socket("m").await;
    back.provide("m:ping").await;
    let asked = back.until(is_request).await;
    back.answer(&asked, json!("pong")).await;
    assert_eq!(caller.finish(call).await["result"], "pong");
}

#[tokio::test]
async fn a_new_session_may_be_called_before_its_socket_is_there() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let method = format!("{session}:abort");
    let mut caller = account.watcher().await;
    let call = caller.begin("rpc-call", Some(json!({ "method": method, "params": "" }))).await;
    caller.drain().await;
    let mut provider = account.session_socket(&session).await;
    provider.provide(&method).await;
    let asked = provider.until(is_request).await;
    provider.answer(&asked, json!("done")).await;
    assert_eq!(caller.finish(call).await["result"], "done");
}

#[tokio::test]
async fn calls_of_one_socket_are_bounded() {
    let rig = Rig::with(|config| config.limits.calls_in_flight = 2).await;
    let account = rig.account(1).await;
    let mut provider = account.machine_socket("m").await;
    provider.provide("m:slow").await;
    let mut caller = account.watcher().await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(caller.begin("rpc-call", Some(json!({ "method": "m:slow", "params": "" }))).await);
    }
    let refused = caller.finish(calls[2]).await;
    assert_eq!(refused, json!({ "ok": false, "error": "Too many calls are waiting for answers" }));
    for call in &calls[..2] {
        let asked = provider.until(is_request).await;
        provider.answer(&asked, json!(1)).await;
        assert_eq!(caller.finish(*call).await["ok"], true);
    }
}
