//! The link to the server: everything by way of a relay on loopback, beside Happy's daemon on the same relay where the
//! `happy` CLI is installed.

mod caller;
mod happy;
pub(crate) mod idle;
mod machine;
pub(crate) mod messages;
pub(crate) mod online;
pub(crate) mod reconnect;
pub(crate) mod relay;
pub(crate) mod spawn;

use delight_tests::Sandbox;
use delight_tests::link::Relay;

use crate::peer::Peer;

/// Those that are installed here; delight is.
fn installed() -> Vec<Peer> {
    let mut peers = vec![Peer::Delight];
    match happy::package() {
        Ok(_) => peers.push(Peer::Happy),
        Err(why) => eprintln!("without happy: {why}"),
    }
    peers
}

/// A relay with a private place for its data.
struct Server {
    relay: Option<Relay>,
    sandbox: Sandbox,
}

impl Server {
    fn start() -> Self {
        let sandbox = Sandbox::new();
        Self { relay: Some(Relay::start(&sandbox, "127.0.0.1:0")), sandbox }
    }

    fn running(&self) -> &Relay {
        self.relay.as_ref().unwrap()
    }

    fn url(&self) -> String {
        self.running().url()
    }

    /// `kill -9`, `away` for so long, and back at the same address.
    fn restart(&mut self, away: std::time::Duration) {
        let address = self.relay.take().unwrap().kill9();
        std::thread::sleep(away);
        self.relay = Some(Relay::start(&self.sandbox, &address));
    }
}
