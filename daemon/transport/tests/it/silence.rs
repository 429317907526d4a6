//! Peers that are there and do not answer: every one of them ends within its limit.

use std::time::Duration;

use delight_transport::socketio::{AckError, Args, Closed, ConnectError, SendError, Stage, connect};
use tokio::net::TcpListener;

use crate::scripted::{Script, open_packet, scripted};
use crate::{hasty, must, options};

async fn hung(base: &str) -> Stage {
    match must("the limit", connect(hasty(base))).await.unwrap_err() {
        ConnectError::Timeout { stage, after } => {
            assert_eq!(after, Duration::from_secs(1));
            stage
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_connect_that_hangs_says_where() {
    // The kernel accepts, nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(hung(&format!("http://{}", listener.local_addr().unwrap())).await, Stage::Upgrade);

    let base = scripted(async |peer: Script| {
        let _held = peer;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(hung(&base).await, Stage::Open);

    let base = scripted(async |mut peer: Script| {
        peer.text(&open_packet(15_000, 45_000)).await;
        let _held = peer;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(hung(&base).await, Stage::Namespace);
}

#[tokio::test]
async fn a_server_that_pings_no_longer_is_dead() {
    let base = scripted(async |mut peer: Script| {
        peer.open_with_pings(500, 500).await;
        for _ in 0..3 {
            peer.text("2").await;
            assert_eq!(peer.hear().await, "3", "every ping is answered");
        }
        // Events are no pings.
        peer.text(r#"42["update",{}]"#).await;
        let _held = peer;
        std::future::pending::<()>().await;
    })
    .await;
    let (handle, mut events) = connect(options(&base)).await.unwrap();
    assert_eq!(must("the event", events.next()).await.unwrap().name, "update");
    let closed = must("the watchdog", events.next()).await.unwrap_err();
    assert_eq!(closed, Closed::PingTimeout { after: Duration::from_secs(1) });
    assert_eq!(handle.emit("x", &Args::none()), Err(SendError::Closed(closed)));
}

#[tokio::test]
async fn a_peer_that_stops_reading_fills_the_queue_and_then_ends() {
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        let _held = peer;
        std::future::pending::<()>().await;
    })
    .await;
    let (handle, _events) = connect(hasty(&base)).await.unwrap();
    let args = Args::one(&"x".repeat(900_000)).unwrap();
    // What the kernel takes is sent; then the queue fills; then the connection is given up.
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.emit_with_ack("first", &Args::none(), Duration::from_secs(50)).await }
    });
    let mut full = 0_u32;
    let closed = must("the send limit", async {
        loop {
            match handle.emit("big", &args) {
                Ok(()) => {}
                Err(SendError::Full { .. }) => full += 1,
                Err(SendError::Closed(closed)) => break closed,
                Err(other) => panic!("{other}"),
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(full > 0, "the queue was full before the end");
    assert_eq!(closed, Closed::SendTimeout { after: Duration::from_millis(300) });
    assert_eq!(must("the call's end", waiting).await.unwrap().unwrap_err(), AckError::Closed(closed));
}

#[tokio::test]
async fn events_nobody_reads_stop_the_reading_and_none_is_dropped() {
    let base = scripted(async |mut peer: Script| {
        peer.open().await;
        for number in 0..2_000 {
            peer.text(&format!(r#"42["n",{number}]"#)).await;
        }
        peer.text("41").await;
        peer.until_closed().await;
    })
    .await;
    let mut options = options(&base);
    options.limits.max_events = 3;
    let (handle, mut events) = connect(options).await.unwrap();
    for number in 0..2_000 {
        let event = must("the event", events.next()).await.unwrap();
        assert_eq!(event.payload.first::<u32>().unwrap(), number);
        assert_eq!(handle.ended().filter(|_| number < 1_990), None, "the end comes after the events");
    }
    assert_eq!(must("the end", events.next()).await.unwrap_err(), Closed::Disconnected);
}

#[tokio::test]
async fn a_reader_that_never_comes_back_ends_the_connection() {
    let base = scripted(async |mut peer: Script| {
        peer.open_with_pings(500, 500).await;
        for _ in 0..10 {
            peer.text(r#"42["n",1]"#).await;
        }
        assert_eq!(peer.until_closed().await, Some(1008));
    })
    .await;
    let mut options = options(&base);
    options.limits.max_events = 1;
    let (handle, mut events) = connect(options).await.unwrap();
    let closed = must("the end", handle.closed()).await;
    assert_eq!(closed, Closed::Stalled { after: Duration::from_secs(1) });
    // What had been read is still there.
    assert!(must("the event", events.next()).await.is_ok());
    assert_eq!(must("the end", events.next()).await.unwrap_err(), closed);
}
