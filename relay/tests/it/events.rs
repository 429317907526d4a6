//! What clients say over sockets, and who hears it.

use serde_json::{Value, json};

use super::rig::Rig;

#[tokio::test]
async fn a_message_reaches_everybody_but_its_sender_in_the_order_sent() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut sender = account.watcher().await;
    let mut watcher = account.watcher().await;
    let mut own = account.session_socket(&session).await;
    let other_session = account.session("other").await;
    let mut other = account.session_socket(&other_session).await;
    for number in 0..200 {
        sender.emit("message", json!({ "sid": session, "message": format!("m{number}") })).await;
    }
    for socket in [&mut watcher, &mut own] {
        for number in 0..200_i64 {
            let told = socket.update("new-message").await;
            let message = &told["body"]["message"];
            assert_eq!(message["seq"], number + 1);
            assert_eq!(message["content"]["c"], format!("m{number}"));
            assert_eq!(message["localId"], Value::Null);
        }
    }
    for socket in [&mut sender, &mut other] {
        let heard = socket.drain().await;
        assert!(heard.iter().all(|event| event.payload["body"]["t"] != "new-message"), "{heard:?}");
    }
}

#[tokio::test]
async fn a_message_can_be_acknowledged_and_is_stored_once() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut socket = account.watcher().await;
    let message = json!({ "sid": session, "message": "Yw==", "localId": "one" });
    let first = socket.ask("message", message.clone()).await;
    assert_eq!((&first["ok"], &first["message"]["seq"]), (&json!(true), &json!(1)));
    assert_eq!(socket.ask("message", message).await, first);
    let next = socket.ask("message", json!({ "sid": session, "message": "Yw==", "localId": 7 })).await;
    assert_eq!((&next["message"]["seq"], &next["message"]["localId"]), (&json!(2), &Value::Null));
    let unknown = socket.ask("message", json!({ "sid": "nowhere", "message": "Yw==" })).await;
    assert_eq!(unknown, json!({ "ok": false, "error": "Session not found" }));
    socket.emit("message", json!({ "sid": "nowhere", "message": "Yw==" })).await;
    let told = socket.until(|event| event.name == "event-refused").await.payload;
    assert_eq!((&told["event"], &told["message"]), (&json!("message"), &json!("Session not found")));
}

#[tokio::test]
async fn messages_by_http_reach_their_sender_too() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut own = account.session_socket(&session).await;
    account.send(&session, &["a", "b"]).await;
    account.send(&session, &["b", "c"]).await;
    for id in ["a", "b", "c"] {
        assert_eq!(own.update("new-message").await["body"]["message"]["localId"], id);
    }
}

#[tokio::test]
async fn versions_of_a_session() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut own = account.session_socket(&session).await;
    let mut watcher = account.watcher().await;
    let state = |value: Value, version: i64| json!({ "sid": session, "agentState": value, "expectedVersion": version });
    let done = own.ask("update-state", state(json!("c3Q="), 0)).await;
    assert_eq!(done, json!({ "result": "success", "version": 1, "agentState": "c3Q=" }));
    for socket in [&mut own, &mut watcher] {
        let told = socket.update("update-session").await["body"].clone();
        assert_eq!(
            told,
            json!({ "t": "update-session", "id": session, "agentState": { "value": "c3Q=", "version": 1 } })
        );
    }
    let late = own.ask("update-state", state(json!("bGF0ZQ=="), 0)).await;
    assert_eq!(late, json!({ "result": "version-mismatch", "version": 1, "agentState": "c3Q=" }));
    let none = own.ask("update-state", state(Value::Null, 1)).await;
    assert_eq!(none, json!({ "result": "success", "version": 2, "agentState": null }));
    let metadata = json!({ "sid": session, "metadata": "bQ==", "expectedVersion": 0 });
    assert_eq!(own.ask("update-metadata", metadata.clone()).await["version"], 1);
    assert_eq!(own.ask("update-metadata", metadata).await["result"], "version-mismatch");
    for (event, payload) in [
        ("update-metadata", json!({ "sid": "nowhere", "metadata": "bQ==", "expectedVersion": 0 })),
        ("update-state", json!({ "sid": "nowhere", "agentState": "bQ==", "expectedVersion": 0 })),
        ("update-state", json!({ "sid": session, "expectedVersion": 2 })),
        ("update-metadata", json!({ "sid": session, "metadata": null, "expectedVersion": 1 })),
        ("update-metadata", json!({ "sid": session, "metadata": "bQ==", "expectedVersion": "1" })),
        ("update-metadata", Value::Null),
    ] {
        assert_eq!(own.ask(event, payload.clone()).await["result"], "error", "{event} {payload}");
    }
}

#[tokio::test]
async fn versions_of_a_machine() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    account.machine("m").await;
    account.machine("n").await;
    let mut own = account.machine_socket("m").await;
    let mut other = account.machine_socket("n").await;
    let mut watcher = account.watcher().await;
    let state = |version: i64| json!({ "machineId": "m", "daemonState": "c3Q=", "expectedVersion": version });
    assert_eq!(
        own.ask("machine-update-state", state(0)).await,
        json!({ "result": "success", "version": 1, "daemonState": "c3Q=" })
    );
    assert_eq!(own.ask("machine-update-state", state(0)).await["result"], "version-mismatch");
    let metadata = json!({ "machineId": "m", "metadata": "bQ==", "expectedVersion": 1 });
    assert_eq!(own.ask("machine-update-metadata", metadata).await["version"], 2);
    for socket in [&mut own, &mut watcher] {
        let first = socket.update("update-machine").await["body"].clone();
        assert_eq!(
            first,
            json!({ "t": "update-machine", "machineId": "m", "daemonState": { "value": "c3Q=", "version": 1 } })
        );
        assert_eq!(socket.update("update-machine").await["body"]["metadata"]["version"], 2);
    }
    assert!(other.drain().await.is_empty());
    let unknown = json!({ "machineId": "x", "metadata": "bQ==", "expectedVersion": 1 });
    assert_eq!(
        own.ask("machine-update-metadata", unknown).await,
        json!({ "result": "error", "message": "Machine not found" })
    );
}

#[tokio::test]
async fn an_update_comes_before_the_answer_it_caused_and_their_numbers_have_no_gaps() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut watcher = account.watcher().await;
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let (account, session) = (account.clone(), session.clone());
        tasks.push(tokio::spawn(async move {
            for number in 0..25 {
                account.send(&session, &[&format!("{writer}-{number}")]).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut last = None;
    for number in 1..=200 {
        let told = watcher.update("new-message").await;
        assert_eq!(told["body"]["message"]["seq"], number);
        let seq = told["seq"].as_i64().unwrap();
        assert!(last.is_none_or(|last| seq == last + 1), "{last:?} then {seq}");
        last = Some(seq);
    }
    let mut own = account.session_socket(&session).await;
    let number = own
        .begin("update-state", Some(json!({ "sid": session, "agentState": "x", "expectedVersion": 0 })))
        .await;
    own.finish(number).await;
    assert!(!own.drain().await.is_empty(), "it was there before the answer");
}

#[tokio::test]
async fn usage_and_notes_are_passed_on() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut own = account.session_socket(&session).await;
    let mut watcher = account.watcher().await;
    let report = json!({ "key": "k", "sessionId": session, "tokens": { "total": 3 }, "cost": { "total": 0.5, "input": 0.25 } });
    own.emit("usage-report", report.clone()).await;
    let told = watcher.ephemeral("usage").await;
    assert_eq!((&told["id"], &told["cost"]["input"]), (&json!(session), &json!(0.25)));
    assert_eq!(own.ask("usage-report", report).await, json!({ "success": true }));
    let bad = own.ask("usage-report", json!({ "key": "k", "tokens": {}, "cost": {} })).await;
    assert_eq!(bad["success"], false);
    own.emit("ephemeral", json!({ "type": "permission-request", "id": session })).await;
    assert_eq!(watcher.ephemeral("permission-request").await["id"], session.as_str());
    let unknown = own.ask("something-else", json!({})).await;
    assert_eq!(unknown["ok"], false);
}
