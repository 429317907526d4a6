//! Bounds: every one is reached on purpose, and the relay goes on.

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

use super::rig::{Rig, SOON, Socket};

#[tokio::test]
async fn what_is_too_large_is_refused_and_stores_nothing() {
    let rig = Rig::with(|config| {
        config.limits.value = 2_000;
        config.limits.body = 8_000;
    })
    .await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let big = "x".repeat(2_001);
    let path = format!("/v3/sessions/{session}/messages");
    for (path, body) in [
        (
            path.as_str(),
            json!({ "messages": [{ "content": "ok", "localId": "a" }, { "content": big, "localId": "b" }] }),
        ),
        ("/v1/sessions", json!({ "tag": "u", "metadata": big })),
        ("/v1/machines", json!({ "id": "m", "metadata": big })),
        ("/v1/account/settings", json!({ "settings": big, "expectedVersion": 0 })),
        ("/v1/kv", json!({ "mutations": [{ "key": "k", "value": big, "version": -1 }] })),
        ("/v1/sessions", json!({ "tag": "u", "metadata": "x".repeat(9_000) })),
    ] {
        let (status, answer) = account.call(Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains("too large"), "{answer}");
    }
    let too_many: Vec<Value> =
        (0..101).map(|id| json!({ "content": "x", "localId": id.to_string() })).collect();
    for (path, body) in [
        (path.as_str(), json!({ "messages": too_many })),
        (path.as_str(), json!({ "messages": [] })),
        (path.as_str(), json!({ "messages": [{ "content": "x", "localId": "" }] })),
        ("/v1/sessions", json!({ "tag": "", "metadata": "x" })),
        ("/v1/sessions", json!({ "tag": "t".repeat(600), "metadata": "x" })),
        ("/v1/machines", json!({ "id": "", "metadata": "x" })),
        ("/v1/machines", json!([])),
    ] {
        assert_eq!(
            account.call(Method::POST, path, Some(body.clone())).await.0,
            StatusCode::BAD_REQUEST,
            "{body}"
        );
    }
    let mut socket = account.watcher().await;
    let answer = socket.ask("message", json!({ "sid": session, "message": big })).await;
    assert_eq!(answer, json!({ "ok": false, "error": "the message is too large" }));
    let answer =
        socket.ask("update-state", json!({ "sid": session, "agentState": big, "expectedVersion": 0 })).await;
    assert_eq!(answer["result"], "error");
    assert_eq!(account.get(&path).await["messages"], json!([]));
    assert_eq!(account.get("/v1/sessions").await["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_too_large_to_hold_is_refused_and_a_smaller_one_is_not() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let value = "x".repeat(890_000);
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    for key in &keys {
        let change = json!({ "key": key, "value": value, "version": -1 });
        account.post("/v1/kv", json!({ "mutations": [change] })).await;
    }
    for answer in [
        account.call(Method::GET, "/v1/kv", None).await,
        account.call(Method::POST, "/v1/kv/bulk", Some(json!({ "keys": keys }))).await,
    ] {
        assert_eq!(answer.0, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(answer.1["error"].as_str().unwrap().contains("ask for fewer"), "{}", answer.1);
    }
    assert_eq!(account.get("/v1/kv?limit=10").await["items"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn an_account_has_no_more_than_it_may() {
    let rig = Rig::with(|config| {
        config.limits.sessions = 2;
        config.limits.machines = 1;
        config.limits.accounts = 2;
        config.limits.sockets_per_account = 2;
    })
    .await;
    let account = rig.account(1).await;
    account.session("a").await;
    account.session("b").await;
    let third =
        account.call(Method::POST, "/v1/sessions", Some(json!({ "tag": "c", "metadata": "x" }))).await;
    assert_eq!(third.0, StatusCode::INSUFFICIENT_STORAGE);
    account.session("a").await;
    account.machine("m").await;
    let second =
        account.call(Method::POST, "/v1/machines", Some(json!({ "id": "n", "metadata": "x" }))).await;
    assert_eq!(second.0, StatusCode::INSUFFICIENT_STORAGE);
    rig.account(2).await;
    let third = rig.post("/v1/auth", super::rig::login(3, "one account too many")).await;
    assert_eq!(third.0, StatusCode::FORBIDDEN);
    let _one = account.watcher().await;
    let two = account.watcher().await;
    let auth = json!({ "token": account.token });
    let refusal = Socket::connect(&rig.base, &auth).await.err().unwrap();
    assert!(refusal.contains("Too many connections"), "{refusal}");
    two.leave().await;
    let deadline = std::time::Instant::now() + SOON;
    while Socket::connect(&rig.base, &auth).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "a place should be free again");
    }
}

#[tokio::test]
async fn too_many_requests_are_told_so() {
    let rig = Rig::with(|config| {
        config.limits.anonymous_per_second = 2;
        config.limits.account_per_second = 3;
    })
    .await;
    let account = rig.account(1).await;
    let mut refused = 0;
    for _ in 0..40 {
        let (status, body) = account.call(Method::GET, "/v1/account/profile", None).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert!(body["error"].is_string());
            refused += 1;
        }
    }
    assert!(refused > 0);
    let mut refused = 0;
    for _ in 0..30 {
        let asking = json!({ "publicKey": "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=" });
        refused += u32::from(rig.post("/v1/auth/challenge", asking).await.0 == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_fast_socket_is_slowed_down_and_loses_nothing() {
    let rig = Rig::with(|config| config.limits.events_per_second = 20).await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut socket = account.watcher().await;
    let begun = std::time::Instant::now();
    for number in 0..240 {
        socket.emit("message", json!({ "sid": session, "message": format!("{number}") })).await;
    }
    let last = socket.ask("message", json!({ "sid": session, "message": "last" })).await;
    assert_eq!(last["message"]["seq"], 241);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_packet_too_large_or_not_of_this_wire_ends_the_connection() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    for frame in ["4", "42", "42{}", "42[]", "42[7]", "451-[\"x\"]", "40{}", "x", "43[1]", "42/admin,[\"x\"]"]
    {
        let mut socket = account.watcher().await;
        socket.raw(frame).await;
        socket.ended().await;
    }
    let mut socket = account.watcher().await;
    socket.raw(&format!("42[\"x\",\"{}\"]", "x".repeat(1_000_000))).await;
    socket.ended().await;
    let session = account.session("t").await;
    let mut socket = account.watcher().await;
    let message = "x".repeat(899_000);
    let largest = socket.ask("message", json!({ "sid": session, "message": message })).await;
    assert_eq!(largest["ok"], true, "just below the bound is fine");
}

#[tokio::test]
async fn other_transports_and_versions_are_refused() {
    let rig = Rig::start().await;
    for (query, code) in [("EIO=4&transport=polling", 0), ("EIO=3&transport=websocket", 5), ("", 5)] {
        let (status, body) = rig.get(&format!("/v1/updates/?{query}")).await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{query}");
    }
    let (status, _) = rig.get("/v1/updates/?EIO=4&transport=websocket").await;
    assert!(status.is_client_error(), "no WebSocket");
}

#[tokio::test]
async fn a_socket_that_does_not_read_is_closed_and_harms_nobody() {
    let rig = Rig::with(|config| config.limits.outbox = 2_000_000).await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let url = format!("{}/v1/updates/?EIO=4&transport=websocket", rig.base.replacen("http", "ws", 1));
    let (mut asleep, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let auth = json!({ "token": account.token });
    asleep.send(Message::text(format!("40{auth}"))).await.unwrap();
    let mut watcher = account.watcher().await;
    let content = "x".repeat(500_000);
    // More than the kernel's buffers and the bound together.
    for number in 0..40 {
        let body = json!({ "messages": [{ "content": content, "localId": number.to_string() }] });
        account.post(&format!("/v3/sessions/{session}/messages"), body).await;
        watcher.update("new-message").await;
    }
    let deadline = std::time::Instant::now() + SOON;
    while rig.get("/health").await.1["sockets"] != 1 {
        assert!(std::time::Instant::now() < deadline, "the sleeper should be closed");
    }
    let mut seen = 0;
    while let Some(Ok(_)) = asleep.next().await {
        seen += 1;
    }
    assert!(seen < 40, "it saw {seen} frames and then an end, not a gap");
}

#[tokio::test]
async fn garbage_on_the_port_ends_only_itself() {
    let rig = Rig::start().await;
    let address = rig.relay.as_ref().unwrap().address();
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as any.
        drop(stream.read_to_end(&mut answer).await);
        assert!(!answer.starts_with(b"HTTP/1.1 2"));
    }
    assert_eq!(rig.get("/health").await.0, StatusCode::OK);
}
