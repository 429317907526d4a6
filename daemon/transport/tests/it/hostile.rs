//! Servers that send what no server should.

use delight_transport::socketio::{Closed, ConnectError, connect};
use futures_util::SinkExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::scripted::{Script, open_packet, scripted, speak};
use crate::{hasty, must, next, options};

/// The end of a connection on which the server said this after opening it, and the close code it was told.
async fn end_after(message: Message) -> (Closed, Option<u16>) {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let base = scripted(move |mut peer: Script| {
        let (message, tell) = (message.clone(), tell.clone());
        async move {
            peer.open().await;
            peer.0.send(message).await.unwrap();
            tell.send(peer.until_closed().await).await.unwrap();
        }
    })
    .await;
    let (_handle, mut events) = connect(options(&base)).await.unwrap();
    let closed = must("the end", events.next()).await.unwrap_err();
    (closed, must("the close", told.recv()).await.unwrap())
}

#[tokio::test]
async fn garbage_ends_the_connection_with_a_reason() {
    for garbage in [
        Message::text(""),
        Message::text("9"),
        Message::text("4"),
        Message::text("42{}"),
        Message::text("42[\"a\"\u{1e}42[\"b\"]"),
        Message::text("43[]"),
        Message::binary(vec![1, 2, 3]),
    ] {
        let (closed, code) = end_after(garbage.clone()).await;
        assert!(matches!(closed, Closed::Protocol { .. }), "{garbage:?}: {closed:?}");
        assert_eq!(code, Some(1002), "{garbage:?}");
    }
}

#[tokio::test]
async fn a_packet_above_the_limit_is_not_read_and_the_server_is_told() {
    let (closed, code) = end_after(Message::text("4".repeat(1_000_001))).await;
    assert_eq!(closed, Closed::TooLarge { limit: 1_000_000 });
    assert_eq!(code, Some(1009));
}

#[tokio::test]
async fn a_packet_of_exactly_the_limit_is_read() {
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        let frame = "42[\"big\",\"\"]".len();
        peer.text(&format!("42[\"big\",\"{}\"]", "x".repeat(1_000_000 - frame))).await;
        peer.until_closed().await;
    })
    .await;
    let (_handle, mut events) = connect(options(&base)).await.unwrap();
    let event = next(&mut events).await;
    assert_eq!((event.name.as_str(), event.payload.size()), ("big", 1_000_000 - 10));
}

#[tokio::test]
async fn split_frames_and_attachments_are_put_together() {
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        for (opcode, part, last) in [
            (OpCode::Data(Data::Text), "42[\"split\",\"a", false),
            (OpCode::Data(Data::Continue), "b", false),
            (OpCode::Data(Data::Continue), "c\"]", true),
        ] {
            let frame = Frame::message(part.as_bytes().to_vec(), opcode, last);
            peer.0.send(Message::Frame(frame)).await.unwrap();
        }
        // And every frame of these in single bytes.
        let raw = peer.0.get_mut();
        for byte in [b"\x81\x0b42[\"bytes\"]".as_slice(), b"\x89\x00"].concat() {
            raw.write_all(&[byte]).await.unwrap();
            raw.flush().await.unwrap();
        }
        peer.text(r#"452-7["binary",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#).await;
        peer.0.send(Message::binary(vec![1])).await.unwrap();
        peer.text("2").await;
        peer.0.send(Message::binary(vec![2])).await.unwrap();
        peer.until_closed().await;
    })
    .await;
    let (_handle, mut events) = connect(options(&base)).await.unwrap();
    let split = next(&mut events).await;
    assert_eq!((split.name.as_str(), split.payload.first::<String>().unwrap().as_str()), ("split", "abc"));
    assert_eq!(next(&mut events).await.name, "bytes");
    let binary = next(&mut events).await;
    let attachments: Vec<&[u8]> = binary.payload.attachments.iter().map(AsRef::as_ref).collect();
    assert_eq!((attachments, binary.payload.args.len()), (vec![[1].as_slice(), &[2]], 2));
    assert!(binary.ack.is_some());
}

#[tokio::test]
async fn what_is_no_websocket_is_no_connection() {
    for (answer, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP 200"),
        ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere\r\nContent-Length: 0\r\n\r\n", "HTTP 302"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "no WebSocket",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "no WebSocket"),
    ] {
        let base = speak(answer.into()).await;
        let said = must("the refusal", connect(options(&base))).await.unwrap_err().to_string();
        assert!(said.contains(want), "{said}");
    }
}

#[tokio::test]
async fn an_odd_beginning_is_no_connection() {
    for first in ["42[\"early\"]", "0{}", "0{\"sid\":\"a\",\"pingInterval\":0,\"pingTimeout\":1}", "x"] {
        let base = scripted(move |mut peer: Script| async move {
            peer.text(first).await;
            peer.until_closed().await;
        })
        .await;
        let error = must("the refusal", connect(options(&base))).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Ended { closed: Closed::Protocol { .. }, .. }),
            "{first}: {error}"
        );
    }
    // One that talks without end is not listened to without end.
    let base = scripted(async |mut peer: Script| {
        peer.text(&open_packet(15_000, 45_000)).await;
        while peer.0.send(Message::text("6")).await.is_ok() {}
    })
    .await;
    let error = must("the refusal", connect(hasty(&base))).await.unwrap_err();
    assert!(error.to_string().contains("too much"), "{error}");
}

#[tokio::test]
async fn acknowledgements_nobody_awaits_do_no_harm() {
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        peer.text("430[1]").await;
        peer.text("4318446744073709551615[]").await;
        peer.text("42/other,[\"x\"]").await;
        peer.text("42[\"after\"]").await;
        peer.until_closed().await;
    })
    .await;
    let (_handle, mut events) = connect(options(&base)).await.unwrap();
    assert_eq!(next(&mut events).await.name, "after");
}
