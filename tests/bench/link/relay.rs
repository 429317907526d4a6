//! What a connected machine costs the relay.

use delight_tests::kernel;
use delight_tests::link::Link;
use delight_transport::http::{Client, Options as HttpOptions};
use delight_transport::secret::{Auth, Token};
use delight_transport::server::Server as Way;
use delight_transport::socketio::{self, Options};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::Server;
use super::caller::log_in;
use crate::peer::Peer;
use crate::report::{Goal, Row};

/// Machines at one relay. The bench and the relay each need a descriptor for each.
const MACHINES: usize = 1_000;
/// Accounts they belong to.
const ACCOUNTS: usize = 10;

pub(crate) fn rows() -> Vec<Row> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // The relay inherits it.
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let server = Server::start();
    let relay = server.running().pid();
    let empty = kernel::private_memory(relay);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let way = Way::new(&server.url(), None, |_| None).unwrap();
    let (registered, connected, seconds) = runtime.block_on(async {
        let mut tokens = Vec::new();
        for _ in 0..ACCOUNTS {
            tokens.push(log_in(&way, &Link::of_new_account(&server.url())).await);
        }
        for (token, number) in machines(&tokens) {
            let http = Client::new(way.clone(), HttpOptions::default()).unwrap();
            http.set_token(Some(Token::new(token).unwrap()));
            // As long as what a machine says of itself is when sealed.
            let machine = json!({ "id": format!("m{number}"), "metadata": "x".repeat(644) });
            let _: Value = http.post("/v1/machines", &machine).await.unwrap();
        }
        let registered = kernel::private_memory(relay);
        let began = std::time::Instant::now();
        let mut open = Vec::with_capacity(MACHINES);
        for (token, number) in machines(&tokens) {
            let auth = json!({
                "token": token, "clientType": "machine-scoped", "machineId": format!("m{number}"),
            });
            let options = Options::new(way.clone(), Auth::new(&auth).unwrap());
            open.push(socketio::connect(options).await.unwrap());
        }
        let seconds = began.elapsed().as_secs_f64();
        let connected = kernel::private_memory(relay);
        assert!(open.iter().all(|(handle, _)| handle.ended().is_none()), "all of them live");
        (registered, connected, seconds)
    });
    let row = |metric: &str, unit, value| Row {
        metric: metric.to_owned(),
        unit,
        values: vec![(Peer::Delight, value)],
        goal: Goal::Told,
    };
    let each = connected.saturating_sub(registered) as f64 / MACHINES as f64 / 1024.0;
    vec![
        row("private memory of the relay, nobody there", "MB", empty as f64 / 1e6),
        row("the same with 1,000 machines connected", "MB", connected as f64 / 1e6),
        row("of that, for each connection", "KiB", each),
        row("machines connected one after the other", "/s", MACHINES as f64 / seconds),
    ]
}

/// Each machine's number and its account's token.
fn machines(tokens: &[String]) -> impl Iterator<Item = (&String, usize)> {
    (0..MACHINES).map(|number| (&tokens[number % tokens.len()], number))
}
