//! A server that is killed and comes back.

use std::time::{Duration, Instant};

use delight_transport::reconnect::Retry;
use delight_transport::socketio::{Args, Closed, connect};

use crate::served::Served;
use crate::{must, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_noticed_at_once_and_found_again() {
    let served = Served::start();
    let (address, base) = (served.address, served.base());
    let (handle, mut events) = connect(options(&base)).await.unwrap();
    drop(served);
    let closed = must("the end", events.next()).await.unwrap_err();
    assert!(
        matches!(closed, Closed::Lost { .. } | Closed::ByServer { .. } | Closed::Disconnected),
        "{closed}"
    );
    assert_eq!(closed.retry(), Retry::Later);
    assert_eq!(handle.ended(), Some(closed));

    let mut again = None;
    let mut attempts = 0;
    let began = Instant::now();
    let (handle, _events) = must("the reconnect", async {
        loop {
            match connect(options(&base)).await {
                Ok(connection) => break connection,
                Err(error) => {
                    assert_eq!(error.retry(), Retry::Later, "{error}");
                    attempts += 1;
                    if attempts == 5 {
                        again = Some(Served::start_on(address));
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    })
    .await;
    assert!(attempts >= 5, "the server was away for {attempts} attempts, {:?}", began.elapsed());
    handle.emit_with_ack("echo", &Args::one(&1).unwrap(), Duration::from_secs(30)).await.unwrap();
}
