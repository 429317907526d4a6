//! The server against bad, slow and vanishing clients. The supervisor behind it is real; sessions are not needed.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use delight_proto::api::MAX_LINE;
use delight_proto::api::envelope::Response;
use serde_json::json;

use super::*;
use crate::testing::Rig;

/// A daemon's API on a thread of its own; ends with the test.
struct Server {
    _base: tempfile::TempDir,
    socket: PathBuf,
    end: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// One whose sessions cannot start.
    fn start() -> Self {
        Self::with_holder("/nonexistent/delight-holder".into())
    }

    fn with_holder(program: PathBuf) -> Self {
        let base = tempfile::tempdir().unwrap();
        let place = Place {
            state: base.path().join("s"),
            runtime: base.path().join("r"),
            config: base.path().join("c"),
        };
        let socket = place.control_socket();
        let (end, ending) = watch::channel(false);
        let (up, is_up) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let Rig { store, daemon, supervisor, .. } =
                    Rig::start(&place, program, std::iter::empty(), None, 8).await;
                let (listener, _file) = listener::bind(&place.control_socket()).unwrap();
                up.send(()).unwrap();
                serve(listener, daemon, ending).await;
                supervisor.abort();
                store.close().await;
            });
        });
        is_up.recv().unwrap();
        Self { _base: base, socket, end, thread: Some(thread) }
    }

    fn connect(&self) -> Client {
        let stream = UnixStream::connect(&self.socket).unwrap();
        // A test that would wait for ever fails instead.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { read: BufReader::new(stream.try_clone().unwrap()), write: stream }
    }

    fn client(&self) -> Client {
        let mut client = self.connect();
        client.ask(0, "hello", &json!({"client": "test", "protocol": 1}));
        assert!(client.answer().result.is_some());
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Also when the test has failed: no session outlives it.
        let mut last = self.client();
        last.ask(1, "daemon.stop", &json!({"stop_sessions": true}));
        let mut answer = String::new();
        let _ = last.read.read_line(&mut answer);
        let _ = self.end.send(true);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}

struct Client {
    read: BufReader<UnixStream>,
    write: UnixStream,
}

impl Client {
    fn say(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).unwrap();
    }

    fn ask(&mut self, id: u64, method: &str, params: &serde_json::Value) {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.say(format!("{line}\n").as_bytes());
    }

    fn answer(&mut self) -> Response {
        let mut line = String::new();
        self.read.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn refusal(&mut self) -> (Option<u64>, Refusal) {
        let answer = self.answer();
        (answer.id, answer.error.expect("a refusal").data)
    }

    /// Everything until the server closes the connection.
    fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.read.read_to_end(&mut rest).unwrap();
        rest
    }
}

use delight_proto::refusal::Code;

#[test]
fn garbage_is_refused_and_the_connection_goes_on() {
    let server = Server::start();
    let mut client = server.client();
    for garbage in
        [&b"nonsense\n"[..], b"\xff\xfe\x00\n", b"\n", b"[]\n", b"{\"id\":3}\n", b"{\"jsonrpc\":\"2.0\"}\n"]
    {
        client.say(garbage);
        assert_eq!(client.refusal().1.code, Code::BadRequest, "{garbage:?}");
    }
    client.ask(9, "no.such", &json!({}));
    let (id, refusal) = client.refusal();
    assert_eq!((id, refusal.code), (Some(9), Code::UnknownMethod));
    client.ask(10, "session.get", &json!({"session": 5}));
    let (_, refusal) = client.refusal();
    assert_eq!(refusal.code, Code::BadParams);
    assert!(refusal.reason.starts_with("session: "), "{}", refusal.reason);
    client.ask(11, "session.list", &json!({}));
    assert!(client.answer().result.is_some());
}

#[test]
fn hello_comes_first_and_once() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask(1, "session.list", &json!({}));
    assert_eq!(client.refusal().1.code, Code::BadRequest);
    client.ask(2, "hello", &json!({"client": "old", "protocol": 0}));
    assert_eq!(client.refusal().1.code, Code::VersionSkew);
    client.ask(3, "hello", &json!({"client": "new", "protocol": 99}));
    let result = client.answer().result.unwrap();
    let hello: delight_proto::api::method::HelloResult = serde_json::from_str(result.get()).unwrap();
    assert_eq!(hello.protocol, delight_proto::api::PROTOCOL);
    assert!(["fake", "pty"].iter().all(|kind| hello.kinds.iter().any(|k| k == kind)), "{:?}", hello.kinds);
    client.ask(4, "hello", &json!({"client": "again", "protocol": 1}));
    assert_eq!(client.refusal().1.code, Code::BadRequest);
}

#[test]
fn an_oversized_line_is_refused_and_ends_the_connection() {
    let server = Server::start();
    let mut client = server.client();
    let piece = vec![b'x'; 1 << 16];
    // The server may close before all of it is written: that is what is tested.
    for _ in 0..=MAX_LINE / piece.len() + 2 {
        if client.write.write_all(&piece).is_err() {
            break;
        }
    }
    assert_eq!(client.refusal().1.code, Code::TooLarge);
    // Unread bytes make the end a reset; both are an end.
    let mut rest = Vec::new();
    let _ = client.read.read_to_end(&mut rest);
    assert!(rest.is_empty());
    assert!(server.client().write.peer_addr().is_ok(), "others are served");
}

#[test]
fn a_half_sent_request_is_dropped_and_answers_still_come() {
    let server = Server::start();
    let mut client = server.client();
    client.ask(1, "daemon.status", &json!({}));
    client.say(b"{\"jsonrpc\":\"2.0\",\"id\":2,\"meth");
    client.write.shutdown(std::net::Shutdown::Write).unwrap();
    let rest = client.rest();
    assert_eq!(rest.iter().filter(|byte| **byte == b'\n').count(), 1, "one answer");
    assert!(String::from_utf8(rest).unwrap().contains("state_dir"));
}

#[test]
fn requests_cut_anywhere_are_understood() {
    let server = Server::start();
    let mut client = server.client();
    let line = b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"session.list\",\"params\":{}}\r\n";
    for cut in 0..line.len() {
        client.say(&line[..cut]);
        client.say(&line[cut..]);
        assert_eq!(client.answer().id, Some(5));
    }
}

#[test]
fn pipelined_requests_are_all_answered() {
    let server = Server::start();
    let mut client = server.client();
    let count = 3 * delight_proto::api::MAX_IN_FLIGHT as u64;
    let mut write = client.write.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for id in 0..count {
            let method = if id % 2 == 0 { "session.list" } else { "daemon.status" };
            write
                .write_all(
                    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}\n").as_bytes(),
                )
                .unwrap();
        }
    });
    let mut seen: Vec<u64> = (0..count).map(|_| client.answer().id.unwrap()).collect();
    writer.join().unwrap();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..count), "each exactly once");
}

#[test]
fn a_client_that_does_not_read_is_not_read_either_and_harms_nobody() {
    let server = Server::start();
    let slow = server.client();
    slow.write.set_nonblocking(true).unwrap();
    let line = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}\n";
    let mut sent = 0;
    let mut stalled = None;
    let mut write = slow.write.try_clone().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    // The bound shows as the server's refusal to take more: the socket stays full while another client is served.
    while stalled.is_none_or(|at| sent != at) {
        assert!(std::time::Instant::now() < deadline, "the server takes requests without end");
        stalled = Some(sent);
        while let Ok(n) = write.write(line) {
            sent += n;
        }
        let mut other = server.client();
        for id in 0..200 {
            other.ask(id, "daemon.status", &json!({}));
            assert_eq!(other.answer().id, Some(id));
        }
    }
    assert!(sent / line.len() > delight_proto::api::MAX_IN_FLIGHT / 2, "it was served until it did not read");
}

#[test]
fn a_second_subscription_of_a_connection_is_refused() {
    let server = Server::start();
    let mut client = server.client();
    client.ask(1, "subscribe", &json!({}));
    assert!(client.answer().result.is_some());
    client.ask(2, "subscribe", &json!({}));
    assert_eq!(client.refusal().1.code, Code::Conflict);
}

#[test]
fn a_spawn_that_cannot_start_names_no_session_as_started_and_tells_subscribers() {
    let server = Server::start();
    let mut watcher = server.client();
    watcher.ask(1, "subscribe", &json!({}));
    watcher.answer();
    let mut client = server.client();
    client.ask(1, "session.spawn", &json!({"cwd": "/"}));
    let answer = client.answer();
    assert!(answer.result.is_none());
    let refusal = answer.error.unwrap().data;
    assert_eq!(refusal.code, Code::StartFailed);
    assert!(refusal.reason.contains("delight-holder"), "{refusal}");
    let mut line = String::new();
    while !line.contains("failed") {
        line.clear();
        assert!(watcher.read.read_line(&mut line).unwrap() > 0);
        assert!(line.contains("\"method\":\"change\""), "{line}");
    }
    client.ask(2, "session.spawn", &json!({"cwd": "relative"}));
    assert_eq!(client.refusal().1.code, Code::BadParams);
}

#[test]
fn waiters_that_hang_up_make_room_again() {
    let server = Server::with_holder(crate::testing::holder_program());
    let mut client = server.client();
    client.ask(1, "session.spawn", &json!({"cwd": "/", "name": "x", "command": ["sleep", "1000"]}));
    assert!(client.answer().result.is_some());
    let never = json!({"session": "x", "phases": ["failed"]});
    let mut waiting = server.client();
    for id in 0..100 {
        waiting.ask(id, "session.wait", &never);
    }
    let busy = waiting.refusal().1.code == Code::Busy;
    drop(waiting);
    assert!(busy, "waiters are bounded");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        client.ask(2, "session.wait", &json!({"session": "x", "phases": ["failed"], "timeout_ms": 1}));
        match client.refusal().1.code {
            Code::Timeout => break,
            code => assert_eq!(code, Code::Busy),
        }
        assert!(std::time::Instant::now() < deadline, "their room never comes back");
    }
    client.ask(9, "session.stop", &json!({"session": "x", "kill": true}));
    assert!(client.answer().result.is_some());
}

#[test]
fn a_wait_ends_in_its_own_time() {
    let server = Server::with_holder(crate::testing::holder_program());
    let mut client = server.client();
    client.ask(1, "session.spawn", &json!({"cwd": "/", "name": "x", "command": ["sleep", "1000"]}));
    assert!(client.answer().result.is_some());
    let began = std::time::Instant::now();
    client.ask(2, "session.wait", &json!({"session": "x", "phases": ["failed"], "timeout_ms": 2300}));
    let (_, refusal) = client.refusal();
    assert_eq!(refusal.code, Code::Timeout);
    assert!(began.elapsed() >= Duration::from_millis(2_295));
    client.ask(3, "session.wait", &json!({"session": "x", "phases": ["running"]}));
    assert!(client.answer().result.is_some());
    client.ask(9, "session.stop", &json!({"session": "x", "kill": true}));
    assert!(client.answer().result.is_some());
}
