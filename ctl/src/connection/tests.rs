use super::*;
use delight_proto::api::envelope::Request;
use std::os::unix::net::UnixListener;

/// Serves one connection: reads `lines` lines, then writes `answer` and closes.
fn daemon(
    lines: usize,
    answer: &str,
) -> (tempfile::TempDir, std::path::PathBuf, std::thread::JoinHandle<String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let answer = answer.to_owned();
    let handle = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = String::new();
        let mut byte = [0u8; 1];
        while got.matches('\n').count() < lines {
            stream.read_exact(&mut byte).unwrap();
            got.push(char::from(byte[0]));
        }
        stream.write_all(answer.as_bytes()).unwrap();
        got
    });
    (dir, path, handle)
}

const GREETING: &str =
    r#"{"jsonrpc":"2.0","id":0,"result":{"protocol":1,"version":"1","pid":1,"methods":[],"kinds":["pty"]}}"#;

#[test]
fn greeting_travels_with_the_first_request_and_answers_may_come_in_any_order() {
    let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"sessions\":[]}}}}\n{GREETING}\n");
    let (_dir, path, handle) = daemon(2, &text);
    let mut connection = Connection::open(&path).unwrap();
    let list = connection.call::<method::SessionList>(&method::Empty {}).unwrap();
    assert!(list.sessions.is_empty());
    assert_eq!(connection.hello().unwrap().kinds, ["pty"]);
    let got = handle.join().unwrap();
    let numbers: Vec<u64> = got.lines().map(|l| serde_json::from_str::<Request>(l).unwrap().id).collect();
    assert_eq!(numbers, [HELLO, 1]);
}

#[test]
fn refusal_keeps_code_and_fix() {
    let text = format!(
        "{GREETING}\n{}\n",
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32003,"message":"m","data":{"code":"not-found","what":"w","reason":"r","fix":"f"}}}"#
    );
    let (_dir, path, handle) = daemon(2, &text);
    let mut connection = Connection::open(&path).unwrap();
    let failure = connection.call::<method::SessionList>(&method::Empty {}).unwrap_err();
    assert_eq!(failure.status(), 3);
    handle.join().unwrap();
}

#[test]
fn end_before_the_answer_is_unreachable_not_success() {
    let (_dir, path, handle) = daemon(2, &format!("{GREETING}\n"));
    let mut connection = Connection::open(&path).unwrap();
    let failure = connection.call::<method::SessionList>(&method::Empty {}).unwrap_err();
    assert_eq!(failure.code(), Some(Code::DaemonUnreachable));
    handle.join().unwrap();
}

#[test]
fn garbage_is_version_skew() {
    let (_dir, path, handle) = daemon(2, "HTTP/1.1 400 Bad Request\n");
    let mut connection = Connection::open(&path).unwrap();
    assert_eq!(connection.call::<method::SessionList>(&method::Empty {}).unwrap_err().status(), 9);
    handle.join().unwrap();
}

#[test]
fn nobody_there() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Connection::open(&dir.path().join("none")), Err(NoConnection::NobodyThere(_))));
    let stale = dir.path().join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(matches!(Connection::open(&stale), Err(NoConnection::NobodyThere(_))));
}
