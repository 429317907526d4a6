//! A server that has fallen silent: it is asked whether it is there, and given up when it does not answer.

use std::time::Duration;

use delight_core::uplink::{Fault, Input};
use delight_transport::socketio::Handle;
use tokio::sync::mpsc;

use super::body::{Mail, random};
use super::emit;

/// A server that has said nothing for so long has left out one of its pings, which come every 15 s: it is asked.
const SUSPICIOUS: Duration = Duration::from_secs(20);

/// Asks a server that has fallen silent whether it is there, for as long as the connection lasts. A way can be dead without
/// either side being told, and the transport alone would wait a minute for it.
pub(super) async fn suspect(attempt: u64, handle: Handle, to: mpsc::Sender<Mail>) {
    let watching = async {
        loop {
            let silence = handle.silence();
            if silence < SUSPICIOUS {
                tokio::time::sleep(SUSPICIOUS - silence).await;
            } else if !emit::barrier(&handle).await && handle.silence() >= SUSPICIOUS {
                return;
            }
        }
    };
    tokio::select! {
        _ = handle.closed() => {}
        () = watching => given_up(attempt, &to).await,
    }
}

/// Tells the reducer that nobody answers on the connection.
pub(super) async fn given_up(attempt: u64, to: &mpsc::Sender<Mail>) {
    let reason = "the server does not answer any more".to_owned();
    let down = Input::Down { attempt, fault: Fault::Later, reason, random: random() };
    // The link has ended when nobody listens.
    let _ = to.send(Mail::Input(Box::new(down))).await;
}
