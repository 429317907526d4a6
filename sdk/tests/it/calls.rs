//! Calls to sessions: control, permissions, files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use delight_proto::sync::bounded::{Hidden, Id, Path, Text};
use delight_proto::sync::rpc::{
    CommandOutcome, DirectoryListing, FileContent, FileRequest, PathOnly, PermissionDecision, RunBash,
};
use delight_sdk::{Control, Driver, Kind, Phone, PhoneEvent, Presence, Session, Words};
use serde_json::{Value, json};

use crate::desk::{Answers, Desk, DeskSession, now_ms};
use crate::rig::{Rig, account, hear, must};

const METHODS: &[&str] =
    &["abort", "switch", "permission", "killSession", "bash", "readFile", "listDirectory"];

fn agent(log: Arc<Mutex<Vec<Value>>>) -> Answers {
    Arc::new(move |address, params: Value| {
        log.lock().unwrap().push(json!({ "method": address.method.as_str(), "params": params }));
        match address.method.as_str() {
            "abort" => Value::Null,
            "switch" => json!(true),
            "permission" if params["id"] == "known" => Value::Null,
            "permission" => json!({ "error": "unknown-request" }),
            "killSession" => json!({ "success": true, "message": "Killed" }),
            "bash" => json!({ "success": false, "exitCode": 3, "stdout": "out", "stderr": "err" }),
            "readFile" if params["path"] == "a" => json!({ "success": true, "content": "aGk=" }),
            "listDirectory" => json!({ "success": true, "entries": [{ "name": "a", "type": "file" }] }),
            _ => json!({ "success": false, "error": "Access denied" }),
        }
    })
}

fn decision(id: &str) -> PermissionDecision {
    serde_json::from_value(json!({ "id": id, "approved": true })).unwrap()
}

/// Waits until a session looks like this, by what the phone is told.
async fn seen(phone: &Phone, id: &str, what: &str, fits: impl Fn(&Session) -> bool) -> Session {
    let mut events = phone.subscribe();
    let now = must("the session", phone.session(id)).await.unwrap();
    if fits(&now) {
        return now;
    }
    hear(what, &mut events, |event| match event {
        PhoneEvent::Session(session) if session.id.as_str() == id && fits(&session) => Some(*session),
        _ => None,
    })
    .await
}

async fn live(desk: &Desk, phone: &Phone, session: &DeskSession) {
    desk.emit("session-alive", &json!({ "sid": session.id, "time": now_ms(), "thinking": false }));
    seen(phone, &session.id, "the session is alive", |session| session.presence == Presence::Online).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_driven_decided_about_and_ended() {
    let rig = Rig::start().await;
    let account = account();
    let log = Arc::new(Mutex::new(Vec::new()));
    let desk = Desk::start(&rig.base, &account, &[], agent(Arc::clone(&log))).await;
    let session = desk.session(METHODS).await;
    let phone = rig.phone(&account).await;
    live(&desk, &phone, &session).await;
    let id = session.id.as_str();

    must("an abort", phone.abort(id)).await.unwrap();
    must("a decision", phone.decide(id, decision("known"))).await.unwrap();
    let error = must("a decision", phone.decide(id, decision("nope"))).await.unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (Kind::MachineRefused, "unknown-request"));
    assert_eq!(log.lock().unwrap()[1]["params"], json!({ "id": "known", "approved": true }));

    let run = RunBash { command: Hidden::new(Text::new("false").unwrap()), cwd: None, timeout: None };
    let outcome: CommandOutcome =
        must("a command", phone.session_files(id, FileRequest::Bash(run))).await.unwrap();
    assert_eq!((outcome.success, outcome.exit_code), (false, Some(3)), "a command's failure is its answer");
    let path = |path: &str| PathOnly { path: Path::new(path).unwrap() };
    let file: FileContent =
        must("a file", phone.session_files(id, FileRequest::ReadFile(path("a")))).await.unwrap();
    assert_eq!(file.content.expose().as_str(), "aGk=");
    let list: DirectoryListing =
        must("a list", phone.session_files(id, FileRequest::ListDirectory(path(".")))).await.unwrap();
    assert_eq!(list.entries.len(), 1);
    let error = must("a file", phone.session_files::<FileContent>(id, FileRequest::ReadFile(path("../x"))))
        .await
        .unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (Kind::MachineRefused, "Access denied"));
    assert_eq!(must("the end", phone.kill(id)).await.unwrap(), "Killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_is_what_the_session_says_and_decides_who_may_send() {
    let rig = Rig::start().await;
    let account = account();
    let (tell, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    // A hand-over that takes until the test says so.
    let answers: Answers = Arc::new(move |_, _| {
        told.lock().unwrap().recv().unwrap();
        json!(true)
    });
    let desk = Desk::start(&rig.base, &account, &[], answers).await;
    let session = desk.session(&["switch"]).await;
    let phone = rig.phone(&account).await;
    live(&desk, &phone, &session).await;
    let id = session.id.as_str();

    let state = json!({ "controlledByUser": true, "requests": {
        "ask-1": { "tool": "Bash", "arguments": { "command": "ls" }, "createdAt": 1 }
    } });
    desk.agent_state(&session, &state).await;
    let local = seen(&phone, id, "the terminal drives", |session| session.control == Control::Local).await;
    assert!(local.can_take_control && !local.can_send);
    assert_eq!(local.pending().map(|(id, _)| id.to_string()).collect::<Vec<_>>(), ["ask-1"]);
    let error = must("sending", phone.send(id, Words::new("x"))).await.unwrap_err();
    assert_eq!(error.kind, Kind::WrongState, "{error}");
    assert!(error.fix.contains("take control"));

    let switching = phone.switch(id, Driver::Remote);
    seen(&phone, id, "it is handed over", |session| session.control == Control::Switching(Driver::Remote))
        .await;
    let error = must("sending", phone.send(id, Words::new("x"))).await.unwrap_err();
    assert_eq!(error.kind, Kind::WrongState);
    tell.send(()).unwrap();
    assert!(must("the hand-over", switching).await.unwrap());
    let remote = seen(&phone, id, "the phone drives", |session| session.control == Control::Remote).await;
    assert!(remote.can_send);
    must("sending", phone.send(id, Words::new("x"))).await.unwrap();

    let done = json!({ "controlledByUser": false, "requests": {}, "completedRequests": {
        "ask-1": { "tool": "Bash", "status": "approved", "completedAt": 2 }
    } });
    desk.agent_state(&session, &done).await;
    let decided = seen(&phone, id, "it is decided", |session| session.decided().count() == 1).await;
    assert_eq!(decided.pending().count(), 0);
    desk.emit("session-end", &json!({ "sid": id, "time": now_ms() }));
    let over = seen(&phone, id, "it is over", |session| session.control == Control::Offline).await;
    assert!(!over.can_send && !over.can_take_control);
    assert_eq!(over.presence, Presence::Offline);
}

/// A server, or a machine it plays, that answers with something sealed by the right key for another call.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_another_call_is_refused() {
    let rig = Rig::start().await;
    let account = account();
    let desk = Desk::start(&rig.base, &account, &[], agent(Arc::default())).await;
    let session = desk.session(&[]).await;
    let phone = rig.phone(&account).await;
    let replay = Arc::new(AtomicBool::new(false));
    let kept = Arc::new(Mutex::new(None::<String>));
    // A second provider of the account that answers with what it once saw.
    let token = desk.member.token.clone();
    let auth = json!({ "token": token, "clientType": "session-scoped", "sessionId": session.id });
    let server = delight_transport::server::Server::new(&rig.base, None, |_| None).unwrap();
    let options = delight_transport::socketio::Options::new(
        server,
        delight_transport::secret::Auth::new(&auth).unwrap(),
    );
    let (socket, mut events) = delight_transport::socketio::connect(options).await.unwrap();
    let method = json!({ "method": format!("{}:abort", session.id) });
    socket.emit("rpc-register", &delight_transport::socketio::Args::one(&method).unwrap()).unwrap();
    let (key, again, memory) = (Arc::clone(&session.key), Arc::clone(&replay), Arc::clone(&kept));
    let serving = tokio::spawn(async move {
        while let Ok(event) = events.next().await {
            let Some(ack) = event.ack else { continue };
            let call: Value = event.payload.first().unwrap();
            let opened = key.open_base64(call["params"].as_str().unwrap()).unwrap();
            let asked: Value = serde_json::from_slice(opened.json()).unwrap();
            let honest = json!({ "rpcBinding": 1, "nonce": asked["nonce"], "result": null });
            let sealed = match memory.lock().unwrap().clone() {
                Some(old) if again.load(Ordering::Relaxed) => old,
                _ => crate::desk::seal(&key, &honest),
            };
            *memory.lock().unwrap() = Some(sealed.clone());
            ack.send(&delight_transport::socketio::Args::one(&sealed).unwrap()).await.unwrap();
        }
    });
    crate::rig::until("the method is offered", || async { phone.abort(&session.id).await.ok() }).await;
    replay.store(true, Ordering::Relaxed);
    let error = must("an abort", phone.abort(&session.id)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreadable, "{error}");
    assert!(error.perhaps_done);
    let id = Id::new(session.id.as_str()).unwrap();
    assert_eq!(phone.session(&id).await.unwrap().id, id, "one bad answer ends nothing else");
    drop(socket);
    serving.abort();
}
