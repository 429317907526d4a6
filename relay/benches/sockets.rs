//! What connected machines cost: memory for each socket, idle CPU, and how fast calls and messages go through.
//!
//! `cargo bench -p delight-relay`; the numbers are this machine's and go to standard output.

// A bench prints, and ends where it cannot go on.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const MACHINES: usize = 1_000;
const CALLS: usize = 5_000;
const MESSAGES: usize = 5_000;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A field of `/proc/PID/status`, kB.
fn memory(child: &Child, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time used so far, in clock ticks of 10 ms.
fn ticks(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

async fn connect(address: &str, auth: &Value) -> Socket {
    let url = format!("ws://{address}/v1/updates/?EIO=4&transport=websocket");
    let config = tokio_tungstenite::tungstenite::protocol::WebSocketConfig::default().read_buffer_size(4_096);
    let (mut socket, _) =
        tokio_tungstenite::connect_async_with_config(url, Some(config), true).await.unwrap();
    socket.send(Message::text(format!("40{auth}"))).await.unwrap();
    wait(&mut socket, "40").await;
    socket
}

async fn wait(socket: &mut Socket, prefix: &str) -> String {
    loop {
        let Some(Ok(Message::Text(text))) = socket.next().await else { panic!("the connection ended") };
        if text.as_str() == "2" {
            socket.send(Message::text("3")).await.unwrap();
        } else if text.starts_with(prefix) {
            return text.as_str().to_owned();
        }
    }
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that this builds.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_delight-relay"))
        .args(["--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();

    let key = SigningKey::from_bytes(&[1; 32]);
    let challenge = b"a challenge of the bench";
    tokio_rustls::rustls::crypto::ring::default_provider().install_default().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let proof = json!({
        "publicKey": STANDARD.encode(key.verifying_key().as_bytes()), "challenge": STANDARD.encode(challenge),
        "signature": STANDARD.encode(key.sign(challenge).to_bytes()),
    });
    let base = format!("http://{address}");
    let answer: Value =
        http.post(format!("{base}/v1/auth")).json(&proof).send().await.unwrap().json().await.unwrap();
    let token = answer["token"].as_str().unwrap().to_owned();

    println!("empty: {} kB RSS, {} threads", memory(&child, "VmRSS"), memory(&child, "Threads"));
    let mut machines = Vec::new();
    for number in 0..MACHINES {
        let machine = json!({ "id": format!("m{number}"), "metadata": "x".repeat(644) });
        http.post(format!("{base}/v1/machines")).bearer_auth(&token).json(&machine).send().await.unwrap();
    }
    let before_connecting = memory(&child, "VmRSS");
    println!("{MACHINES} machines registered: {before_connecting} kB RSS");
    let begun = Instant::now();
    for number in 0..MACHINES {
        let auth =
            json!({ "token": token, "clientType": "machine-scoped", "machineId": format!("m{number}") });
        machines.push(connect(&address, &auth).await);
    }
    let after = memory(&child, "VmRSS");
    println!(
        "{MACHINES} machines: connected in {:.2} s; {after} kB RSS, {:.1} kB each",
        begun.elapsed().as_secs_f64(),
        (after - before_connecting) as f64 / MACHINES as f64
    );
    for (number, machine) in machines.iter_mut().enumerate() {
        for method in 0..17 {
            let frame = json!(["rpc-register", { "method": format!("m{number}:method-{method}") }]);
            machine.feed(Message::text(format!("42{frame}"))).await.unwrap();
        }
        machine.flush().await.unwrap();
        for _ in 0..17 {
            wait(machine, "42").await;
        }
    }
    let registered = memory(&child, "VmRSS");
    println!(
        "with 17 methods each: {registered} kB RSS, {:.1} kB each",
        (registered - before_connecting) as f64 / MACHINES as f64
    );

    let mut caller = connect(&address, &json!({ "token": token })).await;
    let mut provider = machines.pop().unwrap();
    let method = format!("m{}:method-0", MACHINES - 1);
    let answering = tokio::spawn(async move {
        for _ in 0..CALLS {
            let asked = wait(&mut provider, "42").await;
            let digits: String = asked[2..].chars().take_while(char::is_ascii_digit).collect();
            provider.send(Message::text(format!("43{digits}[\"ok\"]"))).await.unwrap();
        }
        provider
    });
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    for number in 0..CALLS {
        let one = Instant::now();
        let frame = json!(["rpc-call", { "method": method, "params": "x".repeat(200) }]);
        caller.send(Message::text(format!("42{number}{frame}"))).await.unwrap();
        wait(&mut caller, "43").await;
        slowest = slowest.max(one.elapsed());
    }
    let total = begun.elapsed();
    println!(
        "calls, one after another: {:.0} a second, mean {:.0} µs, slowest {:.1} ms",
        CALLS as f64 / total.as_secs_f64(),
        total.as_secs_f64() * 1e6 / CALLS as f64,
        slowest.as_secs_f64() * 1e3
    );
    machines.push(answering.await.unwrap());

    let session: Value = http
        .post(format!("{base}/v1/sessions"))
        .bearer_auth(&token)
        .json(&json!({ "tag": "t", "metadata": "x" }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let sid = session["session"]["id"].as_str().unwrap().to_owned();
    let mut reader = connect(&address, &json!({ "token": token })).await;
    // A socket that has not used any of what its event limit lets it do at once.
    let mut caller = connect(&address, &json!({ "token": token })).await;
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let frame =
                json!(["message", { "sid": sid, "message": "x".repeat(400), "localId": number.to_string() }]);
            caller.send(Message::text(format!("42{frame}"))).await.unwrap();
        }
        caller
    });
    let mut seen = 0;
    while seen < MESSAGES {
        if wait(&mut reader, "42").await.contains("new-message") {
            seen += 1;
        }
    }
    println!(
        "messages of 400 B, durable and delivered, from one socket: {:.0} a second",
        MESSAGES as f64 / begun.elapsed().as_secs_f64()
    );
    drop((sending.await.unwrap(), reader));

    let (ticks_before, begun) = (ticks(&child), Instant::now());
    let beating = async {
        for (number, machine) in machines.iter_mut().enumerate() {
            let frame = json!(["machine-alive", { "machineId": format!("m{number}"), "time": 0 }]);
            machine.send(Message::text(format!("42{frame}"))).await.unwrap();
        }
        // Answers pings for as long as this lasts.
        let reading = machines.iter_mut().map(|machine| async move {
            loop {
                wait(machine, "never").await;
            }
        });
        futures_util::future::join_all(reading).await;
    };
    drop(tokio::time::timeout(Duration::from_secs(20), beating).await);
    println!(
        "idle with {MACHINES} machines, a heartbeat each: {:.2} % of a core",
        (ticks(&child) - ticks_before) as f64 / begun.elapsed().as_secs_f64()
    );
    println!("at the end: {} kB RSS, peak {} kB", memory(&child, "VmRSS"), memory(&child, "VmHWM"));
    child.kill().unwrap();
    child.wait().unwrap();
}
