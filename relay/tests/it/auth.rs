//! Logging in and pairing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use delight_relay::config::Registration;
use ed25519_dalek::{Signer as _, SigningKey};
use reqwest::StatusCode;
use serde_json::json;

use super::rig::{Rig, Socket, login};

#[tokio::test]
async fn the_relays_own_challenge_logs_in_once() {
    let rig = Rig::with(|config| config.client_challenge = false).await;
    let key = SigningKey::from_bytes(&[9; 32]);
    let public_key = STANDARD.encode(key.verifying_key().as_bytes());
    let (_, asked) = rig.post("/v1/auth/challenge", json!({ "publicKey": public_key })).await;
    let challenge = STANDARD.decode(asked["challenge"].as_str().unwrap()).unwrap();
    assert_eq!(challenge.len(), 32);
    let proof = json!({
        "publicKey": public_key, "challengeId": asked["challengeId"],
        "signature": STANDARD.encode(key.sign(&challenge).to_bytes()),
    });
    let (status, body) = rig.post("/v1/auth", proof.clone()).await;
    assert_eq!((status, &body["success"]), (StatusCode::OK, &json!(true)));
    assert_eq!(rig.post("/v1/auth", proof).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(rig.post("/v1/auth", login(9, "chosen by the client")).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_clients_challenge_logs_in_once_and_the_account_stays_the_same() {
    let rig = Rig::start().await;
    let first = rig.account(1).await;
    let replay = rig.post("/v1/auth", login(1, "challenge 1 ********")).await;
    assert_eq!(replay.0, StatusCode::UNAUTHORIZED, "{}", replay.1);
    let (_, body) = rig.post("/v1/auth", login(1, "another challenge")).await;
    let profile = first.get("/v1/account/profile").await;
    let mut second = first.clone();
    second.token = body["token"].as_str().unwrap().to_owned();
    assert_eq!(second.get("/v1/account/profile").await["id"], profile["id"]);
}

#[tokio::test]
async fn what_does_not_prove_itself_is_not_let_in() {
    let rig = Rig::start().await;
    let mut forged = login(1, "a challenge of its own");
    forged["signature"] = login(2, "a challenge of its own")["signature"].clone();
    assert_eq!(rig.post("/v1/auth", forged).await.0, StatusCode::UNAUTHORIZED);
    for (path, body) in [
        ("/v1/auth", json!({})),
        ("/v1/auth", json!({ "publicKey": "x", "challenge": "x", "signature": "x" })),
        ("/v1/auth/request", json!({ "publicKey": "AAAA" })),
        ("/v1/auth/challenge", json!({ "publicKey": "\u{e9}" })),
    ] {
        let (status, body) = rig.post(path, body).await;
        assert!(status.is_client_error() && body["error"].is_string(), "{path}: {status} {body}");
    }
    for path in ["/v1/sessions", "/v1/machines", "/v1/kv", "/v1/account/settings", "/v1/artifacts"] {
        assert_eq!(rig.get(path).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    for auth in [json!({}), json!({ "token": "forged" }), json!({ "token": 7 }), json!([])] {
        let refusal = Socket::connect(&rig.base, &auth).await.err().unwrap();
        assert!(refusal.starts_with("44{\"message\":"), "{refusal}");
    }
    let account = rig.account(1).await;
    for (auth, word) in [
        (json!({ "token": account.token, "clientType": "session-scoped" }), "Session ID"),
        (json!({ "token": account.token, "clientType": "machine-scoped", "machineId": "" }), "Machine ID"),
        (json!({ "token": account.token, "clientType": "everything" }), "Unknown client type"),
    ] {
        let refusal = Socket::connect(&rig.base, &auth).await.err().unwrap();
        assert!(refusal.contains(word), "{refusal}");
    }
}

#[tokio::test]
async fn a_closed_relay_takes_no_new_accounts_and_keeps_its_own() {
    let mut rig = Rig::start().await;
    let account = rig.account(1).await;
    rig.config.registration = Registration::Closed;
    rig.restart().await;
    assert_eq!(rig.post("/v1/auth", login(2, "a new account wants in")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(rig.post("/v1/auth", login(1, "an old account again")).await.0, StatusCode::OK);
    rig.again(&account).get("/v1/sessions").await;
}

#[tokio::test]
async fn tokens_end_after_their_lifetime() {
    let rig = Rig::with(|config| config.token_lifetime = Duration::from_secs(60)).await;
    let account = rig.account(1).await;
    account.get("/v1/sessions").await;
    let claims = account.token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
}

#[tokio::test]
async fn a_pairing_is_answered_once_and_fetched_once() {
    let rig = Rig::start().await;
    let phone = rig.account(1).await;
    let key = STANDARD.encode([3; 32]);
    for (ask, answer) in
        [("/v1/auth/request", "/v1/auth/response"), ("/v1/auth/account/request", "/v1/auth/account/response")]
    {
        let asking = json!({ "publicKey": key, "supportsV2": true });
        let unknown = phone
            .call(reqwest::Method::POST, answer, Some(json!({ "publicKey": key, "response": "x" })))
            .await;
        assert_eq!(unknown.0, StatusCode::NOT_FOUND);
        for _ in 0..2 {
            assert_eq!(rig.post(ask, asking.clone()).await.1, json!({ "state": "requested" }));
        }
        phone.post(answer, json!({ "publicKey": key, "response": "c2VhbGVk" })).await;
        let again = phone
            .call(reqwest::Method::POST, answer, Some(json!({ "publicKey": key, "response": "x" })))
            .await;
        assert_eq!(again.0, StatusCode::CONFLICT, "the first answer stands");
        let (status, body) = rig.post(ask, asking.clone()).await;
        assert_eq!(
            (status, &body["state"], &body["response"]),
            (StatusCode::OK, &json!("authorized"), &json!("c2VhbGVk"))
        );
        let mut paired = phone.clone();
        paired.token = body["token"].as_str().unwrap().to_owned();
        assert_eq!(
            paired.get("/v1/account/profile").await["id"],
            phone.get("/v1/account/profile").await["id"]
        );
        let (status, body) = rig.post(ask, asking).await;
        assert_eq!(status, StatusCode::GONE, "{body}");
        assert!(body.get("token").is_none());
    }
}

#[tokio::test]
async fn looking_at_a_pairing_gives_nothing_away() {
    let rig = Rig::start().await;
    let phone = rig.account(1).await;
    let key = STANDARD.encode([0xfb; 32]);
    let path = format!(
        "/v1/auth/request/status?publicKey={}",
        key.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
    );
    assert_eq!(rig.get(&path).await.1, json!({ "status": "not_found", "supportsV2": false }));
    rig.post("/v1/auth/request", json!({ "publicKey": key, "supportsV2": true })).await;
    assert_eq!(rig.get(&path).await.1, json!({ "status": "pending", "supportsV2": true }));
    phone.post("/v1/auth/response", json!({ "publicKey": key, "response": "c2VhbGVk" })).await;
    assert_eq!(rig.get(&path).await.1, json!({ "status": "authorized", "supportsV2": false }));
    assert_eq!(rig.get("/v1/auth/request/status?publicKey=x").await.1["status"], "not_found");
}

#[tokio::test]
async fn a_pairing_expires() {
    let rig = Rig::with(|config| config.pairing_lifetime = Duration::from_millis(1)).await;
    let phone = rig.account(1).await;
    let key = json!({ "publicKey": STANDARD.encode([3; 32]) });
    rig.post("/v1/auth/request", key.clone()).await;
    let deadline = std::time::Instant::now() + super::rig::SOON;
    while rig.post("/v1/auth/request", key.clone()).await.0 != StatusCode::GONE {
        assert!(std::time::Instant::now() < deadline, "it should have expired");
    }
    let body = json!({ "publicKey": key["publicKey"], "response": "c2VhbGVk" });
    let answered = phone.call(reqwest::Method::POST, "/v1/auth/response", Some(body)).await;
    assert_eq!(answered.0, StatusCode::GONE);
}
