//! Ends that somebody wanted.

use delight_transport::socketio::{AckError, Args, Closed, connect};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::scripted::{Script, scripted};
use crate::{must, next, options};

/// A server that collects what it hears up to the close, and a way to it.
async fn listening() -> (String, tokio::sync::mpsc::Receiver<(Vec<String>, u16)>) {
    use futures_util::StreamExt as _;
    let (tell, told) = tokio::sync::mpsc::channel(1);
    let base = scripted(move |mut peer: Script| {
        let tell = tell.clone();
        async move {
            peer.open().await;
            let mut heard = Vec::new();
            while let Some(Ok(message)) = peer.0.next().await {
                match message {
                    Message::Text(text) => heard.push(text.to_string()),
                    Message::Close(frame) => {
                        let code = frame.map_or(1005, |frame| frame.code.into());
                        tell.send((std::mem::take(&mut heard), code)).await.unwrap();
                    }
                    _ => {}
                }
            }
        }
    })
    .await;
    (base, told)
}

#[tokio::test]
async fn a_close_sends_what_is_queued_and_takes_leave() {
    let (base, mut told) = listening().await;
    for _ in 0..50 {
        let (handle, mut events) = connect(options(&base)).await.unwrap();
        for number in 0..100 {
            handle.emit("n", &Args::one(&number).unwrap()).unwrap();
        }
        assert_eq!(must("the close", handle.close()).await, Closed::Here);
        let (heard, code) = must("the server's view", told.recv()).await.unwrap();
        assert_eq!(heard.len(), 101);
        assert_eq!((heard[99].as_str(), heard[100].as_str(), code), ("42[\"n\",99]", "41", 1000));
        assert_eq!(must("the end", events.next()).await.unwrap_err(), Closed::Here);
    }
}

#[tokio::test]
async fn the_last_handle_closes_and_so_do_the_events() {
    let (base, mut told) = listening().await;
    let (handle, mut events) = connect(options(&base)).await.unwrap();
    let other = handle.clone();
    drop(handle);
    other.emit("still", &Args::none()).unwrap();
    drop(other);
    assert_eq!(must("the end", events.next()).await.unwrap_err(), Closed::Here);
    assert_eq!(told.recv().await.unwrap().0, ["42[\"still\"]", "41"]);

    let (handle, events) = connect(options(&base)).await.unwrap();
    drop(events);
    assert_eq!(must("the end", handle.closed()).await, Closed::Here);
    assert_eq!(told.recv().await.unwrap().0, ["41"]);
}

#[tokio::test]
async fn a_servers_close_is_told_with_its_code() {
    use futures_util::SinkExt as _;
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        let _ = peer.hear().await;
        let frame = CloseFrame { code: 1012.into(), reason: "restart".into() };
        peer.0.send(Message::Close(Some(frame))).await.unwrap();
        peer.until_closed().await;
    })
    .await;
    let (handle, mut events) = connect(options(&base)).await.unwrap();
    let call = handle.emit_with_ack("x", &Args::none(), crate::PATIENCE).await;
    let closed = Closed::ByServer { code: 1012, reason: ": restart".into() };
    assert_eq!(call.unwrap_err(), AckError::Closed(closed.clone()));
    assert_eq!(must("the end", events.next()).await.unwrap_err(), closed);
    assert_eq!(closed.to_string(), "the server closed the connection (code 1012: restart)");
}

#[tokio::test]
async fn an_answer_to_an_ended_connection_is_an_error() {
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        peer.text(r#"421["call"]"#).await;
        peer.text("1").await;
        peer.until_closed().await;
    })
    .await;
    let (_handle, mut events) = connect(options(&base)).await.unwrap();
    let ack = next(&mut events).await.ack.unwrap();
    assert_eq!(must("the end", events.next()).await.unwrap_err(), Closed::Disconnected);
    assert!(ack.limit() > 999_000);
    assert!(ack.send(&Args::none()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_ends_when_the_connection_is_cut_wherever_that_is() {
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        // The first call says after how many more the line is cut, with answers and a packet half sent.
        let first = peer.hear().await;
        let cut: usize = first.split(['[', ',', ']']).nth(2).unwrap().parse().unwrap();
        for id in 1..=cut {
            let _ = peer.hear().await;
            peer.text(&format!("43{id}[]")).await;
        }
        let raw = peer.0.get_mut();
        let _ = tokio::io::AsyncWriteExt::write_all(raw, b"\x81\x7e\x01\x00421[").await;
    })
    .await;
    for cut in 0..100_usize {
        let (handle, mut events) = connect(options(&base)).await.unwrap();
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let handle = handle.clone();
                let args = Args::one(&cut).unwrap();
                tokio::spawn(async move { handle.emit_with_ack("call", &args, crate::PATIENCE).await })
            })
            .collect();
        let (mut answered, mut ended) = (0, 0);
        for call in calls {
            match must("the end of a call", call).await.unwrap() {
                Ok(_) => answered += 1,
                Err(AckError::Closed(Closed::Lost { .. })) => ended += 1,
                Err(AckError::NotSent(error)) => {
                    assert!(error.to_string().contains("broke"), "{error}");
                    ended += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!(answered <= cut && ended >= 100 - cut, "cut after {cut}: {answered} and {ended}");
        assert!(matches!(must("the end", events.next()).await, Err(Closed::Lost { .. })));
    }
}
