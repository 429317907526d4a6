//! `delight-relay` as a program: started, killed, started again, and behind its own TLS.

use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::rig::{self, SOON, login, request};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_delight-relay"));
    command.env_clear().kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts it and waits until it says where it listens.
async fn start(directory: &std::path::Path, more: &[&str]) -> (Child, String) {
    let mut command = program();
    command
        .args(["--listen", "127.0.0.1:0", "--log", "trace", "--data-dir"])
        .arg(directory.join("data"))
        .args(more);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(SOON, lines.next_line()).await.unwrap().unwrap().expect("it says where it listens");
    (child, line.strip_prefix("listening on ").unwrap().to_owned())
}

async fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
}

#[tokio::test]
async fn killed_at_any_moment_it_has_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let http = rig::http_client();
    let (mut child, address) = start(directory.path(), &[]).await;
    let mut base = format!("http://{address}");
    let (_, body) =
        request(&http, &base, None, reqwest::Method::POST, "/v1/auth", Some(login(1, "a first challenge")))
            .await;
    let token = body["token"].as_str().unwrap().to_owned();
    let new = json!({ "tag": "t", "metadata": "x" });
    let (_, body) =
        request(&http, &base, Some(&token), reqwest::Method::POST, "/v1/sessions", Some(new)).await;
    let path = format!("/v3/sessions/{}/messages", body["session"]["id"].as_str().unwrap());
    let mut acknowledged = 0_i64;
    for round in 0..5 {
        let (progress, mut progressed) = tokio::sync::watch::channel(acknowledged);
        let enough = acknowledged + 7 + 5 * round;
        let sending = async {
            let mut sent = acknowledged;
            loop {
                let local_id = sent.to_string();
                let body = json!({ "messages": [{ "content": "x", "localId": local_id }] });
                let Ok(answer) =
                    http.post(format!("{base}{path}")).bearer_auth(&token).json(&body).send().await
                else {
                    return sent;
                };
                if answer.status() != StatusCode::OK {
                    return sent;
                }
                sent += 1;
                progress.send_replace(sent);
            }
        };
        // In the middle of the stream of writes.
        let killing = async {
            timeout(SOON, progressed.wait_for(|sent| *sent >= enough)).await.unwrap().unwrap();
            child.kill().await.unwrap();
        };
        let (sent, ()) = tokio::join!(sending, killing);
        acknowledged = sent;
        let (next, address) = start(directory.path(), &[]).await;
        child = next;
        base = format!("http://{address}");
        let mut seqs = Vec::new();
        loop {
            let page = format!("{path}?limit=500&after_seq={}", seqs.len());
            let (status, body) = request(&http, &base, Some(&token), reqwest::Method::GET, &page, None).await;
            assert_eq!(status, StatusCode::OK);
            seqs.extend(body["messages"].as_array().unwrap().iter().map(|one| one["seq"].as_i64().unwrap()));
            if body["hasMore"] == false {
                break;
            }
        }
        let stored = i64::try_from(seqs.len()).unwrap();
        assert_eq!(seqs, (1..=stored).collect::<Vec<_>>(), "no gap");
        // One more may be stored than was acknowledged: its answer was lost. Sent again it is not stored again.
        assert!(
            stored == acknowledged || stored == acknowledged + 1,
            "{stored} stored, {acknowledged} acknowledged"
        );
    }
    assert!(acknowledged > 0);
    signal(&child, "-TERM").await;
    assert!(timeout(SOON, child.wait()).await.unwrap().unwrap().success());
}

/// [happy 5.19: SIGTERM is ignored, and the log holds what it says it leaves out]
#[tokio::test]
async fn its_log_has_no_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let http = rig::http_client();
    let (mut child, address) = start(directory.path(), &[]).await;
    let mut log = child.stderr.take().unwrap();
    let reading = tokio::spawn(async move {
        let mut text = String::new();
        log.read_to_string(&mut text).await.unwrap();
        text
    });
    let base = format!("http://{address}");
    let (_, body) =
        request(&http, &base, None, reqwest::Method::POST, "/v1/auth", Some(login(1, "a first challenge")))
            .await;
    let token = body["token"].as_str().unwrap().to_owned();
    let post = |path: String, body| {
        request(
            &http,
            &base,
            Some(&token),
            reqwest::Method::POST,
            Box::leak(path.into_boxed_str()),
            Some(body),
        )
    };
    let (_, body) =
        post("/v1/sessions".into(), json!({ "tag": "canary-tag", "metadata": "canary-metadata" })).await;
    let id = body["session"]["id"].as_str().unwrap().to_owned();
    post(
        format!("/v3/sessions/{id}/messages"),
        json!({ "messages": [{ "content": "canary-content", "localId": "l" }] }),
    )
    .await;
    post(
        format!("/v1/sessions/{id}/push-event"),
        json!({ "kind": "done", "title": "canary-title", "body": "canary-body" }),
    )
    .await;
    post("/v1/sessions".into(), json!({ "tag": { "canary": "canary-malformed" } })).await;
    request(
        &http,
        &base,
        Some("canary-token"),
        reqwest::Method::GET,
        "/v1/sessions?canary=canary-query",
        None,
    )
    .await;
    let mut socket = rig::Socket::connect(&base, &json!({ "token": token })).await.unwrap();
    socket.ask("message", json!({ "sid": id, "message": "canary-socket" })).await;
    socket.ask("rpc-call", json!({ "method": "canary-method:x", "params": "canary-params" })).await;
    assert!(rig::Socket::connect(&base, &json!({ "token": "canary-login" })).await.is_err());
    signal(&child, "-TERM").await;
    socket.ended().await;
    assert!(timeout(SOON, child.wait()).await.unwrap().unwrap().success());
    let log = reading.await.unwrap();
    assert!(log.contains("the relay has ended"), "{log}");
    assert!(!log.contains("canary") && !log.contains(&token), "{log}");
    let token_parts = token.split('.').nth(2).unwrap();
    assert!(!log.contains(token_parts));
}

#[tokio::test]
async fn it_speaks_tls() {
    let directory = tempfile::tempdir().unwrap();
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let more = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let (child, address) = start(directory.path(), &more).await;
    drop(rig::http_client());
    let http = reqwest::Client::builder()
        .no_proxy()
        .add_root_certificate(reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap())
        .build()
        .unwrap();
    let base = format!("https://{address}");
    let (status, _) = request(&http, &base, None, reqwest::Method::GET, "/health", None).await;
    assert_eq!(status, StatusCode::OK);
    let plain = http.get(format!("http://{address}/health")).send().await;
    assert!(plain.is_err(), "no plain HTTP beside it");
    drop(child);
}

#[tokio::test]
async fn it_says_what_is_wrong_and_how_it_ended() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("relay.toml");
    std::fs::write(&file, "[limits]\nconections = 1\n").unwrap();
    let run = |arguments: Vec<String>| async move {
        let output = timeout(SOON, program().args(arguments).output()).await.unwrap().unwrap();
        let text = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let path = file.to_str().unwrap().to_owned();
    let (status, text) = run(vec!["--config".into(), path.clone()]).await;
    assert_eq!(status, Some(1));
    assert!(text.contains("conections"), "{text}");
    std::fs::write(&file, "token_lifetime = 86400\n").unwrap();
    let (status, text) = run(vec!["--config".into(), path.clone(), "--check".into()]).await;
    assert_eq!(status, Some(0), "{text}");
    let absent = directory.path().join("absent.pem").to_str().unwrap().to_owned();
    let (status, text) =
        run(vec!["--check".into(), "--tls-cert".into(), absent.clone(), "--tls-key".into(), absent]).await;
    assert_eq!(status, Some(1));
    assert!(text.contains("absent.pem"), "{text}");
    let (status, text) = run(vec!["--tls-cert".into(), "x".into()]).await;
    assert_eq!(status, Some(2), "{text}");
    let (status, text) = run(vec!["--help".into()]).await;
    assert_eq!(status, Some(0));
    for flag in [
        "--config",
        "--listen",
        "--data-dir",
        "--tls-cert",
        "--tls-key",
        "--trusted-proxy",
        "--check",
        "--log",
    ] {
        assert!(text.contains(flag), "{flag}");
    }
    let (_child, _) = start(directory.path(), &[]).await;
    let data = directory.path().join("data").to_str().unwrap().to_owned();
    let (status, text) = run(vec!["--listen".into(), "127.0.0.1:0".into(), "--data-dir".into(), data]).await;
    assert_eq!(status, Some(6), "{text}");
    assert!(text.contains("another relay"), "{text}");
}
