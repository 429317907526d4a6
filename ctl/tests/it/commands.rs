//! The house rules: one JSON document, exit statuses, what/why/fix, spawning once.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Exit, Phase};
use serde_json::{Value, json};

use crate::scripted::{Answer, Place, daemon, session};

/// The one document on standard output.
fn document(output: &std::process::Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn json_gives_exactly_one_document_and_people_read_stderr() {
    let place = Place::new();
    let view = serde_json::to_value(session(&place, Phase::Running)).unwrap();
    daemon(&place, move |method, _| match method {
        "session.list" => Answer::Result(json!({ "sessions": [view.clone()] })),
        "session.events" => Answer::Result(json!({ "events": [], "first": 1, "last": 0 })),
        "session.send" => Answer::Result(json!({ "bytes": 2 })),
        "session.remove" => Answer::Result(json!({ "id": view["id"] })),
        "daemon.status" => Answer::Result(json!({
            "version": "0", "pid": 1, "started_ms": 0, "socket": "s", "state_dir": "d", "sessions": {"running": 1},
            "max_live": 5, "adopted": 0, "quarantined": []
        })),
        "uplink.status" => Answer::Result(json!({ "state": "not-linked", "since_ms": 0, "waiting": 0 })),
        _ => Answer::Result(view.clone()),
    });
    for arguments in [
        &["list"][..],
        &["status"],
        &["up"],
        &["show", "web"],
        &["events", "web"],
        &["send", "web", "hi"],
        &["wait", "web"],
        &["stop", "web"],
        &["stop", "web", "web"],
        &["kill", "web"],
        &["rm", "web"],
        &["resume", "web"],
        &["rename", "web", "api"],
        &["spawn", "--", "true"],
        &["rpc", "session.get", "{}"],
        &["completions", "bash"],
    ] {
        let output = place.run(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        document(&output);
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
        let output = place.run(arguments);
        assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}: {output:?}");
        assert!(!output.stdout.contains(&0x1b), "{arguments:?} is coloured without a terminal");
    }
}

#[test]
fn refusals_have_their_exit_status_and_say_what_why_and_fix() {
    for (code, status) in [
        (Code::Internal, 1),
        (Code::BadParams, 2),
        (Code::NotFound, 3),
        (Code::Ambiguous, 3),
        (Code::ShuttingDown, 4),
        (Code::Forbidden, 5),
        (Code::Conflict, 6),
        (Code::Timeout, 7),
        (Code::VersionSkew, 9),
    ] {
        let place = Place::new();
        let refusal = Refusal::new(code, "the \x1b[31mthing", "it is so").fix("do this");
        daemon(&place, move |_, _| Answer::No(refusal.clone()));
        let output = place.run(&["--json", "show", "web"]);
        assert_eq!(output.status.code(), Some(status), "{code:?}");
        let words = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(words, "delightctl: the \\e[31mthing\nwhy: it is so\nfix: do this\n");
        assert_eq!(document(&output)["error"]["fix"], "do this");
    }
}

#[test]
fn mistakes_on_the_command_line_are_told_the_same_way() {
    let place = Place::new();
    let long = "x".repeat(5_000);
    for arguments in [
        &["--json", "list", "--bogus"][..],
        &["--json", "spawn", "--size", "0x0"],
        &["--json", "spawn", "--name", &long],
        &["--json", "frob"],
        &["--json", "policy"],
        &["--json"],
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let words = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(words.contains("\nwhy: ") && words.contains("\nfix: "), "{words}");
        assert!(words.len() < 1_000, "{words}");
        assert_eq!(document(&output)["error"]["code"], "bad-params");
    }
}

#[test]
fn without_a_daemon_reads_say_how_to_get_one() {
    let place = Place::new();
    let output = place.run(&["list"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8(output.stderr).unwrap().contains("fix: delightctl up"));
    assert_eq!(place.run(&["status"]).status.code(), Some(4));
    assert_eq!(place.run(&["down"]).status.code(), Some(0));
}

#[test]
fn spawn_failure_returns_no_id() {
    let place = Place::new();
    daemon(&place, |_, _| {
        Answer::No(Refusal::new(Code::StartFailed, "it could not be started", "no such file"))
    });
    let output = place.run(&["spawn", "--", "frob"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}

#[test]
fn spawn_is_asked_again_with_the_same_key_when_the_daemon_goes_away() {
    let place = Place::new();
    let view = serde_json::to_value(session(&place, Phase::Running)).unwrap();
    let tries = AtomicU32::new(0);
    let calls = daemon(&place, move |_, _| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::HangUp,
        _ => Answer::Result(view.clone()),
    });
    let output = place.run(&["spawn", "--env", "A=secret", "--size", "99x33", "--", "true"]);
    assert!(output.status.success(), "{output:?}");
    let calls = calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].1["request_id"], calls[1].1["request_id"]);
    assert!(calls[0].1["request_id"].is_string());
    assert_eq!(calls[0].1["size"], json!({ "cols": 99, "rows": 33 }));
    assert_eq!(calls[0].1["env"]["A"], "secret");
    assert_eq!(calls[0].1["env"].get("HOME"), None);
}

#[test]
fn several_sessions_are_told_one_by_one_and_the_first_refusal_decides_the_status() {
    let place = Place::new();
    let view = serde_json::to_value(session(&place, Phase::Stopped)).unwrap();
    daemon(&place, move |_, params| match params["session"].as_str() {
        Some("web") => Answer::Result(view.clone()),
        _ => Answer::No(Refusal::new(Code::NotFound, "no such session", "none is called so").fix("list")),
    });
    let output = place.run(&["--json", "stop", "web", "api", "web"]);
    assert_eq!(output.status.code(), Some(3));
    let told = document(&output);
    assert_eq!(told["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(told["refused"][0]["session"], "api");
}

#[test]
fn exit_status_of_the_session_is_passed_on_when_asked_for() {
    let place = Place::new();
    let mut ended = session(&place, Phase::Exited);
    ended.exit = Some(Exit::Signal(9));
    let view = serde_json::to_value(ended).unwrap();
    daemon(&place, move |_, _| Answer::Result(view.clone()));
    assert_eq!(place.run(&["wait", "web"]).status.code(), Some(0));
    assert_eq!(place.run(&["wait", "web", "--exit-status"]).status.code(), Some(137));
    assert_eq!(place.run(&["spawn", "--wait", "--", "x"]).status.code(), Some(137));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let place = Place::new();
    let many = vec![serde_json::to_value(session(&place, Phase::Running)).unwrap(); 2_000];
    daemon(&place, move |_, _| Answer::Result(json!({ "sessions": many })));
    let mut child = place.ctl(&["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn attaching_without_a_terminal_needs_a_human() {
    let place = Place::new();
    assert_eq!(place.run(&["attach", "web"]).status.code(), Some(10));
}
