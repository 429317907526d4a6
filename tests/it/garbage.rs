//! What must never be believed: bytes from outside.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use delight_proto::api::MAX_LINE;
use delight_proto::api::envelope::Response;
use delight_proto::holder::frame::{MAX_PAYLOAD, header};
use delight_proto::holder::{Attach, FromHolder, ToHolder};
use delight_proto::refusal::Code;
use delight_proto::session::{Phase, Size};
use delight_tests::api::{Client, Line};
use delight_tests::attached::{Attached, controller, viewer};
use delight_tests::{Sandbox, kernel};

const HELLO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"client":"t","protocol":1}}"#;

/// Writes bytes to the control socket, ends its side, and returns the answers.
fn answers(sandbox: &Sandbox, bytes: &[u8]) -> Vec<Response> {
    let mut stream = UnixStream::connect(sandbox.place().control_socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    // The daemon may end the connection in the middle: then the rest is of no interest to it.
    let writing = std::thread::spawn({
        let bytes = bytes.to_vec();
        move || {
            let _ = writer.write_all(&bytes);
            let _ = writer.shutdown(Shutdown::Write);
        }
    });
    let mut all = Vec::new();
    // A reset after the answer is as good an end as any.
    let _ = stream.read_to_end(&mut all);
    writing.join().unwrap();
    let text = String::from_utf8(all).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn refusal(response: &Response) -> Option<Code> {
    response.error.as_ref().map(|error| {
        assert_eq!(error.code, error.data.code.number());
        assert!(!error.data.what.is_empty() && !error.data.reason.is_empty(), "{error:?}");
        error.data.code
    })
}

#[test]
fn garbage_on_the_control_socket_is_answered_and_survived() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut witness = sandbox.client();
    let id = witness.spawn(&["sleep", "1000"]).id;

    for (bytes, code) in [
        (&b"\n"[..], Code::BadRequest),
        (b"hello\n", Code::BadRequest),
        (b"[]\n", Code::BadRequest),
        (b"{}\n", Code::BadRequest),
        (b"\xff\xfe\x00\n", Code::BadRequest),
        (b"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"hello\"}\n", Code::BadRequest),
        (b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"hello\"}\n", Code::BadRequest),
    ] {
        let got = answers(&sandbox, bytes);
        let shown = String::from_utf8_lossy(bytes);
        // An empty line may be passed over in silence; anything else is told.
        if bytes != b"\n" {
            assert_eq!(got.first().and_then(refusal), Some(code), "{shown:?}");
            // Its number is given back where it could be read.
            assert_eq!(got[0].id, shown.contains("\"id\":1").then_some(1), "{shown:?}");
        }
    }

    let deep = format!("{}\n", "[".repeat(100_000));
    assert_eq!(refusal(&answers(&sandbox, deep.as_bytes())[0]), Some(Code::BadRequest));

    let unasked = b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"session.list\",\"params\":{}}\n";
    let got = answers(&sandbox, unasked);
    assert!(refusal(&got[0]).is_some(), "hello comes first: {got:?}");

    let lines = [
        HELLO,
        r#"{"jsonrpc":"2.0","id":2,"method":"no.such.method","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":3,"method":"session.get","params":{"session":7}}"#,
        r#"{"jsonrpc":"2.0","id":4,"method":"session.get"}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"session.spawn","params":{"cwd":"/","size":{"cols":0,"rows":5}}}"#,
        r#"{"jsonrpc":"2.0","id":6,"method":"session.spawn","params":{"cwd":"/","kind":"no-such-kind"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"session.send","params":{"session":"@last","data":"***"}}"#,
        "half a line that is never",
        r#"{"jsonrpc":"2.0","id":8,"method":"session.list","params":{}}"#,
    ];
    let mut got = answers(&sandbox, format!("{}\n", lines.join("\n")).as_bytes());
    got.sort_by_key(|answer| answer.id);
    let codes: Vec<_> = got.iter().map(|answer| (answer.id, refusal(answer))).collect();
    assert_eq!(
        codes,
        [
            (None, Some(Code::BadRequest)),
            (Some(1), None),
            (Some(2), Some(Code::UnknownMethod)),
            (Some(3), Some(Code::BadParams)),
            (Some(4), Some(Code::BadParams)),
            (Some(5), Some(Code::BadParams)),
            (Some(6), Some(Code::BadParams)),
            (Some(7), Some(Code::BadParams)),
            (Some(8), None),
        ]
    );

    assert_eq!(witness.get(id).phase, Phase::Running);
    assert_eq!(witness.list().len(), 1, "garbage made no session");
    assert!(kernel::alive(daemon.pid()));
}

#[test]
fn an_oversized_line_ends_its_connection_with_a_word() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let before = kernel::private_memory(daemon.pid());
    let mut bytes = HELLO.as_bytes().to_vec();
    bytes.push(b'\n');
    bytes.resize(bytes.len() + MAX_LINE * 3, b'x');
    let got = answers(&sandbox, &bytes);
    assert_eq!(got.last().and_then(refusal), Some(Code::TooLarge));
    let after = kernel::private_memory(daemon.pid());
    assert!(after < before + 2 * MAX_LINE as u64 + (8 << 20), "memory went from {before} to {after}");
    assert_eq!(sandbox.client().list().len(), 0);
}

#[test]
fn version_skew_is_told_in_both_directions() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let hello = |protocol: u32| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"hello","params":{{"client":"t","protocol":{protocol}}}}}"#
        ) + "\n"
    };
    let old = answers(&sandbox, hello(0).as_bytes());
    assert_eq!(refusal(&old[0]), Some(Code::VersionSkew));
    // A newer client is served with what both speak.
    let new = answers(&sandbox, hello(99).as_bytes());
    let result: serde_json::Value = serde_json::from_str(new[0].result.as_ref().unwrap().get()).unwrap();
    assert_eq!(result["protocol"], 1);
}

/// A subscriber that stops reading is told `lagged`, or dropped; it never makes the daemon grow.
#[test]
fn a_subscriber_that_does_not_read_costs_no_memory() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn(&["sleep", "1000"]).id;
    let mut lazy = sandbox.client();
    let subscribe = delight_proto::api::method::SubscribeParams { session: None };
    lazy.call::<delight_proto::api::method::Subscribe>(&subscribe).unwrap();
    let rename = |client: &mut Client, name: &str| {
        let params = delight_proto::api::method::RenameParams {
            session: id.to_string(),
            name: Some(name.parse().unwrap()),
        };
        client.call::<delight_proto::api::method::SessionRename>(&params).unwrap();
    };
    for n in 0..500 {
        rename(&mut client, &format!("warm-{n}"));
    }
    let before = kernel::private_memory(daemon.pid());
    for n in 0..3_000 {
        rename(&mut client, &format!("name-{n}"));
    }
    let after = kernel::private_memory(daemon.pid());
    assert!(after < before + (8 << 20), "memory went from {before} to {after}");
    // What it finds when it wakes up is the truth: a lag told, or the end of the connection.
    let mut lagged = false;
    loop {
        match lazy.read() {
            Ok(Line::Change(delight_proto::api::method::Change::Lagged { missed })) => {
                assert!(missed > 0);
                lagged = true;
                break;
            }
            Ok(Line::Change(delight_proto::api::method::Change::Session { session })) => {
                if session.name.as_ref().is_some_and(|name| name.as_str() == "name-2999") {
                    break;
                }
            }
            Ok(_) => {}
            Err(_) => {
                lagged = true;
                break;
            }
        }
    }
    println!("the subscriber {}", if lagged { "was told that it lags" } else { "got every change" });
}

/// A client that asks and never reads its answers is not allowed to fill the daemon.
#[test]
fn a_client_that_never_reads_answers_costs_no_memory() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    for _ in 0..20 {
        client.spawn(&["true"]);
    }
    let before = kernel::private_memory(daemon.pid());
    let mut stream = UnixStream::connect(sandbox.place().control_socket()).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let ask = r#"{"jsonrpc":"2.0","id":2,"method":"session.list","params":{}}"#;
    stream.write_all(format!("{HELLO}\n").as_bytes()).unwrap();
    let block = format!("{ask}\n").repeat(1_000);
    // It is held off (the write times out) or dropped; both are fine.
    for _ in 0..200 {
        if stream.write_all(block.as_bytes()).is_err() {
            break;
        }
    }
    let after = kernel::private_memory(daemon.pid());
    assert!(after < before + (24 << 20), "memory went from {before} to {after}");
    assert_eq!(client.list().len(), 20);
}

#[test]
fn garbage_on_a_holders_socket_ends_that_connection_only() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let view = sandbox.client().spawn_script("say ready; read; repeat");
    let mut good = sandbox.attach(view.id);
    good.hello(controller(Attach::Screen, Size::default()));
    good.output_until("ready");

    let mut too_large = header(0x03, 0, 0).to_vec();
    too_large[4..].copy_from_slice(&u32::try_from(MAX_PAYLOAD + 1).unwrap().to_le_bytes());
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        too_large,
        header(0x01, 0, 0).to_vec(),
        header(0x7f, 0, 0).to_vec(),
        [&header(0x01, 0, 2)[..], b"{}"].concat(),
    ] {
        let mut bad = sandbox.attach(view.id);
        // It may be dropped while it still talks.
        let _ = bad.send_raw(&bytes);
        let said = bad.until_closed();
        assert!(
            said.iter().all(|frame| matches!(frame, FromHolder::Refused(_))),
            "{bytes:.20?} was answered by {said:?}"
        );
    }
    // Commands before a hello, and commands of the daemon by somebody else, are refused.
    let mut bad = sandbox.attach(view.id);
    let _ = bad.send(&ToHolder::Close);
    bad.until_closed();
    let mut stranger = sandbox.attach(view.id);
    stranger.hello(viewer(Attach::Nothing));
    for frame in [ToHolder::Close, ToHolder::SignalTree { signal: 9 }] {
        stranger.send(&frame).unwrap();
        stranger.expect("a refusal", |frame| matches!(frame, FromHolder::Refused(_)).then_some(()));
    }

    good.input(b"still here\n");
    good.output_until("got: still here");
    assert_eq!(sandbox.client().get(view.id).pid, view.pid);
}

/// Half a hello, or none at all, must not hold a place for ever, nor keep others out.
#[test]
fn silent_connections_keep_nobody_out() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn_script("say ready; hang").id;
    let silent: Vec<Attached> = (0..20).map(|_| sandbox.attach(id)).collect();
    let mut half = sandbox.attach(id);
    half.send_raw(&header(0x01, 0, 100)).unwrap();
    let mut good = sandbox.attach(id);
    good.hello(viewer(Attach::Offset(0)));
    good.output_until("ready");
    let talkers: Vec<UnixStream> =
        (0..50).map(|_| UnixStream::connect(sandbox.place().control_socket()).unwrap()).collect();
    assert_eq!(sandbox.client().get(id).phase, Phase::Running);
    drop((silent, talkers));
}

/// A client that stops reading is left behind in the journal, not carried in memory; the child never waits for it.
#[test]
fn stalled_client_does_not_grow_rss() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let view = client.spawn_script("raw; say ready; read; lines 1000000; say finished; hang");
    let holder = view.holder.as_ref().unwrap().process.pid;
    let mut stalled = sandbox.attach(view.id);
    stalled.hello(viewer(Attach::Offset(0)));
    let mut starter = sandbox.attach(view.id);
    starter.hello(controller(Attach::Screen, Size::default()));
    starter.output_until("ready");
    let before = kernel::private_memory(holder);
    starter.input(b"\n");
    drop(starter);
    client.until_output_tail(view.id, "finished");
    let after = kernel::private_memory(holder);
    assert!(after < before + (2 << 20), "11 MB went by; the holder's memory went from {before} to {after}");
    // The sleeper wakes up and gets everything, in order, once.
    let (mut next, mut lines) = (0u64, 0u64);
    while lines < 1_000_001 {
        match stalled.frame().unwrap() {
            FromHolder::Output { offset, bytes } => {
                assert_eq!(offset, next);
                next += bytes.len() as u64;
                lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            }
            FromHolder::Lost { from, to } => panic!("{from}..{to} is lost"),
            _ => {}
        }
    }
}
