//! The sync server inside the daemon, for trying things out: off unless it is asked for.
//!
//! It has a thread and a loop of its own, so that whoever floods it does not slow the sessions of this machine. It links
//! none of the keys' code: that it runs in this process does not let it read anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use delight_proto::api::method::RelayStatus;
use delight_proto::place::Place;
use delight_relay::{Config, Relay};
use serde::Deserialize;
use tokio::sync::oneshot;

/// Where it listens when nobody says: this machine only.
pub(crate) const USUAL_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3005);

/// How long it may take to open its database.
const START: Duration = Duration::from_secs(20);

/// How long it may take to end. What it has acknowledged is on disk whatever happens.
const END: Duration = Duration::from_secs(5);

/// `[relay]` of the configuration: that it is there switches the relay on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RelaySettings {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self { listen: USUAL_ADDRESS }
    }
}

/// The relay, running or not.
#[derive(Debug)]
pub(crate) struct Embedded {
    status: RelayStatus,
    /// Dropped to end it.
    end: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<()>>,
}

impl Embedded {
    /// Starts it. One that cannot start keeps nobody from their sessions: its status says why.
    pub(crate) async fn start(place: &Place, listen: SocketAddr) -> Self {
        let config = Config { listen, data_dir: place.relay(), ..Config::default() };
        let (started, is_up) = oneshot::channel();
        let (end, ending) = oneshot::channel();
        let (told, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("relay".to_owned()).spawn(move || {
            run(config, started, ending);
            // Whoever waited has given up, or hears it.
            let _ = told.send(());
        });
        let is_up = match thread {
            Ok(_) => tokio::time::timeout(START, is_up).await,
            Err(e) => Ok(Ok(Err(e.to_string()))),
        };
        let result = match is_up {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err("it ended at once".to_owned()),
            Err(_) => Err(format!("it did not start within {} s", START.as_secs())),
        };
        match result {
            Ok(address) => {
                if !address.ip().is_loopback() {
                    tracing::warn!(%address, "the relay speaks no TLS: on the way to it tokens can be read");
                }
                let status = RelayStatus {
                    listen: address.to_string(),
                    url: Some(url(address)),
                    reason: String::new(),
                };
                Self { status, end: Some(end), ended: Some(ended) }
            }
            Err(reason) => {
                tracing::error!(%listen, reason, "the relay does not run");
                Self {
                    status: RelayStatus { listen: listen.to_string(), url: None, reason },
                    end: None,
                    ended: None,
                }
            }
        }
    }

    /// How it is.
    pub(crate) fn status(&self) -> &RelayStatus {
        &self.status
    }

    /// Ends it.
    pub(crate) async fn end(self) {
        drop(self.end);
        if let Some(ended) = self.ended
            && tokio::time::timeout(END, ended).await.is_err()
        {
            tracing::warn!("the relay did not end in time");
        }
    }
}

/// The body of its thread.
fn run(config: Config, started: oneshot::Sender<Result<SocketAddr, String>>, ending: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return drop(started.send(Err(e.to_string()))),
    };
    runtime.block_on(async {
        match Relay::start(config).await {
            Ok(relay) => {
                if started.send(Ok(relay.address())).is_ok() {
                    // Its sender says nothing; that it is gone means the end.
                    let _ = ending.await;
                }
                relay.shutdown().await;
            }
            Err(e) => drop(started.send(Err(e.to_string()))),
        }
    });
}

/// Its URL on this machine.
fn url(address: SocketAddr) -> String {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(base: &std::path::Path) -> Place {
        let place = Place { state: base.join("s"), runtime: base.join("r"), config: base.join("c") };
        crate::paths::prepare(&place).unwrap();
        place
    }

    #[tokio::test]
    async fn it_runs_beside_the_daemon_and_ends_with_it() {
        let base = tempfile::tempdir().unwrap();
        let place = place(base.path());
        let relay = Embedded::start(&place, "127.0.0.1:0".parse().unwrap()).await;
        let status = relay.status().clone();
        assert_eq!(
            (status.url.clone(), status.reason.as_str()),
            (Some(format!("http://{}", status.listen)), "")
        );
        assert!(tokio::net::TcpStream::connect(&status.listen).await.is_ok());
        let second = Embedded::start(&place, "127.0.0.1:0".parse().unwrap()).await;
        assert!(second.status().url.is_none() && !second.status().reason.is_empty(), "{second:?}");
        second.end().await;
        relay.end().await;
        assert!(tokio::net::TcpStream::connect(&status.listen).await.is_err());
    }

    #[test]
    fn everywhere_is_reached_by_this_machines_own_address() {
        assert_eq!(url("0.0.0.0:3005".parse().unwrap()), "http://127.0.0.1:3005");
        assert_eq!(url("[::]:1".parse().unwrap()), "http://127.0.0.1:1");
        assert_eq!(url("[::1]:1".parse().unwrap()), "http://[::1]:1");
    }
}
