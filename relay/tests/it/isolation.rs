//! No account sees, changes or guesses anything of another.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::rig::Rig;

#[tokio::test]
async fn no_route_serves_a_foreign_id() {
    let rig = Rig::start().await;
    let (owner, stranger) = (rig.account(1).await, rig.account(2).await);
    let session = owner.session("t").await;
    owner.machine("m").await;
    owner.send(&session, &["a"]).await;
    owner.post(&format!("/v1/access-keys/{session}/m"), json!({ "data": "ZGF0YQ==" })).await;
    owner.post("/v1/kv", json!({ "mutations": [{ "key": "k", "value": "dg==", "version": -1 }] })).await;
    owner.post("/v1/push-tokens", json!({ "token": "tok" })).await;
    let before = owner.get("/v2/sessions").await;

    let content = json!({ "messages": [{ "content": "x", "localId": "x" }] });
    let news = json!({ "kind": "done", "title": "t", "body": "b" });
    for (method, path, body) in [
        (Method::GET, format!("/v1/sessions/{session}/messages"), None),
        (Method::GET, format!("/v3/sessions/{session}/messages"), None),
        (Method::POST, format!("/v3/sessions/{session}/messages"), Some(content)),
        (Method::POST, format!("/v1/sessions/{session}/archive"), Some(json!({}))),
        (Method::POST, format!("/v1/sessions/{session}/push-event"), Some(news)),
        (Method::DELETE, format!("/v1/sessions/{session}"), None),
        (Method::GET, "/v1/machines/m".to_owned(), None),
        (Method::DELETE, "/v1/machines/m".to_owned(), None),
        (Method::GET, format!("/v1/access-keys/{session}/m"), None),
        (Method::POST, format!("/v1/access-keys/{session}/m"), Some(json!({ "data": "x" }))),
        (
            Method::PUT,
            format!("/v1/access-keys/{session}/m"),
            Some(json!({ "data": "x", "expectedVersion": 1 })),
        ),
        (Method::GET, "/v1/kv/k".to_owned(), None),
    ] {
        let (status, answer) = stranger.call(method.clone(), &path, body.clone()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}: {answer}");
        // The very same words as for something that is nowhere: an id cannot be probed.
        let nowhere: Vec<&str> = path
            .split('/')
            .map(|part| if [session.as_str(), "m", "k"].contains(&part) { "nowhere" } else { part })
            .collect();
        assert_eq!(stranger.call(method, &nowhere.join("/"), body).await, (status, answer), "{path}");
    }
    assert_eq!(stranger.get("/v1/sessions").await["sessions"], json!([]));
    assert_eq!(stranger.get("/v2/sessions").await["sessions"], json!([]));
    assert_eq!(stranger.get("/v2/sessions/active").await["sessions"], json!([]));
    assert_eq!(stranger.get("/v1/machines").await, json!([]));
    assert_eq!(stranger.get("/v1/kv").await["items"], json!([]));
    assert_eq!(stranger.post("/v1/kv/bulk", json!({ "keys": ["k"] })).await["values"], json!([]));
    assert_eq!(stranger.get("/v1/push-tokens").await["tokens"], json!([]));
    stranger.call(Method::DELETE, "/v1/push-tokens/tok", None).await;

    assert_eq!(owner.get("/v2/sessions").await, before, "nothing was changed");
    assert_eq!(owner.get("/v1/push-tokens").await["tokens"].as_array().unwrap().len(), 1);
    let messages = owner.get(&format!("/v3/sessions/{session}/messages")).await;
    assert_eq!(messages["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_names_in_two_accounts_are_two_things() {
    let rig = Rig::start().await;
    let (one, two) = (rig.account(1).await, rig.account(2).await);
    assert_ne!(one.session("t").await, two.session("t").await);
    one.post("/v1/machines", json!({ "id": "m", "metadata": "b25l" })).await;
    two.post("/v1/machines", json!({ "id": "m", "metadata": "dHdv" })).await;
    assert_eq!(one.get("/v1/machines/m").await["machine"]["metadata"], "b25l");
    assert_eq!(two.get("/v1/machines/m").await["machine"]["metadata"], "dHdv");
    two.call(Method::DELETE, "/v1/machines/m", None).await;
    one.get("/v1/machines/m").await;
}

#[tokio::test]
async fn no_event_reaches_or_changes_another_account() {
    let rig = Rig::start().await;
    let (owner, stranger) = (rig.account(1).await, rig.account(2).await);
    let session = owner.session("t").await;
    owner.machine("m").await;
    let mut watcher = owner.watcher().await;
    let mut machine = owner.machine_socket("m").await;
    machine.provide("m:ping").await;
    watcher.ephemeral("machine-activity").await;

    // A stranger may claim to be whatever it likes: it hears its own account only.
    let mut eavesdropper = stranger.session_socket(&session).await;
    let mut impostor = stranger.machine_socket("m").await;
    let mut attacker = stranger.watcher().await;
    for (event, payload) in [
        ("update-metadata", json!({ "sid": session, "metadata": "x", "expectedVersion": 0 })),
        ("update-state", json!({ "sid": session, "agentState": "x", "expectedVersion": 0 })),
        ("machine-update-metadata", json!({ "machineId": "m", "metadata": "x", "expectedVersion": 1 })),
        ("machine-update-state", json!({ "machineId": "m", "daemonState": "x", "expectedVersion": 0 })),
    ] {
        assert_eq!(attacker.ask(event, payload).await["result"], "error", "{event}");
    }
    for (event, payload) in [
        ("message", json!({ "sid": session, "message": "x" })),
        ("session-end", json!({ "sid": session, "time": 0 })),
        ("rpc-call", json!({ "method": "m:ping", "params": "" })),
        ("access-key-get", json!({ "sessionId": session, "machineId": "m" })),
    ] {
        assert_eq!(attacker.ask(event, payload).await["ok"], false, "{event}");
    }
    let usage = json!({ "key": "k", "sessionId": session, "tokens": { "total": 1 }, "cost": { "total": 1 } });
    assert_eq!(attacker.ask("usage-report", usage).await["success"], false);
    attacker.emit("session-alive", json!({ "sid": session, "time": 0, "thinking": true })).await;
    attacker.emit("machine-alive", json!({ "machineId": "m", "time": 0 })).await;
    attacker.emit("ephemeral", json!({ "type": "x" })).await;
    impostor.provide("m:ping").await;
    impostor.leave().await;
    attacker.drain().await;

    let call = watcher.begin("rpc-call", Some(json!({ "method": "m:ping", "params": "" }))).await;
    let asked = machine.until(|event| event.name == "rpc-request").await;
    machine.answer(&asked, json!("pong")).await;
    assert_eq!(watcher.finish(call).await["result"], "pong");
    owner.send(&session, &["a"]).await;
    let heard = watcher.drain().await;
    assert_eq!(heard.len(), 1, "its own message and nothing else: {heard:?}");
    assert_eq!(eavesdropper.drain().await.len(), 0);
    let rows = owner.get("/v1/sessions").await["sessions"][0].clone();
    assert_eq!(
        (&rows["metadataVersion"], &rows["agentStateVersion"], &rows["active"]),
        (&json!(0), &json!(0), &json!(true))
    );
    assert_eq!(owner.get("/v1/machines/m").await["machine"]["active"], true);
}

#[tokio::test]
async fn a_pairing_gives_the_account_that_answered_it() {
    let rig = Rig::start().await;
    let (one, two) = (rig.account(1).await, rig.account(2).await);
    let key = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
    rig.post("/v1/auth/request", json!({ "publicKey": key })).await;
    one.post("/v1/auth/response", json!({ "publicKey": key, "response": "b25l" })).await;
    let late = two
        .call(Method::POST, "/v1/auth/response", Some(json!({ "publicKey": key, "response": "dHdv" })))
        .await;
    assert_eq!(late.0, StatusCode::CONFLICT);
    let (_, body) = rig.post("/v1/auth/request", json!({ "publicKey": key })).await;
    assert_eq!(body["response"], "b25l");
    let mut paired = two.clone();
    paired.token = body["token"].as_str().unwrap().to_owned();
    let id = |profile: Value| profile["id"].clone();
    assert_eq!(id(paired.get("/v1/account/profile").await), id(one.get("/v1/account/profile").await));
}
