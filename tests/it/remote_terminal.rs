//! What a terminal from afar is made of: the screen, output one waits for, and input that is written once.

use std::num::NonZero;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::api::method::{
    OutputBody, OutputFrom, OutputParams, ResizeParams, SendParams, SessionOutput, SessionResize,
    SessionScreen, SessionSend, SessionStop, StopParams,
};
use delight_proto::id::SessionId;
use delight_proto::refusal::Code;
use delight_proto::session::Size;
use delight_tests::Sandbox;
use delight_tests::api::{Client, Line, one, output_of};

fn output(id: SessionId, from: OutputFrom, wait_ms: u32) -> OutputParams {
    OutputParams { session: id.to_string(), from, max_bytes: 64 << 10, input: false, wait_ms }
}

fn typed(id: SessionId, text: &str, key: Option<&str>) -> SendParams {
    let request_id = key.map(|key| key.parse().unwrap());
    SendParams { session: id.to_string(), data: BASE64_STANDARD.encode(text), request_id }
}

fn side(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap()
}

/// The offset after everything there is.
fn end(client: &mut Client, id: SessionId) -> OutputFrom {
    client.call::<SessionOutput>(&output(id, OutputFrom::Tail(0), 0)).unwrap().next
}

/// Polling costs a round trip of the whole way for every look, and shows each key late.
#[test]
fn output_is_waited_for_and_comes_when_it_is_there() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let (mut client, mut other) = (sandbox.client(), sandbox.client());
    let id = client.spawn(&["cat"]).id;
    let mut from = end(&mut client, id);
    for word in ["one", "two", "three"] {
        let asked = client.send::<SessionOutput>(&output(id, from, 25_000)).unwrap();
        other.call::<SessionSend>(&typed(id, &format!("{word}\n"), None)).unwrap();
        let mut heard = String::new();
        let mut found = client.answer_to::<SessionOutput>(asked).unwrap().unwrap();
        loop {
            assert!(!found.records.is_empty(), "answered without anything");
            from = found.next;
            heard.push_str(&String::from_utf8(output_of(found.records)).unwrap());
            // Once as echo, once by cat.
            if heard.matches(word).count() == 2 {
                break;
            }
            found = client.call::<SessionOutput>(&output(id, from, 25_000)).unwrap();
        }
    }
    let asked = client.send::<SessionOutput>(&output(id, from, 25_000)).unwrap();
    other.call::<SessionStop>(&StopParams { session: id.to_string(), kill: true, grace_ms: None }).unwrap();
    let mut found = client.answer_to::<SessionOutput>(asked).unwrap().unwrap();
    while !found.records.iter().any(|record| matches!(record.body, OutputBody::Exited { .. })) {
        assert!(!found.records.is_empty(), "the end is not told");
        found = client.call::<SessionOutput>(&output(id, found.next, 25_000)).unwrap();
    }
    let begun = Instant::now();
    let after = client.call::<SessionOutput>(&output(id, found.next, 25_000)).unwrap();
    assert!(after.records.is_empty() && after.at_end);
    assert!(begun.elapsed() < Duration::from_secs(20), "an ended session is not waited for");
}

#[test]
fn a_wait_without_output_ends_in_its_time_and_keeps_the_place() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn(&["cat"]).id;
    let from = end(&mut client, id);
    let begun = Instant::now();
    let found = client.call::<SessionOutput>(&output(id, from, 300)).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(found.records.is_empty() && found.at_end);
    client.call::<SessionSend>(&typed(id, "later\n", None)).unwrap();
    client.until_output(id, "later");
    let found = client.call::<SessionOutput>(&output(id, found.next, 0)).unwrap();
    assert!(String::from_utf8(output_of(found.records)).unwrap().starts_with("later"));
}

/// The picture and the output after it are all there is: nothing twice, nothing missing.
#[test]
fn the_screen_is_drawn_and_output_goes_on_where_it_ends() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn(&["sh", "-c", "printf 'gone\\033[2J\\033[H\\033[1mshown'; exec cat"]).id;
    client.until_output(id, "shown");
    let size = Size { cols: 40, rows: 6 };
    client.call::<SessionResize>(&ResizeParams { session: id.to_string(), size }).unwrap();
    let screen = client.call::<SessionScreen>(&one(id)).unwrap();
    assert_eq!(screen.size, size);
    let mut emulator = vt100::Parser::new(side(size.rows), side(size.cols), 0);
    emulator.process(&BASE64_STANDARD.decode(&screen.data).unwrap());
    assert_eq!(emulator.screen().contents().trim_end(), "shown");
    assert!(emulator.screen().cell(0, 0).unwrap().bold());
    client.call::<SessionSend>(&typed(id, "after\n", None)).unwrap();
    let mut from = OutputFrom::Offset(screen.offset);
    delight_tests::until("cat has answered", || {
        let found = client.call::<SessionOutput>(&output(id, from, 1_000)).unwrap();
        from = found.next;
        emulator.process(&output_of(found.records));
        emulator.screen().contents().matches("after").count() == 2
    });
    let stop = StopParams { session: id.to_string(), kill: true, grace_ms: None };
    client.call::<SessionStop>(&stop).unwrap();
    delight_tests::until("the holder has gone", || {
        client.call::<SessionScreen>(&one(id)).is_err_and(|refusal| refusal.code == Code::WrongState)
    });
}

/// A call that is repeated because its answer was lost must not type twice.
#[test]
fn input_with_a_key_is_written_once() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn(&["sh", "-c", "stty -echo; echo ready; exec cat"]).id;
    client.until_output(id, "ready");
    for _ in 0..50 {
        client.send::<SessionSend>(&typed(id, "once\n", Some("key-1"))).unwrap();
    }
    for _ in 0..50 {
        let Line::Answer(answer) = client.read().unwrap() else { panic!("nobody subscribed") };
        assert_eq!(answer.result.unwrap().get(), r#"{"bytes":5}"#);
    }
    client.call::<SessionSend>(&typed(id, "last\n", Some("key-2"))).unwrap();
    client.until_output(id, "last");
    let all = String::from_utf8(client.output(id)).unwrap();
    assert_eq!((all.matches("once").count(), all.matches("last").count()), (1, 1), "{all:?}");
}
