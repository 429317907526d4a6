//! Every limit of a connection, to the millisecond, in virtual time.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::handshake::connect_over;
use super::{AckError, Args, Closed, ConnectError, Events, Handle, Options, SendError, Stage};
use crate::secret::Auth;
use crate::server::Server;

type Peer = WebSocketStream<DuplexStream>;

const OPEN: &str =
    r#"0{"sid":"e","upgrades":[],"pingInterval":15000,"pingTimeout":45000,"maxPayload":1000000}"#;
/// Large enough for the handshake, small enough to fill.
const PIPE: usize = 4096;

fn options() -> Options {
    let server = Server::new("http://relay.test", None, |_| None).unwrap();
    Options::new(server, Auth::new(&serde_json::json!({"token": "t"})).unwrap())
}

async fn attempt<F>(serve: impl FnOnce(Peer) -> F) -> Result<(Handle, Events), ConnectError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (near, far) = tokio::io::duplex(PIPE);
    let options = options();
    let deadline = Instant::now() + options.limits.connect;
    let served = async {
        let peer = tokio_tungstenite::accept_async(far).await.unwrap();
        drop(tokio::spawn(serve(peer)));
    };
    tokio::join!(connect_over(near, &options, deadline), served).0
}

async fn open(peer: &mut Peer) {
    peer.send(Message::text(OPEN)).await.unwrap();
    let connect = peer.next().await.unwrap().unwrap();
    assert_eq!(connect, Message::text(r#"40{"token":"t"}"#));
    peer.send(Message::text(r#"40{"sid":"s"}"#)).await.unwrap();
}

async fn hold(peer: Peer) {
    let _held = peer;
    std::future::pending::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn pings_just_in_time_keep_a_connection_and_one_too_late_ends_it() {
    let (_handle, mut events) = attempt(async |mut peer: Peer| {
        open(&mut peer).await;
        for _ in 0..10 {
            sleep(Duration::from_millis(59_999)).await;
            peer.send(Message::text("2")).await.unwrap();
            assert_eq!(peer.next().await.unwrap().unwrap(), Message::text("3"));
        }
        hold(peer).await;
    })
    .await
    .unwrap();
    let began = Instant::now();
    let closed = events.next().await.unwrap_err();
    assert_eq!(closed, Closed::PingTimeout { after: Duration::from_secs(60) });
    assert_eq!(began.elapsed().as_millis(), 10 * 59_999 + 60_000);
}

#[tokio::test(start_paused = true)]
async fn the_connect_limit_is_one_for_all_stages() {
    let began = Instant::now();
    let late = attempt(async |mut peer: Peer| {
        sleep(Duration::from_secs(6)).await;
        peer.send(Message::text(OPEN)).await.unwrap();
        hold(peer).await;
    })
    .await
    .unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert!(matches!(late, ConnectError::Timeout { stage: Stage::Namespace, .. }), "{late}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_is_given_up_after_the_send_limit() {
    let (handle, mut events) = attempt(async |mut peer: Peer| {
        open(&mut peer).await;
        hold(peer).await;
    })
    .await
    .unwrap();
    let began = Instant::now();
    handle.emit("big", &Args::one(&"x".repeat(100_000)).unwrap()).unwrap();
    assert_eq!(events.next().await.unwrap_err(), Closed::SendTimeout { after: Duration::from_secs(20) });
    assert_eq!(began.elapsed(), Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_room_and_is_not_lost() {
    let (handle, mut events) = attempt(async |mut peer: Peer| {
        open(&mut peer).await;
        peer.send(Message::text(r#"427["call"]"#)).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        // It reads again, just in time; the answer comes after all that was queued before it.
        let mut heard = 0;
        loop {
            let text = peer.next().await.unwrap().unwrap().into_text().unwrap();
            if text.as_str() == "437[1]" {
                break;
            }
            heard += 1;
        }
        peer.send(Message::text(format!(r#"42["heard",{heard}]"#))).await.unwrap();
        hold(peer).await;
    })
    .await
    .unwrap();
    let ack = events.next().await.unwrap().ack.unwrap();
    let big = Args::one(&"x".repeat(500_000)).unwrap();
    let mut queued = 0;
    while handle.emit("big", &big).is_ok() {
        queued += 1;
        tokio::task::yield_now().await;
    }
    // The rest of the queue in small ones, until not even an answer fits.
    while handle.emit("s", &Args::none()).is_ok() {
        queued += 1;
    }
    assert!(matches!(handle.emit("s", &Args::none()), Err(SendError::Full { .. })));
    let began = Instant::now();
    ack.send(&Args::one(&1).unwrap()).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(10), "it waited for room");
    assert_eq!(events.next().await.unwrap().payload.first::<usize>().unwrap(), queued);
}

#[tokio::test(start_paused = true)]
async fn a_close_does_not_wait_for_a_peer_that_does_not_answer() {
    let (handle, _events) = attempt(async |mut peer: Peer| {
        open(&mut peer).await;
        hold(peer).await;
    })
    .await
    .unwrap();
    let began = Instant::now();
    assert_eq!(handle.close().await, Closed::Here);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_close_in_the_midst_of_a_stuck_write_takes_twice_its_limit_at_most() {
    let (handle, _events) = attempt(async |mut peer: Peer| {
        open(&mut peer).await;
        hold(peer).await;
    })
    .await
    .unwrap();
    handle.emit("big", &Args::one(&"x".repeat(100_000)).unwrap()).unwrap();
    sleep(Duration::from_secs(5)).await;
    let began = Instant::now();
    assert_eq!(handle.close().await, Closed::Here);
    assert_eq!(began.elapsed(), Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_is_awaited_as_long_as_the_caller_says_and_a_late_one_harms_nobody() {
    let (handle, _events) = attempt(async |mut peer: Peer| {
        open(&mut peer).await;
        for wait in [Duration::from_secs(11), Duration::from_secs(9)] {
            let text = peer.next().await.unwrap().unwrap().into_text().unwrap();
            let id = text.strip_prefix("42").unwrap().strip_suffix(r#"["ask"]"#).unwrap().to_owned();
            sleep(wait).await;
            peer.send(Message::text(format!("43{id}[{id}]"))).await.unwrap();
        }
        hold(peer).await;
    })
    .await
    .unwrap();
    let limit = Duration::from_secs(10);
    let began = Instant::now();
    let first = handle.emit_with_ack("ask", &Args::none(), limit).await;
    assert_eq!(first.unwrap_err(), AckError::Timeout { after: limit });
    assert_eq!(began.elapsed(), limit);
    // The first answer comes 1 s too late, the second 9 s after that.
    let second = handle.emit_with_ack("ask", &Args::none(), limit + Duration::from_secs(1)).await.unwrap();
    assert_eq!(second.first::<u64>().unwrap(), 1);
    assert_eq!(began.elapsed(), Duration::from_secs(20));
}
