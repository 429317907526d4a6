//! HTTP against servers that answer anything, or nothing.

use std::time::Duration;

use delight_transport::http::{Client, HttpError, Method, Options};
use delight_transport::reconnect::Retry;
use delight_transport::secret::Token;
use delight_transport::server::Server;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::must;
use crate::scripted::speak;

/// Long enough for a machine that is busy, short enough to wait for.
const LIMIT: Duration = Duration::from_secs(2);

fn client(base: &str) -> Client {
    let options = Options { timeout: LIMIT, max_answer: 1000, ..Options::default() };
    Client::new(Server::new(base, None, |_| None).unwrap(), options).unwrap()
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn failure(answer: Vec<u8>) -> HttpError {
    let client = client(&speak(answer).await);
    client.set_token(Some(Token::new("canary").unwrap()));
    let error = must("the answer", client.get::<Value>("/v1/machines", &[])).await.unwrap_err();
    assert!(!format!("{error} {error:?} {client:?}").contains("canary"));
    error
}

#[tokio::test]
async fn a_request_carries_token_query_and_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}/prefix", listener.local_addr().unwrap()));
    client.set_token(Some(Token::new("abc.def").unwrap()));
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        while !request.ends_with("{\"a\":1}") {
            request.push(char::from(stream.read_u8().await.unwrap()));
        }
        stream.write_all(&answer("201 Created", r#"{"machine":{"id":"m"}}"#)).await.unwrap();
        request
    });
    let query = [("after", "a b&c")];
    let body = json!({"a": 1});
    let answer =
        must("the answer", client.request(Method::POST, "/v1/x", &query, Some(&body))).await.unwrap();
    assert_eq!((answer.status, answer.json().unwrap()), (201, json!({"machine": {"id": "m"}})));
    let request = serving.await.unwrap().to_ascii_lowercase();
    assert!(request.starts_with("post /prefix/v1/x?after=a+b%26c http/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: bearer abc.def\r\n"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
}

#[tokio::test]
async fn every_status_is_classified_with_the_servers_words() {
    let refused = failure(answer("401 Unauthorized", r#"{"error":"Invalid\ntoken"}"#)).await;
    assert_eq!(refused, HttpError::Refused { message: "Invalid token".into() });
    assert_eq!(refused.retry(), Retry::Login);

    let busy = failure(answer("503 Service Unavailable\r\nRetry-After: 99999999", "<html>down</html>")).await;
    assert_eq!(busy.retry(), Retry::After(Duration::from_secs(3600)));
    assert_eq!(busy.to_string(), "the server answers 503: Service Unavailable");

    let moved = failure(answer("308 Permanent Redirect\r\nLocation: https://elsewhere.example/", "")).await;
    assert_eq!(moved, HttpError::Redirect { location: "https://elsewhere.example/".into() });
    assert_eq!(moved.retry(), Retry::Never);
}

#[tokio::test]
async fn an_answer_of_another_shape_is_not_shown() {
    let odd = failure(answer("200 OK", "<html>a captive portal</html>")).await;
    assert!(matches!(odd, HttpError::BadAnswer { .. }));
    assert!(!odd.to_string().contains("portal"), "{odd}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let limit = HttpError::TooLarge { limit: 1000 };
    assert_eq!(failure(answer("200 OK", &"x".repeat(1001))).await, limit);
    let chunks = "400\r\n".to_owned() + &"x".repeat(0x400) + "\r\n";
    let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunks.repeat(4));
    assert_eq!(failure(endless.into_bytes()).await, limit);
    // An error page without end says its status.
    let page = failure(answer("500 Internal Server Error", &"x".repeat(100_000))).await;
    assert_eq!(page.to_string(), "the server answers 500: Internal Server Error");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let late = HttpError::Timeout { after: LIMIT };
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", silent.local_addr().unwrap());
    assert_eq!(must("the limit", client(&base).get::<Value>("/", &[])).await, Err(late.clone()));
    // Half an answer and then nothing.
    assert_eq!(failure(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{".to_vec()).await, late);
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_a_broken_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let client = client(&base);
    let hanging_up = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read_u8().await.unwrap();
        listener
    });
    let broken = must("the end", client.get::<Value>("/", &[])).await.unwrap_err();
    assert!(matches!(broken, HttpError::Network { sent: true, .. }), "{broken:?}");
    drop(hanging_up.await.unwrap());
    let nobody = must("the end", client.get::<Value>("/", &[])).await.unwrap_err();
    assert!(matches!(&nobody, HttpError::Network { sent: false, .. }), "{nobody:?}");
    assert!(nobody.to_string().contains("refused"), "{nobody}");
    assert_eq!(nobody.retry(), Retry::Later);
}
