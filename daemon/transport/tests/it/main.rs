//! The transport against real and hostile servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is a test"
)]

mod close;
mod conversation;
mod hostile;
mod http;
mod network;
mod passage;
mod refused;
mod restart;
mod scripted;
mod served;
mod silence;

use std::future::Future;
use std::time::Duration;

use delight_transport::secret::Auth;
use delight_transport::server::Server;
use delight_transport::socketio::{Event, Events, Limits, Options};

/// Nothing here takes that long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must happen.
async fn must<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

async fn next(events: &mut Events) -> Event {
    must("the next event", events.next()).await.expect("the connection lives")
}

/// Options for a server on this machine.
fn options(base: &str) -> Options {
    let server = Server::new(base, None, |_| None).unwrap();
    Options::new(server, auth("good"))
}

fn auth(token: &str) -> Auth {
    Auth::new(&serde_json::json!({"token": token, "clientType": "machine-scoped", "machineId": "m"})).unwrap()
}

/// The same with short limits, for servers that keep none.
fn hasty(base: &str) -> Options {
    let mut options = options(base);
    options.limits = Limits {
        connect: Duration::from_secs(1),
        send: Duration::from_millis(300),
        close: Duration::from_millis(300),
        ..Limits::default()
    };
    options
}
