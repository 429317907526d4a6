//! Machines: what they are, whether they are there, and starting sessions on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use delight_proto::sync::bounded::{Id, Path};
use delight_proto::sync::rpc::{ResumeRequest, SpawnRequest};
use delight_sdk::{Kind, PhoneEvent, Presence, Spawn};
use delight_transport::http::Method;
use serde_json::{Value, json};

use crate::desk::{Answers, Desk, random, seal, silent};
use crate::rig::{Rig, account, hear, must, until};

/// A machine that starts sessions as a daemon does: missing directories need an approval, and a key means one session.
fn spawner(started: Arc<Mutex<BTreeMap<String, String>>>) -> Answers {
    let asked = Mutex::new(BTreeSet::new());
    Arc::new(move |address, params: Value| match address.method.as_str() {
        "spawn-happy-session" => {
            let key = params["clientRequestId"].as_str().unwrap().to_owned();
            let directory = params["directory"].as_str().unwrap();
            if directory == "/forbidden" {
                return json!({ "type": "error", "errorMessage": "not an allowed root" });
            }
            if directory == "/missing" && params["approvedNewDirectoryCreation"] != true {
                return json!({ "type": "requestToApproveDirectoryCreation", "directory": directory });
            }
            if directory == "/slow" && asked.lock().unwrap().insert(key.clone()) {
                return json!({ "type": "pending", "clientRequestId": key, "retryAfterMs": 1 });
            }
            let mut started = started.lock().unwrap();
            let next = format!("session-{}", started.len());
            let id = started.entry(key).or_insert(next);
            json!({ "type": "success", "sessionId": id })
        }
        "resume-happy-session" => json!({ "type": "success", "sessionId": params["sessionId"] }),
        "stop-session" => json!({ "message": "Session stopped" }),
        "ping" => json!({ "success": true }),
        "list-sessions" => json!({ "sessions": [
            { "id": "a", "kind": "pty", "directory": "/work", "phase": "running", "createdAt": 1 }
        ] }),
        other => json!({ "error": format!("no method {other}") }),
    })
}

const METHODS: &[&str] =
    &["spawn-happy-session", "resume-happy-session", "stop-session", "ping", "list-sessions"];

fn inside(directory: &str) -> SpawnRequest {
    SpawnRequest::in_directory(Path::new(directory).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_started_after_its_directory_was_approved() {
    let rig = Rig::start().await;
    let account = account();
    let started = Arc::new(Mutex::new(BTreeMap::new()));
    let desk = Desk::start(&rig.base, &account, METHODS, spawner(Arc::clone(&started))).await;
    let phone = rig.phone(&account).await;

    let asked = must("the question", phone.spawn(&desk.machine, inside("/missing"))).await.unwrap();
    let Spawn::NeedsApproval { directory, request } = asked else { panic!("{asked:?}") };
    assert_eq!(directory.as_str(), "/missing");
    assert!(started.lock().unwrap().is_empty());
    let key = request.client_request_id.clone().unwrap();
    let first = must("the start", phone.spawn(&desk.machine, (*request).clone())).await.unwrap();
    // The same request again is the same session.
    assert_eq!(must("the same", phone.spawn(&desk.machine, *request)).await.unwrap(), first);
    assert_eq!(started.lock().unwrap().keys().collect::<Vec<_>>(), [key.as_str()]);

    let slow = must("the slow one", phone.spawn(&desk.machine, inside("/slow"))).await.unwrap();
    assert!(matches!(slow, Spawn::Started(_)));
    let error = must("the refusal", phone.spawn(&desk.machine, inside("/forbidden"))).await.unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (Kind::MachineRefused, "not an allowed root"));

    must("a ping", phone.ping(&desk.machine)).await.unwrap();
    let stopped = must("a stop", phone.stop(&desk.machine, "session-0")).await.unwrap();
    assert_eq!(stopped, "Session stopped");
    let listed = must("the list", phone.machine_sessions(&desk.machine)).await.unwrap();
    assert_eq!(listed.sessions[0].directory.as_str(), "/work");
    let resume = ResumeRequest {
        session_id: Id::new("session-0").unwrap(),
        model: None,
        permission_mode: None,
        client_request_id: None,
    };
    let resumed = must("the resume", phone.resume(&desk.machine, resume)).await.unwrap();
    assert_eq!(resumed, Spawn::Started(Id::new("session-0").unwrap()));
    let error = must("an unknown method", phone.stop_daemon(&desk.machine)).await.unwrap_err();
    assert_eq!(error.kind, Kind::MachineAway, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_sessions_are_started_at_once() {
    let rig = Rig::start().await;
    let account = account();
    let started = Arc::new(Mutex::new(BTreeMap::new()));
    let desk = Desk::start(&rig.base, &account, METHODS, spawner(Arc::clone(&started))).await;
    let phone = rig.phone(&account).await;
    must("the machines", phone.machines()).await.unwrap();
    let begun = Instant::now();
    let tickets: Vec<_> = (0..16).map(|_| phone.spawn(&desk.machine, inside("/work"))).collect();
    let mut ids = BTreeSet::new();
    for ticket in tickets {
        let Spawn::Started(id) = must("a spawn", ticket).await.unwrap() else { panic!("no session") };
        ids.insert(id.to_string());
    }
    println!("16 spawns at once, without a daemon's own work: {:?}", begun.elapsed());
    assert_eq!(ids.len(), 16);
    let mut took: Vec<_> = Vec::new();
    for _ in 0..100 {
        let begun = Instant::now();
        must("a ping", phone.ping(&desk.machine)).await.unwrap();
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    println!("a ping, one after the other: median {:?}, worst of 100 {:?}", took[50], took[99]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spawn_survives_a_restart_of_the_server_and_starts_one_session() {
    let mut rig = Rig::start().await;
    let account = account();
    let started = Arc::new(Mutex::new(BTreeMap::new()));
    let desk = Desk::start(&rig.base, &account, METHODS, spawner(Arc::clone(&started))).await;
    let phone = rig.phone(&account).await;
    must("the machines", phone.machines()).await.unwrap();
    rig.stop().await;
    let spawning = phone.spawn(&desk.machine, inside("/work"));
    rig.go_on().await;
    let spawned = must("the spawn", spawning).await.unwrap();
    assert!(matches!(spawned, Spawn::Started(_)), "{spawned:?}");
    assert_eq!(started.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_unknown_before_it_is_offline() {
    let mut rig = Rig::with(|config| {
        config.presence.reconnect = Duration::from_millis(200);
        config.rpc.reconnect = Duration::from_millis(200);
    })
    .await;
    let account = account();
    let desk = Desk::start(&rig.base, &account, &["ping"], spawner(Arc::default())).await;
    let phone = rig.phone(&account).await;
    let id = desk.machine.clone();
    let seen = until("the machine is on line", || async {
        phone.machines().await.unwrap().pop().filter(|machine| machine.presence == Presence::Online)
    })
    .await;
    assert_eq!(seen.id.as_str(), id);
    assert_eq!(seen.metadata.unwrap().host.unwrap().as_str(), "desk");
    assert_eq!(seen.daemon_state.unwrap().pid, Some(7));
    assert_eq!(seen.unreadable, None);

    // The server goes: nobody knows. It comes back: everybody does.
    let mut events = phone.subscribe();
    rig.stop().await;
    let presence = |event| match event {
        PhoneEvent::Machine(machine) => Some(machine.presence),
        _ => None,
    };
    assert_eq!(hear("the machine changes", &mut events, presence).await, Presence::Unknown);
    rig.go_on().await;
    hear("it is on line", &mut events, |event| presence(event).filter(|is| *is == Presence::Online)).await;
    // The machine goes: that is known.
    drop(desk);
    hear("it is gone", &mut events, |event| presence(event).filter(|is| *is == Presence::Offline)).await;
    let error = must("a ping", phone.ping(&id)).await.unwrap_err();
    assert_eq!(error.kind, Kind::MachineAway, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_sealed_with_a_foreign_key_is_listed_as_unreadable() {
    let rig = Rig::start().await;
    let account = account();
    let desk = Desk::start(&rig.base, &account, &[], silent()).await;
    let foreign = delight_crypto::SealingKey::data(&delight_crypto::DataKey::from_bytes(random()));
    let body = json!({ "id": "forged", "metadata": seal(&foreign, &json!({ "host": "canary" })) });
    desk.member.call(Method::POST, "/v1/machines", Some(body)).await;
    let phone = rig.phone(&account).await;
    let machines = must("the machines", phone.machines()).await.unwrap();
    let forged = machines.iter().find(|machine| machine.id.as_str() == "forged").unwrap();
    assert_eq!(forged.metadata, None);
    assert_eq!(forged.unreadable.as_ref().unwrap().kind, Kind::Unreadable);
    let good = machines.iter().find(|machine| machine.id.as_str() == desk.machine).unwrap();
    assert_eq!(good.unreadable, None, "one bad machine does not take the others with it");
}
