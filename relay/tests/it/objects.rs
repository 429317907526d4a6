//! Sessions, messages, machines, keys, settings: what is kept, and what it looks like.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::rig::Rig;

#[tokio::test]
async fn a_tag_names_one_session() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut watcher = account.watcher().await;
    let first = account
        .post(
            "/v1/sessions",
            json!({ "tag": "t", "metadata": "bWV0YQ==", "agentState": "dropped", "dataEncryptionKey": "a2V5" }),
        )
        .await;
    let session = &first["session"];
    assert_eq!(session["seq"], 0);
    assert_eq!(session["metadataVersion"], 0);
    assert_eq!((&session["agentState"], &session["agentStateVersion"]), (&Value::Null, &json!(0)));
    assert_eq!((&session["active"], &session["lastMessage"]), (&json!(true), &Value::Null));
    assert_eq!(session["dataEncryptionKey"], "a2V5");
    let told = watcher.update("new-session").await;
    assert_eq!((&told["body"]["id"], &told["seq"]), (&session["id"], &json!(1)));
    assert!(told["body"].get("lastMessage").is_none());
    let again = account.post("/v1/sessions", json!({ "tag": "t", "metadata": "b3RoZXI=" })).await;
    assert_eq!(again, first, "the stored row, unchanged");
}

#[tokio::test]
async fn pages_of_sessions_are_complete_and_without_repeats() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(account.session(&format!("t{number}")).await);
    }
    made.sort();
    let mut seen = Vec::new();
    let mut path = "/v2/sessions?limit=3".to_owned();
    loop {
        let page = account.get(&path).await;
        let rows = page["sessions"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/v2/sessions?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first");
    seen.reverse();
    assert_eq!(seen, made);
    assert_eq!(account.get("/v2/sessions/active").await["sessions"].as_array().unwrap().len(), 7);
    assert_eq!(account.get("/v1/sessions").await["sessions"].as_array().unwrap().len(), 7);
    let bad = account.call(Method::GET, "/v2/sessions?cursor=x", None).await;
    assert_eq!(bad, (StatusCode::BAD_REQUEST, json!({ "error": "Invalid cursor format" })));
    let none = account.get("/v2/sessions?changedSince=99999999999999").await;
    assert_eq!(none, json!({ "sessions": [], "nextCursor": null, "hasNext": false }));
}

#[tokio::test]
async fn messages_are_numbered_without_gaps_and_stored_once() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let first = account.send(&session, &["a", "b"]).await;
    let seqs = |answer: &Value| -> Vec<i64> {
        answer["messages"].as_array().unwrap().iter().map(|one| one["seq"].as_i64().unwrap()).collect()
    };
    assert_eq!(seqs(&first), [1, 2]);
    assert!(first["messages"][0].get("content").is_none());
    let second = account.send(&session, &["b", "c", "c", "a"]).await;
    assert_eq!(seqs(&second), [1, 2, 3], "old ones are told, new ones once");
    assert_eq!(second["messages"][0], first["messages"][0]);
    account.send(&session, &["d"]).await;
    let all = account.get(&format!("/v3/sessions/{session}/messages")).await;
    assert_eq!(seqs(&all), [1, 2, 3, 4]);
    assert_eq!(all["messages"][2]["content"], json!({ "t": "encrypted", "c": "c-c" }));

    let page = |query: &str| {
        let path = format!("/v3/sessions/{session}/messages?{query}");
        let account = account.clone();
        async move {
            let page = account.get(&path).await;
            (seqs(&page), page["hasMore"].as_bool().unwrap())
        }
    };
    assert_eq!(page("after_seq=1&limit=2").await, (vec![2, 3], true));
    assert_eq!(page("after_seq=2&limit=2").await, (vec![3, 4], false));
    assert_eq!(page("before_seq=4&limit=2").await, (vec![3, 2], true));
    assert_eq!(page("before_seq=2").await, (vec![1], false));
    let old = account.get(&format!("/v1/sessions/{session}/messages?limit=2")).await;
    assert_eq!(seqs(&old), [4, 3], "newest first");
    let after = account.get(&format!("/v1/sessions/{session}/messages?afterSeq=3")).await;
    assert_eq!(seqs(&after), [4]);
    for query in
        ["after_seq=1&before_seq=3", "limit=0", "limit=501", "after_seq=-1", "before_seq=0", "limit=x"]
    {
        let path = format!("/v3/sessions/{session}/messages?{query}");
        assert_eq!(account.call(Method::GET, &path, None).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn a_deleted_session_is_gone_with_everything() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    account.send(&session, &["a"]).await;
    let mut watcher = account.watcher().await;
    let mut own = account.session_socket(&session).await;
    let path = format!("/v1/sessions/{session}");
    assert_eq!(account.call(Method::DELETE, &path, None).await, (StatusCode::OK, json!({ "success": true })));
    for socket in [&mut watcher, &mut own] {
        assert_eq!(socket.update("delete-session").await["body"]["sid"], session.as_str());
    }
    assert_eq!(account.call(Method::DELETE, &path, None).await.0, StatusCode::NOT_FOUND);
    let messages = account.call(Method::GET, &format!("/v3/sessions/{session}/messages"), None).await;
    assert_eq!(messages, (StatusCode::NOT_FOUND, json!({ "error": "Session not found" })));
    assert_ne!(account.session("t").await, session, "its tag is free again");
}

#[tokio::test]
async fn a_machine_registers_once_and_can_be_forgotten() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut watcher = account.watcher().await;
    let body =
        json!({ "id": "m", "metadata": "bWV0YQ==", "daemonState": "c3RhdGU=", "dataEncryptionKey": "a2V5" });
    let made = account.post("/v1/machines", body).await["machine"].clone();
    assert_eq!((&made["metadataVersion"], &made["daemonStateVersion"]), (&json!(1), &json!(1)));
    assert_eq!(made["active"], false);
    let told = watcher.update("new-machine").await;
    assert_eq!(
        (&told["body"]["machineId"], &told["body"]["dataEncryptionKey"]),
        (&json!("m"), &json!("a2V5"))
    );
    assert!(told["body"].get("id").is_none());
    assert_eq!(watcher.update("update-machine").await["body"]["metadata"]["version"], 1);
    let again = account.post("/v1/machines", json!({ "id": "m", "metadata": "b3RoZXI=" })).await;
    assert_eq!(again["machine"], made, "the stored row, unchanged");
    assert_eq!(account.get("/v1/machines").await, json!([made]));
    assert_eq!(account.get("/v1/machines/m").await["machine"], made);
    assert_eq!(account.call(Method::DELETE, "/v1/machines/m", None).await.0, StatusCode::OK);
    assert_eq!(watcher.update("delete-machine").await["body"]["machineId"], "m");
    assert_eq!(account.call(Method::GET, "/v1/machines/m", None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(account.call(Method::DELETE, "/v1/machines/m", None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn keys_of_a_session_for_a_machine() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    account.machine("m").await;
    let path = format!("/v1/access-keys/{session}/m");
    assert_eq!(account.get(&path).await, json!({ "accessKey": null }));
    let made = account.post(&path, json!({ "data": "ZGF0YQ==" })).await;
    assert_eq!(made["accessKey"]["dataVersion"], 1);
    assert_eq!(account.call(Method::POST, &path, Some(json!({ "data": "x" }))).await.0, StatusCode::CONFLICT);
    let put = |version: i64| {
        account.call(Method::PUT, &path, Some(json!({ "data": "bmV1", "expectedVersion": version })))
    };
    assert_eq!(
        put(0).await.1,
        json!({ "success": false, "error": "version-mismatch", "currentVersion": 1, "currentData": "ZGF0YQ==" })
    );
    assert_eq!(put(1).await.1, json!({ "success": true, "version": 2 }));
    let mut watcher = account.watcher().await;
    let got = watcher.ask("access-key-get", json!({ "sessionId": session, "machineId": "m" })).await;
    assert_eq!((&got["ok"], &got["accessKey"]["data"]), (&json!(true), &json!("bmV1")));
    let other = format!("/v1/access-keys/{session}/other");
    assert_eq!(account.call(Method::GET, &other, None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn key_values_change_together_or_not_at_all() {
    let rig = Rig::with(|config| config.limits.kv_keys = 3).await;
    let account = rig.account(1).await;
    let mut watcher = account.watcher().await;
    let mutate = |changes: Value| account.call(Method::POST, "/v1/kv", Some(json!({ "mutations": changes })));
    let new = |key: &str| json!({ "key": key, "value": "dg==", "version": -1 });
    let (status, body) = mutate(json!([new("a1"), new("a2")])).await;
    assert_eq!((status, &body["results"][1]), (StatusCode::OK, &json!({ "key": "a2", "version": 0 })));
    let told = watcher.update("kv-batch-update").await;
    assert_eq!(told["body"]["changes"][0], json!({ "key": "a1", "value": "dg==", "version": 0 }));

    let (status, body) = mutate(json!([new("b"), new("a1")])).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        body["errors"],
        json!([{ "key": "a1", "error": "version-mismatch", "version": 0, "value": "dg==" }])
    );
    assert_eq!(account.call(Method::GET, "/v1/kv/b", None).await.0, StatusCode::NOT_FOUND, "none was made");
    assert_eq!(mutate(json!([new("b"), new("c")])).await.0, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(account.call(Method::GET, "/v1/kv/b", None).await.0, StatusCode::NOT_FOUND, "none was made");
    assert_eq!(mutate(json!([new("b"), new("b")])).await.0, StatusCode::BAD_REQUEST);

    let gone = json!([{ "key": "a1", "value": null, "version": 0 }]);
    assert_eq!(mutate(gone).await.0, StatusCode::OK);
    assert_eq!(watcher.update("kv-batch-update").await["body"]["changes"][0]["version"], -1);
    assert_eq!(account.call(Method::GET, "/v1/kv/a1", None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(mutate(json!([new("a1")])).await.1["results"][0]["version"], 2, "versions never go back");
    let listed = account.get("/v1/kv?prefix=a&limit=10").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let bulk = account.post("/v1/kv/bulk", json!({ "keys": ["a2", "nothing"] })).await;
    assert_eq!(bulk, json!({ "values": [{ "key": "a2", "value": "dg==", "version": 0 }] }));
}

#[tokio::test]
async fn settings_have_a_version() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let mut watcher = account.watcher().await;
    assert_eq!(account.get("/v1/account/settings").await, json!({ "settings": null, "settingsVersion": 0 }));
    let set = |version: i64| {
        account.post("/v1/account/settings", json!({ "settings": "cw==", "expectedVersion": version }))
    };
    assert_eq!(set(0).await, json!({ "success": true, "version": 1 }));
    assert_eq!(
        watcher.update("update-account").await["body"]["settings"],
        json!({ "value": "cw==", "version": 1 })
    );
    assert_eq!(
        set(0).await,
        json!({ "success": false, "error": "version-mismatch", "currentVersion": 1, "currentSettings": "cw==" })
    );
}

#[tokio::test]
async fn pushes_are_not_pretended() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    let session = account.session("t").await;
    let mut own = account.session_socket(&session).await;
    let path = format!("/v1/sessions/{session}/push-event");
    let news = json!({ "kind": "done", "title": "It's ready!", "body": "proj", "data": { "any": 1 } });
    assert_eq!(account.post(&path, news.clone()).await, json!({ "success": true, "result": "no_tokens" }));
    let told = own.ephemeral("session-event").await;
    assert_eq!(
        (&told["sessionId"], &told["kind"], &told["title"]),
        (&json!(session), &json!("done"), &json!("It's ready!"))
    );
    account.post("/v1/push-tokens", json!({ "token": "ExponentPushToken[x]" })).await;
    assert_eq!(account.get("/v1/push-tokens").await["tokens"][0]["token"], "ExponentPushToken[x]");
    assert_eq!(account.post(&path, news.clone()).await["result"], "failed");
    let mut phone = account.socket(json!({ "clientType": "user-scoped", "appState": "active" })).await;
    let answer = account.post(&path, news.clone()).await;
    assert_eq!((&answer["result"], &answer["reason"]), (&json!("suppressed"), &json!("active-ui-client")));
    phone.emit("app-state", json!({ "state": "background" })).await;
    phone.drain().await;
    assert_eq!(account.post(&path, news).await["result"], "failed");
    let wrong = json!({ "kind": "other", "title": "t", "body": "b" });
    assert_eq!(account.call(Method::POST, &path, Some(wrong)).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_not_offered_is_empty_or_refused() {
    let rig = Rig::start().await;
    let account = rig.account(1).await;
    assert_eq!(account.get("/v1/artifacts").await, json!([]));
    assert_eq!(account.get("/v1/feed").await, json!({ "items": [], "hasMore": false }));
    assert_eq!(account.get("/v1/friends").await, json!({ "friends": [] }));
    assert_eq!(account.get("/v1/connect/tokens").await, json!({ "tokens": [] }));
    let made = account.call(Method::POST, "/v1/artifacts", Some(json!({ "id": "x" }))).await;
    assert_eq!(made.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(account.call(Method::POST, "/v1/voice/conversations", None).await.0, StatusCode::NOT_FOUND);
    let version = rig.post("/v1/version", json!({ "platform": "ios", "version": "1", "app_id": "x" })).await;
    assert_eq!(version.1, json!({ "updateUrl": null }));
    let health = rig.get("/health").await;
    assert_eq!((health.0, &health.1["status"]), (StatusCode::OK, &json!("ok")));
    assert!(rig.get("/").await.1.as_str().unwrap().contains("Happy Server"));
    let preflight = rig
        .http
        .request(Method::OPTIONS, format!("{}/v1/sessions", rig.base))
        .header("origin", "https://app.happy.engineering")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
}
