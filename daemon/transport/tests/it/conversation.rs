//! With a real server: events and acknowledgements both ways, small and large.

use std::time::Duration;

use delight_transport::socketio::{AckError, Args, SendError, connect};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::scripted::{Script, scripted};
use crate::served::Served;
use crate::{must, next, options};

const CALLS: u64 = 5_000;
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_acknowledges_five_thousand_events_of_ours() {
    let served = Served::start();
    let mut options = options(&served.base());
    options.limits.max_pending = 5_000;
    let (handle, _events) = connect(options).await.unwrap();
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let handle = handle.clone();
            tokio::spawn(async move {
                let args = Args::one(&json!({"number": number})).unwrap();
                let answer = handle.emit_with_ack("echo", &args, LIMIT).await.unwrap();
                assert_eq!(answer.first::<Value>().unwrap(), json!({"number": number}));
            })
        })
        .collect();
    for call in calls {
        must("the acknowledgement", call).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_acknowledge_five_thousand_calls_of_the_servers() {
    let served = Served::start();
    let (_handle, mut events) = connect(options(&served.base())).await.unwrap();
    let socket = must("the server's side", async {
        loop {
            if let Some(socket) = served.io.sockets().into_iter().next() {
                break socket;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let answering = tokio::spawn(async move {
        for _ in 0..CALLS {
            let event = next(&mut events).await;
            assert_eq!(event.name, "rpc-request");
            let call: Value = event.payload.first().unwrap();
            let ack = event.ack.expect("the server wants an answer");
            ack.send(&Args::one(&json!({"answer": call["number"]})).unwrap()).await.unwrap();
        }
        events
    });
    let calling = served.spawn(async move {
        // In groups: the server's own queue is bounded as ours is.
        for group in 0..CALLS / 100 {
            let calls: Vec<_> = (group * 100..(group + 1) * 100)
                .map(|number| {
                    let stream = socket.emit_with_ack::<_, Value>("rpc-request", &json!({"number": number}));
                    (number, stream.expect("the server's queue takes it"))
                })
                .collect();
            for (number, answer) in calls {
                assert_eq!(answer.await.expect("we answer"), json!({"answer": number}));
            }
        }
    });
    must("all answers", calling).await.unwrap();
    drop(must("all calls", answering).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_keep_their_order_both_ways() {
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        while let Some(Ok(Message::Text(text))) = peer.0.next().await {
            peer.0.feed(Message::Text(text)).await.unwrap();
            peer.0.flush().await.unwrap();
        }
    })
    .await;
    let (handle, mut events) = connect(options(&base)).await.unwrap();
    let sending = tokio::spawn(async move {
        for number in 0..10_000_u32 {
            let args = Args::one(&number).unwrap();
            must("room in the queue", async {
                while handle.emit("n", &args) == Err(SendError::Full { limit: 4_000_000 }) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        handle
    });
    for number in 0..10_000_u32 {
        let event = next(&mut events).await;
        assert_eq!((event.name.as_str(), event.payload.first().unwrap()), ("n", number));
    }
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn packets_up_to_the_servers_limit_pass_and_one_byte_more_is_refused_here() {
    let served = Served::start();
    let (handle, _events) = connect(options(&served.base())).await.unwrap();
    assert_eq!(handle.max_packet(), 1_000_000);
    let frame = "42[\"silent\",\"\"]".len();
    let most = Args::one(&"x".repeat(1_000_000 - frame)).unwrap();
    handle.emit("silent", &most).unwrap();
    let over = Args::one(&"x".repeat(1_000_001 - frame)).unwrap();
    let refused = handle.emit("silent", &over);
    assert_eq!(refused, Err(SendError::TooLarge { size: 1_000_001, limit: 1_000_000 }));

    let large = Value::from("y".repeat(900_000));
    let answer = handle.emit_with_ack("echo", &Args::one(&large).unwrap(), LIMIT).await.unwrap();
    assert!(answer.first::<Value>().unwrap() == large, "900,000 bytes come back whole");
    assert_eq!(handle.ended(), None, "the connection has survived all of it");
}

#[tokio::test]
async fn an_event_nobody_acknowledges_times_out_and_the_connection_lives() {
    let served = Served::start();
    let (handle, _events) = connect(options(&served.base())).await.unwrap();
    let after = Duration::from_millis(50);
    let answer = handle.emit_with_ack("silent", &Args::none().and(&1).unwrap(), after).await;
    assert_eq!(answer.unwrap_err(), AckError::Timeout { after });
    handle.emit_with_ack("echo", &Args::one(&2).unwrap(), LIMIT).await.unwrap();
}
