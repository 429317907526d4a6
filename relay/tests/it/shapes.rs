//! Everything this relay says is what `delight-proto` reads: the daemon and the sdk take their shapes from there.

use delight_proto::sync::ephemeral::Ephemeral;
use delight_proto::sync::http::{
    Challenge, Done, Failure, LoggedIn, MachineCreated, MachineList, MessagePage, PairingState,
    PairingStatus, Posted, PushOutcome, SessionCreated, SessionList,
};
use delight_proto::sync::read;
use delight_proto::sync::socket::{Kept, RpcAck, ServerEvent, VersionedAck};
use delight_proto::sync::update::UpdateBody;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::rig::{Event, Rig, login};

fn reads<T: DeserializeOwned>(value: &Value) -> T {
    read::value("an answer of the relay", value).unwrap_or_else(|why| panic!("{why:?}: {value}"))
}

fn known(events: Vec<Event>) -> Vec<String> {
    let mut kinds = Vec::new();
    for event in events {
        let read = ServerEvent::read(&event.name, std::slice::from_ref(&event.payload))
            .unwrap_or_else(|why| panic!("{why:?}: {event:?}"));
        kinds.push(match &read {
            ServerEvent::Update(update) => {
                // Kinds for phones only are unknown to the daemon, and are to be.
                let phones = ["update-account", "kv-batch-update"];
                let unknown = matches!(&update.body, UpdateBody::Unknown { kind, .. } if !phones.contains(&kind.as_str()));
                assert!(!unknown, "{event:?}");
                update.body.kind().to_owned()
            }
            ServerEvent::Ephemeral(body) => {
                assert!(!matches!(body, Ephemeral::Unknown { .. }), "{event:?}");
                body.kind().to_owned()
            }
            other => {
                assert!(!matches!(other, ServerEvent::Unknown { .. }), "{event:?}");
                other.name().to_owned()
            }
        });
    }
    kinds
}

#[tokio::test]
async fn every_answer_over_http() {
    let rig = Rig::start().await;
    let key = "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
    reads::<Challenge>(&rig.post("/v1/auth/challenge", json!({ "publicKey": key })).await.1);
    reads::<LoggedIn>(&rig.post("/v1/auth", login(7, "a challenge to sign")).await.1);
    reads::<Failure>(&rig.post("/v1/auth", login(7, "a challenge to sign")).await.1);
    let account = rig.account(1).await;
    let path = format!("/v1/auth/request/status?publicKey={}", key.replace('=', "%3D"));
    for round in 0..3 {
        reads::<PairingStatus>(&rig.get(&path).await.1);
        if round < 2 {
            reads::<PairingState>(&rig.post("/v1/auth/request", json!({ "publicKey": key })).await.1);
        }
        if round == 0 {
            let answer = json!({ "publicKey": key, "response": "c2VhbGVk" });
            reads::<Done>(&account.post("/v1/auth/response", answer).await);
        }
    }
    let new = json!({ "tag": "t", "metadata": "bWV0YQ==", "dataEncryptionKey": "a2V5" });
    reads::<SessionCreated>(&account.post("/v1/sessions", new).await);
    let session = account.session("t").await;
    for path in ["/v1/sessions", "/v2/sessions", "/v2/sessions/active"] {
        reads::<SessionList>(&account.get(path).await);
    }
    reads::<MachineCreated>(
        &account.post("/v1/machines", json!({ "id": "m", "metadata": "bWV0YQ==" })).await,
    );
    reads::<MachineCreated>(&account.get("/v1/machines/m").await);
    reads::<MachineList>(&account.get("/v1/machines").await);
    let path = format!("/v3/sessions/{session}/messages");
    let batch = json!({ "messages": [{ "localId": "a", "content": "Yw==" }] });
    reads::<Posted>(&account.post(&path, batch).await);
    reads::<MessagePage>(&account.get(&path).await);
    reads::<MessagePage>(&account.get(&format!("/v1/sessions/{session}/messages")).await);
    let news = json!({ "kind": "done", "title": "t", "body": "b" });
    reads::<PushOutcome>(&account.post(&format!("/v1/sessions/{session}/push-event"), news).await);
    reads::<Done>(&account.post(&format!("/v1/sessions/{session}/archive"), json!({})).await);
    let gone = account.call(Method::DELETE, &format!("/v1/sessions/{session}"), None).await;
    reads::<Done>(&gone.1);
    reads::<Failure>(&account.call(Method::GET, &path, None).await.1);
}

#[tokio::test]
async fn every_event_and_acknowledgement() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut watcher = account.watcher().await;
    let session = account.session("t").await;
    account.machine("m").await;
    let mut machine = account.machine_socket("m").await;
    machine.emit("rpc-register", json!({ "method": "m:x" })).await;
    machine.emit("rpc-register", json!({ "method": "" })).await;
    let state = json!({ "machineId": "m", "daemonState": "c3Q=", "expectedVersion": 0 });
    for _ in 0..2 {
        let ack = machine.ask("machine-update-state", state.clone()).await;
        VersionedAck::read(Kept::DaemonState, &ack).unwrap();
    }
    let mut own = account.session_socket(&session).await;
    own.emit("session-alive", json!({ "sid": session, "time": 1, "thinking": true })).await;
    for (kept, event, field) in
        [(Kept::Metadata, "update-metadata", "metadata"), (Kept::AgentState, "update-state", "agentState")]
    {
        for sid in [session.as_str(), session.as_str(), "nowhere"] {
            let ack = own.ask(event, json!({ "sid": sid, field: "eA==", "expectedVersion": 0 })).await;
            VersionedAck::read(kept, &ack).unwrap();
        }
    }
    let usage =
        json!({ "key": "k", "sessionId": session, "tokens": { "total": 1 }, "cost": { "total": 0.5 } });
    own.ask("usage-report", usage).await;
    account.send(&session, &["a"]).await;
    let news = json!({ "kind": "permission", "title": "t", "body": "b" });
    account.post(&format!("/v1/sessions/{session}/push-event"), news).await;
    let call = watcher.begin("rpc-call", Some(json!({ "method": "m:x", "params": "cA==" }))).await;
    let asked = machine.until(|event| event.name == "rpc-request").await;
    machine.answer(&asked, json!("YQ==")).await;
    reads::<RpcAck>(&watcher.finish(call).await);
    reads::<RpcAck>(&watcher.ask("rpc-call", json!({ "method": "y:x", "params": "cA==" })).await);
    machine.emit("rpc-unregister", json!({ "method": "m:x" })).await;
    let mut heard = known(vec![asked]);
    heard.extend(known(machine.drain().await));
    heard.extend(known(own.drain().await));
    machine.leave().await;
    account.call(Method::DELETE, "/v1/machines/m", None).await;
    account.call(Method::DELETE, &format!("/v1/sessions/{session}"), None).await;
    heard.extend(known(watcher.drain().await));
    heard.sort();
    heard.dedup();
    for kind in [
        "activity",
        "delete-machine",
        "delete-session",
        "machine-activity",
        "new-machine",
        "new-message",
        "new-session",
        "rpc-request",
        "rpc-unregistered",
        "session-event",
        "update-machine",
        "update-session",
        "usage",
    ] {
        assert!(heard.iter().any(|one| one == kind), "{kind} was not heard: {heard:?}");
    }
}
