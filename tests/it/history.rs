//! What was printed can be had again: logs, recordings, and the truth about what is gone.

use delight_proto::api::method::{OutputBody, OutputFrom, OutputParams, SessionOutput, SessionSpawn};
use delight_proto::session::Size;
use delight_tests::api::spawn;
use delight_tests::{Sandbox, until};
use serde_json::Value;

/// "It said it kept everything": when retention has dropped output, the history says where it starts.
#[test]
fn retention_is_told_truthfully() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let agent = delight_tests::binaries::program("delight-fake-agent");
    let mut params = spawn(&[agent.to_str().unwrap(), "--script", "raw; lines 1000000; say finished; hang"]);
    params.retain_bytes = Some(2 << 20);
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    client.until_output_tail(id, "finished");
    let end = 11_000_000 + "finished\n".len() as u64;
    let first = |client: &mut delight_tests::api::Client| {
        let from = OutputFrom::Offset(0);
        let params =
            OutputParams { session: id.to_string(), from, max_bytes: 4096, input: false, wait_ms: 0 };
        client.call::<SessionOutput>(&params).unwrap()
    };
    let piece = first(&mut client);
    assert!(piece.start_offset > 0 && piece.end_offset == end, "{} {}", piece.start_offset, piece.end_offset);
    assert!(end - piece.start_offset <= 4 << 20, "2 MiB were to be kept, {} are", end - piece.start_offset);
    assert!(end - piece.start_offset >= 1 << 20, "2 MiB were to be kept, {} are", end - piece.start_offset);
    // What is gone is told as a loss, and history begins where it says.
    assert_eq!(piece.records[0].body, OutputBody::Lost { bytes: piece.start_offset });
    assert_eq!(piece.records[1].offset, piece.start_offset);
    // What is kept is the right end of the whole.
    let kept = client.output(id);
    assert_eq!(kept.len() as u64, end - piece.start_offset);
    for (at, byte) in (piece.start_offset..11_000_000).zip(&kept) {
        let line = format!("{:010}\n", at / 11 + 1);
        assert_eq!(*byte, line.as_bytes()[usize::try_from(at % 11).unwrap()], "byte {at}");
    }
    // On disk it is no more than that, plus the record headers.
    let journal = sandbox.place().session(id).join("journal");
    let size: u64 =
        std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 5 << 20, "{size} bytes on disk");
    // A person is told as well, and the same is true for the next daemon.
    let logs = sandbox.ctl(["logs", id.as_str()]).ok();
    assert!(logs.stderr.contains(&piece.start_offset.to_string()), "{}", logs.stderr);
    assert_eq!(logs.stdout_bytes, kept);
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    assert_eq!(first(&mut client).start_offset, piece.start_offset);
    let from = OutputFrom::Offset(0);
    let params = OutputParams { session: id.to_string(), from, max_bytes: 1, input: false, wait_ms: 0 };
    assert_eq!(client.call::<SessionOutput>(&params).unwrap().end_offset, end);
}

#[test]
fn logs_are_the_bytes_that_were_printed() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script(r"raw; print \e[31mred\e[0m \xff\x00 é\r\nlast\r\n; exit 0").id;
    client.wait(id, &[]);
    let bytes = b"\x1b[31mred\x1b[0m \xff\x00 \xc3\xa9\r\nlast\r\n";
    assert_eq!(sandbox.ctl(["logs", id.as_str()]).ok().stdout_bytes, bytes);
    let stripped = sandbox.ctl(["logs", "--strip", id.as_str()]).ok();
    assert!(!stripped.stdout.contains('\x1b') && stripped.stdout.contains("red"), "{:?}", stripped.stdout);
    assert_eq!(sandbox.ctl(["logs", "--offset", "5", id.as_str()]).ok().stdout_bytes, &bytes[5..]);
}

/// Following ends when the session does, with the last byte, also through a daemon's crash.
#[test]
fn following_logs_ends_with_the_session() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("lines 1000; read; lines 2000; exit 0").id;
    client.until_output(id, "0000001000");
    let mut follow = sandbox.ctl(["logs", "--follow", id.as_str()]).start();
    let mut early = vec![0u8; 1000 * 12];
    std::io::Read::read_exact(follow.stdout.as_mut().unwrap(), &mut early).unwrap();
    let mut terminal = sandbox.attach(id);
    terminal
        .hello(delight_tests::attached::controller(delight_proto::holder::Attach::Nothing, Size::default()));
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    terminal.input(b"\n");
    let output = follow.wait_with_output().unwrap();
    let text = String::from_utf8([early, output.stdout].concat()).unwrap();
    let numbers: Vec<&str> = text.lines().filter(|line| line.len() == 10).collect();
    let wanted: Vec<String> = (1..=1000).chain(1..=2000).map(|n| format!("{n:010}")).collect();
    assert_eq!(numbers, wanted, "{}", String::from_utf8_lossy(&output.stderr));
}

/// The recording is one that asciinema plays: version 2, valid UTF-8 even where a character was cut, times that never go back.
#[test]
fn a_recording_is_an_asciicast() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let agent = delight_tests::binaries::program("delight-fake-agent");
    let script =
        r"raw; print \xc3; pause 20; print \xa9 \xf0\x9f; pause 20; print \x99\x82 \xff end\r\n; exit 0";
    let mut params = spawn(&[agent.to_str().unwrap(), "--script", script]);
    params.size = Size { cols: 90, rows: 33 };
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    client.wait(id, &[]);
    let cast = sandbox.ctl(["logs", "--format", "asciicast", id.as_str()]).ok();
    let mut lines = cast.stdout.lines();
    let header: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(
        (&header["version"], &header["width"], &header["height"]),
        (&2.into(), &90.into(), &33.into())
    );
    assert!(header["timestamp"].as_u64().is_some_and(|seconds| seconds > 1_700_000_000), "{header}");
    let (mut last, mut text) = (0.0, String::new());
    for line in lines {
        let event: Value = serde_json::from_str(line).unwrap();
        let time = event[0].as_f64().unwrap();
        assert!(time >= last, "time went back: {line}");
        last = time;
        if event[1] == "o" {
            text += event[2].as_str().unwrap();
        }
    }
    assert_eq!(text, "é 🙂 \u{fffd} end\r\n");
    assert!(last >= 0.03, "the pauses are in it: {last}");
}

#[test]
fn resizes_and_generations_are_in_the_history() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("say ready; read; exit 0").id;
    client.until_output(id, "ready");
    let size = Size { cols: 120, rows: 50 };
    let resize = delight_proto::api::method::ResizeParams { session: id.to_string(), size };
    client.call::<delight_proto::api::method::SessionResize>(&resize).unwrap();
    let send = delight_proto::api::method::SendParams {
        session: id.to_string(),
        data: "Cg==".to_owned(),
        request_id: None,
    };
    client.call::<delight_proto::api::method::SessionSend>(&send).unwrap();
    client.wait(id, &[]);
    client.call::<delight_proto::api::method::SessionResume>(&delight_tests::api::one(id)).unwrap();
    until("it runs again", || String::from_utf8_lossy(&client.output(id)).matches("ready").count() == 2);
    let bodies: Vec<OutputBody> = client.journal(id).into_iter().map(|record| record.body).collect();
    let has = |wanted: &OutputBody| bodies.contains(wanted);
    assert!(
        has(&OutputBody::Started { generation: 1 }) && has(&OutputBody::Started { generation: 2 }),
        "{bodies:?}"
    );
    assert!(has(&OutputBody::Resized { size }), "{bodies:?}");
    assert!(has(&OutputBody::Input { data: "Cg==".to_owned() }), "{bodies:?}");
    let exit = delight_proto::session::Exit::Code(0);
    assert!(has(&OutputBody::Exited { generation: 1, exit }), "{bodies:?}");
}
