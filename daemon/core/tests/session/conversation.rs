//! What the agent says: once each, bounded, with every turn ended; and why it is as it is.

use delight_core::session::{Command, Effect, Session};
use delight_core::testing::table::{asked, running, step};
use delight_core::why::why;
use delight_proto::agent::bounds::{OFFERED, OFFERED_TEXT, RECORD_TEXT, TOOL_INPUT};
use delight_proto::agent::{
    Activity, AgentEvent, AgentRecord, Choice, Mark, Mode, Offers, PermissionAsk, RecordBody, Source,
    TurnStatus,
};
use delight_proto::event::{Event, EventBody};
use delight_proto::session::{Exit, RestartPolicy};

use crate::{BOTH, REMOTE, adopted, again, exited, heard, heard_at, logged, phone, remote, taken};

fn said(key: Option<&str>, body: RecordBody) -> AgentEvent {
    AgentEvent::Record { record: AgentRecord { key: key.map(Into::into), parent: None, body } }
}

fn text(key: &str) -> AgentEvent {
    said(Some(key), RecordBody::Text { text: "words".into() })
}

fn turn(id: &str) -> AgentEvent {
    said(None, RecordBody::TurnStarted { turn: id.into() })
}

fn over(id: &str) -> AgentEvent {
    said(None, RecordBody::TurnEnded { turn: id.into(), status: TurnStatus::Completed })
}

fn records(effects: &[Effect]) -> Vec<String> {
    let of = |body: &EventBody| match body {
        EventBody::Recorded { record, .. } => Some(format!("{:?}", record.body)),
        _ => None,
    };
    logged(effects).into_iter().filter_map(of).collect()
}

#[test]
fn a_line_heard_again_is_taken_in_once() {
    let (s, effects) = step(remote(), 100, heard(1, 2_000, vec![turn("t"), text("a")]));
    assert_eq!(records(&effects), ["TurnStarted(t)", "Text(5 bytes)"]);
    assert_eq!(s.record().agent.stream, Mark { offset: 2_000, index: 1 });
    let (_, effects) = step(s, 101, heard(1, 2_000, vec![turn("t"), text("a")]));
    assert!(effects.is_empty(), "{effects:?}");
}

#[test]
fn restart_mid_turn_records_no_gap_and_nothing_twice() {
    let (s, effects) = step(remote(), 100, heard(1, 2_000, vec![turn("t"), text("a"), text("b")]));
    // The daemon died after the first event of the line was appended, before the rest and the save.
    let first: Vec<Event> = effects
        .iter()
        .filter_map(|e| if let Effect::Append(e) = e { Some(e.clone()) } else { None })
        .collect();
    let saved = remote().record().clone();
    let cut = Session::restored(saved, first[0].seq, &first[..1], REMOTE);
    let (cut, _) =
        step(cut, 0, delight_core::testing::table::happened(delight_core::session::Happening::Restore));
    let (cut, _) = step(cut, 1, adopted(1, 100));
    let (cut, effects) = step(cut, 2, heard(1, 2_000, vec![turn("t"), text("a"), text("b")]));
    assert_eq!(records(&effects), ["Text(5 bytes)", "Text(5 bytes)"]);
    assert_eq!(cut.record().agent.turn, s.record().agent.turn);
    let (_, effects) = step(again(&cut, REMOTE), 1, adopted(1, 100));
    assert!(records(&effects).is_empty(), "a turn goes on under the next daemon");
}

#[test]
fn the_same_item_from_stream_and_transcript_is_one() {
    let (s, _) =
        step(running(RestartPolicy::Never, BOTH), 50, heard_at(1, Source::Transcript, 10, vec![text("a")]));
    let (s, _) = step(s, 60, phone(2, crate::switch(delight_proto::agent::Control::Remote)));
    let (s, _) = step(s, 61, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 62, crate::up(2, 9));
    let (_, effects) = step(s, 63, heard(2, 5_000, vec![text("a"), text("b")]));
    assert_eq!(records(&effects).len(), 1);
}

#[test]
fn another_conversation_is_taken_in_from_its_beginning_and_once() {
    let named = |id: &str| vec![AgentEvent::Conversation { id: id.parse().expect("an id") }];
    let local = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(local, 50, heard_at(1, Source::Status, 0, named("c-1")));
    let (s, _) = step(s, 51, heard_at(1, Source::Transcript, 9_000, vec![text("a")]));
    let saved = s.record().clone();
    let (s, cleared) = step(s, 52, heard_at(1, Source::Status, 0, named("c-2")));
    assert_eq!(s.record().agent.transcript, Mark::default(), "its transcript is another file");
    let (s, said) = step(s, 53, heard_at(1, Source::Transcript, 10, vec![text("b")]));
    assert_eq!(records(&said).len(), 1);
    let (s, effects) = step(s, 54, heard_at(1, Source::Status, 0, named("c-2")));
    assert!(effects.is_empty(), "the same one is no news");
    let (s, effects) = step(s, 55, heard_at(1, Source::Transcript, 10, vec![text("b")]));
    assert!(effects.is_empty(), "once");
    let (back, _) = step(s.clone(), 56, heard_at(1, Source::Status, 0, named("c-1")));
    assert_eq!(back.record().agent.transcript, Mark { offset: 9_000, index: 0 }, "it went back");
    let (_, effects) = step(back, 57, heard_at(1, Source::Transcript, 9_000, vec![turn("t")]));
    assert!(effects.is_empty(), "{effects:?}");
    let appended = |e: &Effect| if let Effect::Append(e) = e { Some(e.clone()) } else { None };
    let tail: Vec<Event> = cleared.iter().chain(said.iter()).filter_map(appended).collect();
    let restored = Session::restored(saved, s.record().last_seq, &tail, BOTH);
    assert_eq!(restored.record().agent.transcript, Mark { offset: 10, index: 0 }, "and after a restart");
}

#[test]
fn every_turn_ends_exactly_once() {
    let cancelled = "TurnEnded(t1, Cancelled)".to_owned();
    let (s, _) = step(taken(), 100, heard(2, 3_000, vec![turn("t1")]));
    let (next, effects) = step(s.clone(), 101, heard(2, 3_001, vec![turn("t2")]));
    assert_eq!(records(&effects), [cancelled.clone(), "TurnStarted(t2)".into()], "a new one begins");
    let (_, effects) =
        step(next, 102, heard(2, 3_002, vec![over("t1"), over("never begun"), over("t2"), over("t2")]));
    assert_eq!(records(&effects), ["TurnEnded(t2, Completed)"]);
    let (_, effects) = step(s.clone(), 101, exited(2, Exit::Signal(9), 0));
    assert_eq!(records(&effects), std::slice::from_ref(&cancelled), "its runner ends");
    let (_, effects) = step(s, 101, crate::gone(None, true));
    assert_eq!(records(&effects), [cancelled], "its holder dies");
}

#[test]
fn activity_has_a_source_and_a_since_and_is_logged_when_it_changes() {
    let working = || vec![AgentEvent::Activity { activity: Activity::Working }];
    let (s, effects) = step(remote(), 100, heard_at(1, Source::Status, 0, working()));
    let view = s.view().agent.and_then(|agent| agent.activity).expect("known");
    assert_eq!(
        (view.activity, view.source, view.since_ms),
        (Activity::Working, Source::Status, 1_700_000_000_100)
    );
    assert_eq!(logged(&effects).len(), 1);
    let (s, effects) = step(s, 200, heard_at(1, Source::Status, 0, working()));
    assert!(effects.is_empty(), "{effects:?}");
    let sought = again(&s, REMOTE);
    assert!(sought.view().agent.is_some_and(|agent| agent.activity.is_none()), "nobody knows what it does");
    let record = s.record();
    let started = EventBody::Started { generation: 2, pid: 7 };
    let tail = [Event { seq: record.last_seq + 1, at_ms: 1, offset: 0, body: started }];
    let next = Session::restored(record.clone(), record.last_seq + 1, &tail, REMOTE);
    assert_eq!(next.record().agent.activity, None, "another runner does nothing yet");
    let (s, _) = step(s, 300, exited(1, Exit::Code(0), 0));
    assert_eq!(s.record().agent.activity, None, "nothing of it is alive");
}

#[test]
fn a_turn_is_work_since_it_began_and_its_end_is_rest() {
    let does =
        |s: &Session| s.view().agent.and_then(|agent| agent.activity).map(|it| (it.activity, it.since_ms));
    let (s, _) = step(remote(), 100, heard(1, 2_000, vec![turn("t")]));
    let (s, _) = step(s, 200, heard(1, 2_001, vec![text("a")]));
    assert_eq!(does(&s), Some((Activity::Working, 1_700_000_000_100)));
    let (s, _) = step(s, 300, heard(1, 2_002, vec![over("t")]));
    assert_eq!(does(&s), Some((Activity::Idle, 1_700_000_000_300)));
}

#[test]
fn a_wait_for_what_the_agent_does_is_answered_and_by_its_end() {
    let wait = |activity| Command::Wait { phases: Vec::new(), activity: vec![activity], timeout_ms: None };
    let (s, effects) = step(remote(), 100, asked(2, wait(Activity::NeedsDecision)));
    assert!(effects.is_empty());
    let (s, _) = step(s, 100, asked(3, wait(Activity::Idle)));
    let ask = PermissionAsk {
        id: "req-1".parse().expect("an id"),
        tool: "Bash".into(),
        title: "x".into(),
        input: serde_json::Value::Null,
        call: None,
        command: None,
        paths: Vec::new(),
        read_only: false,
        question: false,
    };
    let (s, effects) = step(s, 101, heard(1, 2_000, vec![AgentEvent::Asked { ask }]));
    assert!(matches!(crate::answers(&effects)[..], [(2, Ok(_))]), "{effects:?}");
    let (_, effects) = step(s, 102, exited(1, Exit::Code(0), 0));
    assert!(matches!(crate::answers(&effects)[..], [(3, Ok(_))]), "{effects:?}");
}

#[test]
fn what_is_too_long_is_cut_visibly() {
    let long = said(None, RecordBody::Text { text: "ä".repeat(RECORD_TEXT) });
    let input = serde_json::json!({ "file": "x".repeat(TOOL_INPUT) });
    let tool = RecordBody::ToolStarted { call: "c".into(), tool: "t".into(), title: "t".into(), input };
    let (_, effects) = step(remote(), 100, heard(1, 2_000, vec![long, said(None, tool)]));
    let [EventBody::Recorded { record: cut, .. }, EventBody::Recorded { record: tool, .. }] =
        logged(&effects)[..]
    else {
        panic!("{effects:?}")
    };
    assert!(matches!(&cut.body, RecordBody::Text { text } if text.len() <= RECORD_TEXT
        && text.ends_with(&format!("[cut; it had {} bytes]", 2 * RECORD_TEXT))));
    assert!(matches!(&tool.body, RecordBody::ToolStarted { input, .. } if input.to_string().len() < 100));
}

/// What an agent has to offer outlives a crash, is on record once, and never grows without end.
#[test]
fn what_an_agent_offers_is_kept_once_and_bounded_visibly() {
    let names = |count: usize| Some((0..count).map(|n| format!("tool-{n}")).collect::<Vec<_>>());
    let offered = |tools, commands| AgentEvent::Offers(Offers { tools, commands, ..Offers::default() });
    let begin = remote();
    let first = offered(names(3), Some(vec!["x".repeat(9_000)]));
    let (s, effects) = step(begin.clone(), 100, heard(1, 2_000, vec![first.clone()]));
    assert!(matches!(logged(&effects)[..], [EventBody::OffersChanged { .. }]), "{effects:?}");
    let (s, effects) = step(s, 101, heard(1, 2_100, vec![first]));
    assert!(logged(&effects).is_empty(), "it is known");
    let (s, effects) = step(s, 102, heard(1, 2_200, vec![offered(names(OFFERED + 9), None)]));
    let [EventBody::OffersChanged { offers }] = &logged(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(offers.commands, None, "only what changed");
    let offers = s.view().agent.expect("an agent").offers;
    let tools = offers.tools.as_ref().expect("told");
    assert_eq!((tools.len(), tools[OFFERED - 1].as_str()), (OFFERED, "… [cut; there are 265]"));
    let commands = offers.commands.as_ref().expect("told before");
    assert!(commands[0].len() <= OFFERED_TEXT && commands[0].ends_with("[cut; it had 9000 bytes]"));

    // The daemon died before it saved: the log has it.
    let log: Vec<Event> = effects
        .iter()
        .filter_map(|e| if let Effect::Append(e) = e { Some(e.clone()) } else { None })
        .collect();
    let mut saved = begin.record().clone();
    saved.last_seq = log[0].seq - 1;
    let back = Session::restored(saved, log[0].seq, &log, REMOTE);
    assert_eq!(back.record().agent.offers.tools, offers.tools);
}

/// A note of what was cut is nothing a person could choose.
#[test]
fn choices_are_cut_to_what_can_be_chosen() {
    let choice = |n: usize| Choice { code: format!("m{n}"), name: "n".repeat(9_000), description: None };
    let models: Vec<Choice> = (0..OFFERED + 2).map(choice).collect();
    let broken = Choice { code: "c".repeat(9_000), name: String::new(), description: None };
    let offers = Offers { models: Some(models), efforts: Some(vec![broken]), ..Offers::default() };
    let (s, _) = step(remote(), 100, heard(1, 2_000, vec![AgentEvent::Offers(offers)]));
    let offers = &s.record().agent.offers;
    let models = offers.models.as_ref().expect("told");
    assert_eq!((models.len(), models[OFFERED - 1].code.as_str()), (OFFERED, "m255"));
    assert_eq!(models[OFFERED - 1].description.as_deref(), Some("… [cut; there are 258]"));
    assert!(models.iter().all(|model| model.name.len() <= OFFERED_TEXT));
    assert_eq!(offers.efforts, Some(Vec::new()));
}

#[test]
fn what_is_not_understood_is_shown_counted_and_passed() {
    let skipped = AgentEvent::Skipped { bytes: 17, what: "not JSON".into() };
    let (s, effects) = step(remote(), 100, heard(1, 2_000, vec![skipped.clone()]));
    assert!(matches!(logged(&effects)[..], [EventBody::Skipped { bytes: 17, .. }]));
    let (_, effects) = step(s, 101, heard(1, 2_000, vec![skipped]));
    assert!(effects.is_empty());
}

#[test]
fn what_leaves_no_trace_in_the_log_is_saved_now_and_then() {
    let mut s = remote();
    let saves = (0..600)
        .filter(|n| {
            let idle = vec![AgentEvent::Mode(Mode::default())];
            let (next, effects) = step(s.clone(), 100, heard(1, 2_000 + n, idle));
            s = next;
            effects.iter().any(|e| matches!(e, Effect::Checkpoint(_)))
        })
        .count();
    assert_eq!(saves, 2);
}

#[test]
fn why_tells_what_led_here_and_what_is_open() {
    let mut log: Vec<Event> = Vec::new();
    let mut s = running(RestartPolicy::Never, BOTH);
    let keep = |log: &mut Vec<Event>, effects: &[Effect]| {
        log.extend(
            effects.iter().filter_map(|e| if let Effect::Append(e) = e { Some(e.clone()) } else { None }),
        );
    };
    for (n, input) in [
        phone(2, crate::switch(delight_proto::agent::Control::Remote)),
        exited(1, Exit::Signal(15), 0),
        crate::up(2, 101),
        crate::ready(2),
        heard(2, 5_000, vec![turn("t1"), over("t1"), turn("t2"), text("a")]),
    ]
    .into_iter()
    .enumerate()
    {
        let (next, effects) = step(s, 20 + n as u64, input);
        keep(&mut log, &effects);
        s = next;
    }
    let chain: Vec<String> = why(&log)
        .iter()
        .map(|e| serde_json::to_value(&e.body).expect("plain")["event"].to_string())
        .collect();
    assert_eq!(chain[0], "\"control-changed\"");
    assert!(chain.contains(&"\"started\"".into()) && chain.contains(&"\"exited\"".into()), "{chain:?}");
    assert_eq!(chain.iter().filter(|kind| *kind == "\"recorded\"").count(), 1, "the open turn: {chain:?}");
    assert!(why(&[]).is_empty());
}

/// A power cut takes the end of the journal, not the mark on record: what the next runner writes there is new.
#[test]
fn what_is_written_where_a_power_cut_took_lines_is_taken_in() {
    let (s, _) = step(remote(), 100, heard(1, 9_000, vec![text("a")]));
    let s = again(&s, REMOTE);
    let (s, _) = step(s, 1, crate::gone(None, false));
    let at = delight_core::actor::Reducer::deadline(&s).expect("it is resumed").at;
    let (s, _) = step(s, at, delight_core::session::Input::Tick);
    let (s, _) = step(s, at, crate::holder_up());
    let runner = delight_core::session::Runner { generation: 2, pid: 7 };
    let up = delight_core::session::Happening::RunnerUp { runner, offset: 4_000 };
    let (s, _) = step(s, at, delight_core::testing::table::happened(up));
    let (s, effects) = step(s, at, heard(2, 4_100, vec![AgentEvent::Ready, text("a"), text("b")]));
    assert_eq!(records(&effects).len(), 1, "b is new, a was on record: {effects:?}");
    assert_eq!(s.record().agent.stream, Mark { offset: 4_100, index: 2 });
}
