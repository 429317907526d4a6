//! `logs`: pages, forms, following.

use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use delight_proto::holder::{Exited, FromHolder};
use delight_proto::session::{Exit, Phase};
use serde_json::{Value, json};

use crate::scripted::{Answer, Place, accept, daemon, session};

/// A journal of output records: offset and text. Offsets before the first are no longer kept.
struct Journal(Vec<(u64, &'static str)>);

impl Journal {
    /// One record a page, to see that pages are put together.
    fn page(&self, params: &Value) -> Value {
        let start = self.0.first().map_or(0, |r| r.0);
        let end = self.0.last().map_or(0, |r| r.0 + r.1.len() as u64);
        let from = match (&params["from"]["offset"], &params["from"]["tail"]) {
            (Value::Number(n), _) => n.as_u64().unwrap(),
            (_, Value::Number(n)) => end.saturating_sub(n.as_u64().unwrap()),
            other => panic!("{other:?}"),
        };
        let found = self.0.iter().find(|(at, text)| at + text.len() as u64 > from);
        let records: Vec<Value> = found
            .iter()
            .map(|(at, text)| json!({"offset": at, "at_ms": at * 1_000, "kind": "output", "data": STANDARD.encode(text)}))
            .collect();
        let next = found.map_or(end, |(at, text)| at + text.len() as u64);
        json!({
            "records": records, "next": {"offset": next}, "start_offset": start, "end_offset": end,
            "at_end": next >= end
        })
    }
}

fn serve(place: &Place, phase: Phase, journal: Journal) {
    let view = serde_json::to_value(session(place, phase)).unwrap();
    daemon(place, move |method, params| match method {
        "session.get" => Answer::Result(view.clone()),
        "session.output" => Answer::Result(journal.page(params)),
        other => panic!("unexpected {other}"),
    });
}

fn stdout(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(&[&["logs", "web"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

const JOURNAL: [(u64, &str); 3] = [(100, "one\r\ntw"), (107, "o\r\n\x1b[1mthr"), (117, "ee\r\n")];

#[test]
fn pages_are_put_together_in_every_form() {
    let place = Place::new();
    serve(&place, Phase::Exited, Journal(JOURNAL.to_vec()));
    assert_eq!(stdout(&place, &[]), "one\r\ntwo\r\n\x1b[1mthree\r\n");
    assert_eq!(stdout(&place, &["--strip"]), "one\ntwo\nthree\n");
    assert_eq!(stdout(&place, &["--offset", "107"]), "o\r\n\x1b[1mthree\r\n");
    assert_eq!(stdout(&place, &["--offset", "109"]), "\n\x1b[1mthree\r\n");
    assert_eq!(stdout(&place, &["--tail", "2"]), "two\r\n\x1b[1mthree\r\n");
    assert_eq!(stdout(&place, &["--tail", "99"]), "one\r\ntwo\r\n\x1b[1mthree\r\n");
    assert_eq!(stdout(&place, &["--tail", "0"]), "");
    assert_eq!(stdout(&place, &["--since", "@105"]), "o\r\n\x1b[1mthree\r\n");
    let document: Value = serde_json::from_str(&stdout(&place, &["--json"])).unwrap();
    assert_eq!(document["records"].as_array().unwrap().len(), 3);
    assert_eq!((&document["start_offset"], &document["end_offset"]), (&json!(100), &json!(121)));
    let cast = stdout(&place, &["--format", "asciicast"]);
    let events: Vec<Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["version"], 2);
    assert_eq!(events[2], json!([7.0, "o", "o\r\n\u{1b}[1mthr"]));
}

#[test]
fn history_that_is_gone_is_told() {
    let place = Place::new();
    serve(&place, Phase::Exited, Journal(JOURNAL.to_vec()));
    let output = place.run(&["logs", "web"]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("history starts at byte 100: 100 B before it are no longer kept"), "{words}");
}

#[test]
fn following_goes_on_at_the_holder_and_ends_with_the_session() {
    let place = Place::new();
    let (running, ended) = (session(&place, Phase::Running), session(&place, Phase::Exited));
    let listener = UnixListener::bind(place.holder_socket(running.id)).unwrap();
    // Running once to begin with and once to be followed, then over.
    let views = [&running, &running, &ended, &ended].map(|v| serde_json::to_value(v).unwrap());
    let views = Mutex::new(views.into_iter());
    let journal = Journal(vec![(0, "past\n")]);
    let complete = Journal(vec![(0, "past\n"), (5, "present\n"), (13, "tail\n")]);
    daemon(&place, move |method, params| match method {
        "session.get" => Answer::Result(views.lock().unwrap().next().unwrap()),
        "session.output" if params["from"]["offset"] == 0 => Answer::Result(journal.page(params)),
        "session.output" => Answer::Result(complete.page(params)),
        other => panic!("unexpected {other}"),
    });
    let child = place
        .ctl(&["logs", "web", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut holder = accept(&listener, &running, false);
    holder.say(&FromHolder::Output { offset: 5, bytes: b"present\n".to_vec() });
    let exited =
        Exited { generation: 1, exit: Exit::Code(0), at_ms: 0, offset: 13, survivors: 0, unwritten: 0 };
    holder.say(&FromHolder::Exited(exited));
    drop(holder);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // What the holder wrote and nobody was told before it went is read from the journal.
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "past\npresent\ntail\n");
}

#[test]
fn typed_text_is_refused_where_it_could_not_be_told_apart() {
    let place = Place::new();
    for arguments in [&["logs", "web", "--input"][..], &["logs", "web", "--input", "--json", "--follow"]] {
        assert_eq!(place.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
