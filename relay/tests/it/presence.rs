//! Who counts as there.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::{Account, Rig, SOON};

async fn until_session(account: &Account, active: bool) {
    let deadline = std::time::Instant::now() + SOON;
    while account.get("/v1/sessions").await["sessions"][0]["active"] != active {
        assert!(std::time::Instant::now() < deadline, "the session should become active={active}");
    }
}

fn quick(config: &mut delight_relay::Config) {
    config.presence.reconnect = Duration::from_millis(50);
}

#[tokio::test]
async fn a_session_is_there_while_it_says_so() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut watcher = account.watcher().await;
    let mut own = account.session_socket(&session).await;
    own.emit("session-alive", json!({ "sid": session, "time": 1, "thinking": true, "mode": "remote" })).await;
    let told = watcher.ephemeral("activity").await;
    assert_eq!(
        (&told["id"], &told["active"], &told["thinking"]),
        (&json!(session), &json!(true), &json!(true))
    );
    own.emit("session-end", json!({ "sid": session, "time": 1 })).await;
    let told = watcher.ephemeral("activity").await;
    assert_eq!((&told["active"], &told["thinking"]), (&json!(false), &json!(false)));
    until_session(&account, false).await;
    // Its last heartbeats are echoes.
    own.emit("session-alive", json!({ "sid": session, "time": 1 })).await;
    own.drain().await;
    until_session(&account, false).await;
    assert!(own.drain().await.iter().all(|event| event.name != "ephemeral"), "activity is for watchers");
    // Resumed: a new socket is a new start, at once.
    let mut resumed = account.session_socket(&session).await;
    resumed.emit("session-alive", json!({ "sid": session, "time": 1 })).await;
    assert_eq!(watcher.ephemeral("activity").await["active"], true);
    until_session(&account, true).await;
}

#[tokio::test]
async fn an_archived_session_is_away() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut watcher = account.watcher().await;
    assert_eq!(
        account.post(&format!("/v1/sessions/{session}/archive"), json!({})).await,
        json!({ "success": true })
    );
    assert_eq!(watcher.ephemeral("activity").await["active"], false);
    assert_eq!(account.get("/v2/sessions/active").await["sessions"], json!([]));
}

#[tokio::test]
async fn a_broken_connection_is_noticed_and_a_newer_one_counts() {
    let rig = Rig::with(quick).await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let alive = json!({ "sid": session, "time": 1 });
    let mut old = account.session_socket(&session).await;
    old.emit("session-alive", alive.clone()).await;
    old.drain().await;
    let mut new = account.session_socket(&session).await;
    new.emit("session-alive", alive).await;
    new.drain().await;
    let mut watcher = account.watcher().await;
    drop(old);
    let deadline = std::time::Instant::now() + SOON;
    while rig.get("/health").await.1["sockets"] != 2 {
        assert!(std::time::Instant::now() < deadline);
    }
    assert!(watcher.drain().await.is_empty(), "the late goodbye of the old one changes nothing");
    drop(new);
    let told = watcher.ephemeral("activity").await;
    assert_eq!(told["active"], false);
    until_session(&account, false).await;
}

#[tokio::test]
async fn silence_is_not_presence() {
    let rig = Rig::with(|config| config.presence.silence = Duration::from_millis(200)).await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut watcher = account.watcher().await;
    let mut own = account.session_socket(&session).await;
    own.emit("session-alive", json!({ "sid": session, "time": 1 })).await;
    let told = |event: &super::rig::Event| event.payload["active"] == Value::Bool(false);
    watcher.until(told).await;
    assert!(own.drain().await.is_empty(), "it is still connected, and silent");
}

#[tokio::test]
async fn a_machine_is_there_while_its_socket_is() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    account.machine("m").await;
    let mut watcher = account.watcher().await;
    let mut machine = account.machine_socket("m").await;
    machine.emit("machine-alive", json!({ "machineId": "m", "time": 1 })).await;
    let told = watcher.ephemeral("machine-activity").await;
    assert_eq!((&told["id"], &told["active"]), (&json!("m"), &json!(true)));
    assert_eq!(account.get("/v1/machines/m").await["machine"]["active"], true);
    machine.leave().await;
    let goodbye = watcher.until(|event| event.payload["active"] == false).await.payload;
    assert_eq!((&goodbye["type"], &goodbye["id"]), (&json!("machine-activity"), &json!("m")));
    assert_eq!(account.get("/v1/machines/m").await["machine"]["active"], false);
}

#[tokio::test]
async fn a_half_open_connection_is_noticed() {
    let rig = Rig::with(|config| {
        quick(config);
        config.presence.ping_interval = Duration::from_millis(100);
        config.presence.ping_timeout = Duration::from_millis(200);
    })
    .await;
    let account = rig.account(1).await;
    account.machine("m").await;
    // It is not read, so no ping is answered.
    let _half_open = account.machine_socket("m").await;
    let mut watcher = account.watcher().await;
    watcher
        .until(|event| event.payload["type"] == "machine-activity" && event.payload["active"] == false)
        .await;
}
