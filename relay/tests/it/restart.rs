//! What a relay has acknowledged is there again, however it ended.

use std::time::Duration;

use serde_json::json;

use super::rig::{Rig, SOON};

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let mut rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    account.machine("m").await;
    account.send(&session, &["a", "b"]).await;
    account.post("/v1/kv", json!({ "mutations": [{ "key": "k", "value": "dg==", "version": -1 }] })).await;
    account.post("/v1/account/settings", json!({ "settings": "cw==", "expectedVersion": 0 })).await;
    let mut own = account.session_socket(&session).await;
    own.ask("update-state", json!({ "sid": session, "agentState": "c3Q=", "expectedVersion": 0 })).await;
    let before = account.get("/v2/sessions").await;
    rig.restart().await;
    own.ended().await;
    let account = rig.again(&account);
    assert_eq!(account.get("/v2/sessions").await, before);
    assert_eq!(account.get("/v1/kv/k").await["value"], "dg==");
    assert_eq!(account.get("/v1/account/settings").await["settingsVersion"], 1);
    account.get("/v1/machines/m").await;
    let mut watcher = account.watcher().await;
    let answer = account.send(&session, &["a", "b", "c"]).await;
    assert_eq!(answer["messages"].as_array().unwrap().len(), 3);
    let told = watcher.update("new-message").await;
    assert_eq!(told["body"]["message"]["seq"], 3, "numbers go on");
    // session, machine (2), two messages, kv, settings, state: this is the ninth.
    assert_eq!(told["seq"], 9);
}

#[tokio::test]
async fn a_session_that_does_not_come_back_after_a_restart_is_away() {
    let mut rig = Rig::start().await;
    let account = rig.account(1).await;
    account.session("t").await;
    rig.config.presence.restart = Duration::from_millis(100);
    rig.restart().await;
    let account = rig.again(&account);
    let deadline = std::time::Instant::now() + SOON;
    while account.get("/v1/sessions").await["sessions"][0]["active"] != false {
        assert!(std::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn a_pairing_survives_a_restart() {
    let mut rig = Rig::start().await;
    let phone = rig.account(1).await;
    let asking = json!({ "publicKey": "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=" });
    rig.post("/v1/auth/request", asking.clone()).await;
    rig.restart().await;
    let answer = json!({ "publicKey": asking["publicKey"], "response": "b25l" });
    rig.again(&phone).post("/v1/auth/response", answer).await;
    rig.restart().await;
    assert_eq!(rig.post("/v1/auth/request", asking).await.1["state"], "authorized");
}

#[tokio::test]
async fn old_sessions_are_deleted_where_the_owner_wants_it() {
    let mut rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    account.send(&session, &["a"]).await;
    account.post(&format!("/v1/sessions/{session}/archive"), json!({})).await;
    rig.config.retention_days = Some(0);
    rig.restart().await;
    let account = rig.again(&account);
    let deadline = std::time::Instant::now() + SOON;
    while account.get("/v1/sessions").await["sessions"] != json!([]) {
        assert!(std::time::Instant::now() < deadline);
    }
}
