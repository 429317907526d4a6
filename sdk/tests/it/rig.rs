//! A relay in this process, on a port it keeps over restarts, and ways to wait for what must happen.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use delight_relay::{Config, Handle, Relay};
use delight_sdk::{Account, Dialect, NoEvent, Phone, PhoneEvent, Server, Subscription};
use tempfile::TempDir;

/// Nothing here takes that long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    directory: TempDir,
    config: Config,
    relay: Option<Handle>,
    pub(crate) base: String,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: directory.path().join("data"),
            ..Config::default()
        };
        config.limits.anonymous_per_second = 10_000;
        config.limits.account_per_second = 100_000;
        change(&mut config);
        let relay = Relay::start(config.clone()).await.unwrap();
        config.listen = relay.address();
        let base = format!("http://{}", relay.address());
        Self { directory, config, relay: Some(relay), base }
    }

    pub(crate) async fn stop(&mut self) {
        self.relay.take().unwrap().shutdown().await;
    }

    pub(crate) async fn go_on(&mut self) {
        self.relay = Some(Relay::start(self.config.clone()).await.unwrap());
    }

    /// The relay starts again knowing nothing: neither accounts nor the tokens it gave.
    pub(crate) async fn go_on_without_memory(&mut self) {
        self.config.data_dir = self.directory.path().join("other");
        self.go_on().await;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.config.listen
    }

    pub(crate) fn server(&self) -> Server {
        Server::new(&self.base).unwrap()
    }

    /// A phone of an account, connected.
    pub(crate) async fn phone(&self, account: &Account) -> Phone {
        let phone = Phone::connect(self.server(), account.clone()).unwrap();
        phone
            .listen(|event| {
                if let Ok(PhoneEvent::Disconnected(why)) = event {
                    println!("disconnected: {why}");
                }
                true
            })
            .unwrap();
        until("the phone is connected", || async { phone.is_connected().await.unwrap().then_some(()) }).await;
        phone
    }
}

pub(crate) fn account() -> Account {
    Account::create(Dialect::Happy).unwrap()
}

pub(crate) async fn must<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Asks again and again until there is something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    must(what, async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// The next event that fits.
pub(crate) async fn hear<T>(
    what: &str,
    events: &mut Subscription,
    mut fits: impl FnMut(PhoneEvent) -> Option<T>,
) -> T {
    must(what, async {
        loop {
            match events.next().await {
                Ok(event) => {
                    if let Some(found) = fits(event) {
                        return found;
                    }
                }
                Err(NoEvent::Lagged(missed)) => panic!("{missed} events were missed"),
                Err(end) => panic!("{end}"),
            }
        }
    })
    .await
}
