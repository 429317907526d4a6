//! A server that does not know our token, in every way servers say it; told apart from a network that fails.

use delight_transport::reconnect::Retry;
use delight_transport::socketio::{Closed, ConnectError, connect};

use crate::scripted::{Script, open_packet, scripted, speak};
use crate::served::Served;
use crate::{auth, must, next, options};

#[tokio::test]
async fn refused_after_connect_was_acknowledged() {
    let served = Served::start();
    let mut options = options(&served.base());
    options.auth = auth("bad");
    let (handle, mut events) = connect(options).await.unwrap();
    assert_eq!(next(&mut events).await.name, "error");
    let closed = must("the end", events.next()).await.unwrap_err();
    assert_eq!(closed, Closed::Refused { message: "Invalid authentication token".into() });
    assert_eq!(closed.retry(), Retry::Login);
    assert_eq!(handle.closed().await, closed);
}

#[tokio::test]
async fn refused_by_connect_error() {
    let base = scripted(async |mut peer: Script| {
        peer.text(&open_packet(15_000, 45_000)).await;
        peer.expect_prefix("40{").await;
        peer.text(r#"44{"message":"jwt\nexpired","data":{"code":1}}"#).await;
    })
    .await;
    let refused = connect(options(&base)).await.unwrap_err();
    assert_eq!(refused.retry(), Retry::Login);
    assert!(matches!(refused, ConnectError::Refused { message } if message == "jwt expired"));
}

#[tokio::test]
async fn refused_by_status() {
    for (status, want) in [("401 Unauthorized", Retry::Login), ("404 Not Found", Retry::Later)] {
        let base = speak(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()).await;
        assert_eq!(connect(options(&base)).await.unwrap_err().retry(), want, "{status}");
    }
}

#[tokio::test]
async fn an_error_event_in_the_midst_of_work_is_no_refusal() {
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        peer.text(r#"42["update",{}]"#).await;
        peer.text(r#"42["error",{"message":"session not found"}]"#).await;
        peer.text("41").await;
        peer.until_closed().await;
    })
    .await;
    let (_handle, mut events) = connect(options(&base)).await.unwrap();
    assert_eq!(next(&mut events).await.name, "update");
    assert_eq!(next(&mut events).await.name, "error");
    assert_eq!(must("the end", events.next()).await.unwrap_err(), Closed::Disconnected);
}

#[tokio::test]
async fn a_network_that_fails_asks_for_no_login() {
    let nobody = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let failed = connect(options(&nobody)).await.unwrap_err();
    assert!(matches!(failed, ConnectError::Dial(_)), "{failed}");
    assert_eq!(failed.retry(), Retry::Later);
}
