//! Measures the Socket.IO client on loopback:
//! `cargo run --release -p delight-transport --example measure [CONNECTIONS [SERVER-URL]]`.
//!
//! Round trips both ways, memory of idle connections, CPU of idle connections. The server is a process of its own, so
//! that the figures are the client's alone; another one may be named when it answers `echo` and `call-me` as `serve`
//! does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench ends at the first fault"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use delight_transport::secret::Auth;
use delight_transport::server::Server;
use delight_transport::socketio::{Args, Events, Handle, Options, connect};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};

const LIMIT: Duration = Duration::from_secs(30);
const CALLS: usize = 50_000;
const AT_ONCE: usize = 64;
const IDLE: Duration = Duration::from_secs(60);

fn main() {
    let mut args = std::env::args().skip(1);
    let idle = args.next().unwrap_or_else(|| "1000".into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if idle == "serve" {
        return runtime.block_on(serve());
    }
    let idle = idle.parse().unwrap();
    if let Some(base) = args.next() {
        return runtime.block_on(measure(&base, idle));
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut base = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut base).unwrap();
    runtime.block_on(measure(base.trim(), idle));
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn serve() {
    let (layer, io) = SocketIo::builder()
        .req_path("/v1/updates")
        .ping_interval(Duration::from_secs(15))
        .ping_timeout(Duration::from_secs(45))
        .max_buffer_size(4096)
        .build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("echo", async |ack: AckSender, Data::<Value>(value)| {
            ack.send(&value).unwrap();
        });
        // Calls the client so many times, and tells how long that took.
        socket.on("call-me", async |socket: SocketRef, ack: AckSender, Data::<usize>(calls)| {
            let began = Instant::now();
            let mut running = FuturesUnordered::new();
            let params = json!({"method": "m:ping", "params": "x".repeat(100)});
            for _ in 0..calls {
                if running.len() == AT_ONCE {
                    let _: Option<Result<Value, _>> = running.next().await;
                }
                running.push(socket.emit_with_ack::<_, Value>("rpc-request", &params).unwrap());
            }
            while let Some(answer) = running.next().await {
                answer.unwrap();
            }
            ack.send(&(began.elapsed().as_secs_f64())).unwrap();
        });
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    axum::serve(listener, axum::Router::new().layer(layer)).await.unwrap();
}

async fn open(base: &str) -> (Handle, Events) {
    let server = Server::new(base, None, |_| None).unwrap();
    connect(Options::new(server, Auth::new(&json!({"token": "t"})).unwrap())).await.unwrap()
}

async fn measure(base: &str, idle: usize) {
    let (began, before) = (Instant::now(), resident());
    let secure = Server::new("https://relay.example", None, |_| None).unwrap();
    println!("the system's trust store: {:?}, {} KiB", began.elapsed(), resident() - before);
    drop(secure);
    let began = Instant::now();
    let (handle, mut events) = open(base).await;
    println!("connect: {:?}", began.elapsed());
    let args = Args::one(&json!({"method": "m:ping", "params": "x".repeat(100)})).unwrap();

    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..5_000 {
        let began = Instant::now();
        handle.emit_with_ack("echo", &args, LIMIT).await.unwrap();
        took.push(began.elapsed());
    }
    took.sort_unstable();
    println!("one round trip: p50 {:?}, p99 {:?}", took[2_500], took[4_950]);

    let (began, cpu) = (Instant::now(), cpu());
    let mut running = FuturesUnordered::new();
    for _ in 0..CALLS {
        if running.len() == AT_ONCE {
            let answer: Option<Result<_, _>> = running.next().await;
            answer.unwrap().unwrap();
        }
        running.push(handle.emit_with_ack("echo", &args, LIMIT));
    }
    while let Some(answer) = running.next().await {
        answer.unwrap();
    }
    drop(running);
    report("our calls, 64 at once", began.elapsed(), cpu);

    let cpu_before = self::cpu();
    let calls = Args::one(&CALLS).unwrap();
    let whole = handle.emit_with_ack("call-me", &calls, LIMIT);
    let answering = async {
        let answer = Args::one("sealed").unwrap();
        while let Ok(event) = events.next().await {
            event.ack.unwrap().send(&answer).await.unwrap();
        }
    };
    let seconds: f64 = tokio::select! {
        seconds = whole => seconds.unwrap().first().unwrap(),
        () = answering => return,
    };
    report("the server's calls, 64 at once", Duration::from_secs_f64(seconds), cpu_before);

    drop((handle, events));
    let before = resident();
    let mut held = Vec::with_capacity(idle);
    for _ in 0..idle {
        held.push(open(base).await);
    }
    let after = resident();
    let each = after.saturating_sub(before) as f64 / idle as f64;
    println!("{idle} idle connections: {before} KiB before, {after} KiB after: {each:.1} KiB each");

    // Pings come every 15 s: they are all an idle connection does.
    let cpu = self::cpu();
    tokio::time::sleep(IDLE).await;
    let used = self::cpu() - cpu;
    println!("{idle} idle connections for {IDLE:?}: {used:?} of CPU; {} KiB then", resident());
    assert!(held.iter().all(|(handle, _)| handle.ended().is_none()), "all of them live");
}

fn report(what: &str, took: Duration, cpu_before: Duration) {
    let rate = CALLS as f64 / took.as_secs_f64();
    let each = (cpu() - cpu_before).as_secs_f64() * 1e6 / CALLS as f64;
    println!("{what}: {rate:.0} acknowledgements/s, {each:.1} µs of our CPU each");
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// CPU time this process has used, to the microsecond or so.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
