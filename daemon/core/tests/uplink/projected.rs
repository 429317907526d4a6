//! From events to records.

use delight_core::uplink::{Projection, Thinning, record_id};
use delight_proto::agent::{
    AgentRecord, Decision, Mark, Outcome, PermissionAsk, RecordBody, Source, TurnStatus,
};
use delight_proto::event::{Event, EventBody};
use delight_proto::id::SessionId;
use delight_proto::session::{Exit, Origin};
use serde_json::{Value, json};

fn id() -> SessionId {
    SessionId::from_random([9; 10])
}

fn recorded(seq: u64, body: RecordBody) -> Event {
    let record = AgentRecord { key: None, parent: None, body };
    event(seq, EventBody::Recorded { source: Source::Stream, mark: Mark::default(), record })
}

fn event(seq: u64, body: EventBody) -> Event {
    Event { seq, at_ms: 1_000 + seq, offset: 0, body }
}

fn text(seq: u64, words: &str) -> Event {
    recorded(seq, RecordBody::Text { text: words.to_owned() })
}

/// Local id and plaintext of every record.
fn project(projection: &mut Projection, events: &[Event], thinning: Thinning) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    for (at, event) in events.iter().enumerate() {
        for one in projection.project(event, &events[at + 1..], thinning) {
            let plaintext = one.record.plaintext().unwrap();
            out.push((one.local_id.to_string(), serde_json::from_slice(&plaintext).unwrap()));
        }
    }
    out
}

fn kinds(records: &[(String, Value)]) -> Vec<&str> {
    let kind = |record: &Value| -> &'static str {
        match record["content"]["ev"]["t"].as_str() {
            Some("turn-start") => "turn-start",
            Some("turn-end") => "turn-end",
            Some("text") => "text",
            Some("service") => "service",
            Some("tool-call-start") => "tool-call-start",
            Some("tool-call-end") => "tool-call-end",
            _ => "other",
        }
    };
    records.iter().map(|(_, record)| kind(record)).collect()
}

fn turn(seq: u64) -> Event {
    recorded(seq, RecordBody::TurnStarted { turn: format!("t{seq}") })
}

fn turn_end(seq: u64) -> Event {
    recorded(seq, RecordBody::TurnEnded { turn: "t".to_owned(), status: TurnStatus::Completed })
}

#[test]
fn the_same_events_give_the_same_records_wherever_the_reading_begins() {
    let events = [turn(1), text(2, "a"), turn_end(3), turn(4), text(5, "b"), turn_end(6)];
    let whole = project(&mut Projection::new(id()), &events, Thinning::Whole);
    assert_eq!(kinds(&whole), ["turn-start", "text", "turn-end", "turn-start", "text", "turn-end"]);
    for cut in 1..events.len() {
        let mut projection = Projection::new(id());
        let _ = project(&mut projection, &events[..cut], Thinning::Whole);
        assert_eq!(project(&mut projection, &events[cut..], Thinning::Whole), whole[cut..]);
    }
    assert!(whole[1].0.starts_with(&format!("{}:2-", id())), "{}", whole[1].0);
    let turn_id = &whole[0].1["content"]["turn"];
    assert!(whole[..3].iter().all(|(_, record)| record["content"]["turn"] == *turn_id));
    assert_ne!(whole[3].1["content"]["turn"], *turn_id, "the next turn never reuses the id");
    assert_eq!(whole[1].1["meta"]["sentFrom"], "cli");
}

/// A power cut takes events that were sent, and others get their numbers: a server that knows the first must take the second.
#[test]
fn a_number_that_is_used_again_names_other_records() {
    let ids = |event: Event| -> Vec<String> {
        let records = Projection::new(id()).project(&event, &[], Thinning::Whole);
        let of = |record: Value| [record["content"]["id"].clone(), record["id"].clone()];
        let inner = records.iter().flat_map(|one| of(serde_json::to_value(&one.record).unwrap()));
        let inner: Vec<_> = inner.filter_map(|id| id.as_str().map(str::to_owned)).collect();
        records.iter().map(|one| one.local_id.to_string()).chain(inner).collect()
    };
    let sent = ids(text(1, "before"));
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(ids(text(1, "before")), sent, "the same event is known again");
    let later = Event { at_ms: 5_000, ..text(1, "before") };
    for other in [text(1, "after"), later] {
        assert!(ids(other).iter().all(|id| !sent.contains(id)));
    }
    // What the runner's journal gives again is known again, whatever stands before it now.
    let item = |seq, words: &str| {
        let record = AgentRecord {
            key: Some("1.2".to_owned()),
            parent: None,
            body: RecordBody::Text { text: words.to_owned() },
        };
        let mark = Mark { offset: 70, index: 0 };
        event(seq, EventBody::Recorded { source: Source::Stream, mark, record })
    };
    assert_eq!(ids(item(4, "said")), ids(item(9, "said")));
    assert!(ids(item(4, "said")).iter().all(|id| !ids(item(4, "other")).contains(id)));
}

/// What was sent whole and is sent again in short, as its acknowledgement was lost before a day away, is known again.
#[test]
fn what_is_sent_in_short_keeps_its_ids() {
    let tool = recorded(2, RecordBody::ToolEnded { call: "c".to_owned(), failed: false, output: None });
    let events = [turn(1), tool, text(3, "last"), turn_end(4)];
    let whole = project(&mut Projection::new(id()), &events, Thinning::Whole);
    let folded = project(&mut Projection::new(id()), &events, Thinning::Folded);
    assert_eq!(kinds(&folded), ["turn-start", "text", "service", "turn-end"]);
    let id_of = |records: &[(String, Value)], kind| {
        let at = kinds(records).iter().position(|found| *found == kind);
        at.map(|at| records[at].0.clone()).unwrap()
    };
    for kind in ["turn-start", "text", "turn-end"] {
        assert_eq!(id_of(&folded, kind), id_of(&whole, kind), "{kind}");
    }
    assert!(whole.iter().all(|(known, _)| *known != id_of(&folded, "service")));
}

#[test]
fn every_turn_that_starts_ends_also_when_the_agent_never_says_so() {
    let exited = event(3, EventBody::Exited { generation: 1, exit: Exit::Code(1) });
    for (events, want) in [
        (vec![turn(1), turn(2)], vec!["turn-start", "turn-end", "turn-start"]),
        (vec![turn(1), text(2, "a"), exited], vec!["turn-start", "text", "turn-end"]),
        (vec![turn_end(1)], vec![]),
    ] {
        let records = project(&mut Projection::new(id()), &events, Thinning::Whole);
        assert_eq!(kinds(&records), want);
        let mut ids: Vec<&String> = records.iter().map(|(local_id, _)| local_id).collect();
        ids.dedup();
        assert_eq!(ids.len(), records.len(), "several records of one event have ids of their own");
    }
}

#[test]
fn ids_have_the_form_of_a_cuid2_and_differ() {
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..10_000 {
        let made = record_id(id(), &n.to_string()).to_string();
        assert_eq!(made.len(), 24);
        assert!(made.starts_with(|c: char| c.is_ascii_lowercase()));
        assert!(made.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        assert!(seen.insert(made));
    }
    assert_eq!(record_id(id(), "x").to_string(), record_id(id(), "x").to_string());
}

#[test]
fn after_a_day_away_the_last_words_of_each_turn_stay_and_the_rest_is_counted() {
    let tool = |seq| {
        let body = RecordBody::ToolEnded { call: "c".to_owned(), failed: false, output: None };
        recorded(seq, body)
    };
    let thought = recorded(2, RecordBody::Thinking { text: "hm".to_owned() });
    let events = [turn(1), thought, text(3, "first"), tool(4), text(5, "last"), turn_end(6)];
    let lean = project(&mut Projection::new(id()), &events, Thinning::Lean);
    assert_eq!(kinds(&lean), ["turn-start", "text", "tool-call-end", "text", "turn-end"]);
    let folded = project(&mut Projection::new(id()), &events, Thinning::Folded);
    assert_eq!(kinds(&folded), ["turn-start", "text", "service", "turn-end"]);
    assert_eq!(folded[1].1["content"]["ev"]["text"], "last");
    assert!(folded[2].1["content"]["ev"]["text"].as_str().unwrap().starts_with("2 items"), "{:?}", folded[2]);
}

#[test]
fn entries_the_log_dropped_are_said() {
    let mut projection = Projection::new(id());
    let _ = project(&mut projection, &[text(1, "a")], Thinning::Whole);
    let records = project(&mut projection, &[text(11, "b")], Thinning::Whole);
    assert_eq!(records.len(), 2);
    assert!(records[0].1.to_string().contains("9 entries"), "{:?}", records[0]);
}

#[test]
fn what_is_too_large_for_a_packet_is_said_instead() {
    let words = "\u{1}".repeat(250_000);
    let records = project(&mut Projection::new(id()), &[text(1, &words)], Thinning::Whole);
    let shown = records[0].1.to_string();
    assert!(shown.len() < 1_000 && shown.contains("too large"), "{shown}");
}

#[test]
fn decided_permissions_are_kept_by_how_they_ended() {
    let mut projection = Projection::new(id());
    let ask = |n: u64| PermissionAsk {
        id: format!("p{n}").parse().unwrap(),
        tool: "Bash".to_owned(),
        title: String::new(),
        input: json!({"command": "x".repeat(5_000)}),
        call: None,
        command: None,
        paths: Vec::new(),
        read_only: false,
        question: false,
    };
    let mut events = Vec::new();
    for n in 0..205 {
        let allow = n % 2 == 0;
        let decision = Decision {
            allow,
            scope: delight_proto::agent::Scope::Once,
            reason: Some("because".to_owned()),
            answers: None,
            permission_mode: None,
        };
        events.push(event(2 * n + 1, EventBody::PermissionAsked { ask: ask(n), expires_ms: None }));
        events.push(event(
            2 * n + 2,
            EventBody::PermissionEnded {
                id: ask(n).id,
                outcome: if allow { Outcome::Allowed } else { Outcome::Denied },
                decision: Some(decision),
                origin: Origin::Phone { device: "d".to_owned() },
                why: String::new(),
            },
        ));
    }
    assert!(project(&mut projection, &events, Thinning::Folded).is_empty(), "they are state, not messages");
    let completed = projection.completed();
    assert_eq!(completed.len(), 200);
    assert!(!completed.contains_key("p0") && completed.contains_key("p204"), "the oldest are evicted");
    let last = &completed["p204"];
    assert_eq!(
        (&last["status"], &last["reason"], &last["tool"]),
        (&json!("approved"), &json!("because"), &json!("Bash"))
    );
    assert_eq!(completed["p203"]["status"], "denied");
    assert!(
        Value::Object(completed).to_string().len() < 100_000,
        "inputs are cut: all of it is sent at every change"
    );
}
