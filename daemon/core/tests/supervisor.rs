//! The supervisor reducer: admission, names, request ids, selectors, restoring, the daemon's end.

#![allow(clippy::panic, clippy::expect_used)] // Helpers of tests, which clippy does not take for tests.

use std::collections::BTreeMap;

use delight_core::actor::{Reducer, Stamp, Stamped, Ticket};
use delight_core::session::{Capabilities, Command};
use delight_core::supervisor::{Answer, Boot, Effect, Input, Request, Stored, Supervisor};
use delight_core::testing::table::fresh_record;
use delight_core::view;
use delight_proto::api::method::SpawnParams;
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, Phase, RestartPolicy, Size};

fn step(s: Supervisor, mono_ms: u64, input: Input) -> (Supervisor, Vec<Effect>) {
    let at = Stamp { mono_ms, wall_ms: 1_700_000_000_000 + mono_ms };
    let (s, effects) = s.reduce(Stamped { at, input });
    (s, effects.into_iter().collect())
}

fn id(n: u8) -> SessionId {
    let mut random = [0; 10];
    (random[0], random[9]) = (n, n);
    SessionId::from_random(random)
}

fn booted(sessions: Vec<Stored>) -> Supervisor {
    let kinds = BTreeMap::from([("pty".to_owned(), Capabilities::default())]);
    let boot = Boot { sessions, quarantined: Vec::new(), kinds, max_live: 3 };
    step(Supervisor::new(), 0, Input::Boot(Box::new(boot))).0
}

fn params() -> SpawnParams {
    SpawnParams {
        request_id: None,
        name: None,
        kind: "pty".into(),
        command: vec!["sh".into()],
        cwd: "/".into(),
        create_cwd: false,
        env: BTreeMap::new(),
        size: Size::default(),
        restart: RestartPolicy::Never,
        stop_grace_ms: None,
        retain_bytes: None,
        agent: delight_proto::agent::AgentOptions::default(),
    }
}

fn ask(s: Supervisor, ticket: u64, request: Request) -> (Supervisor, Vec<Effect>) {
    step(s, 1, Input::Asked { ticket: Ticket(ticket), origin: Origin::Daemon, request })
}

fn spawn(s: Supervisor, n: u8, params: SpawnParams) -> (Supervisor, Vec<Effect>) {
    ask(s, u64::from(n), Request::Spawn { fresh_id: id(n), params: Box::new(params) })
}

fn refusal(effects: &[Effect]) -> &Refusal {
    let [Effect::Reply { result: Err(refusal), .. }] = effects else { panic!("{effects:?}") };
    refusal
}

fn delivered(effects: &[Effect]) -> Vec<(SessionId, Command)> {
    let of = |e: &Effect| match e {
        Effect::Deliver { id, command, .. } => Some((*id, command.clone())),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

fn changed(s: Supervisor, n: u8, phase: Phase) -> (Supervisor, Vec<Effect>) {
    let mut record = fresh_record(RestartPolicy::Never);
    (record.id, record.phase) = (id(n), phase);
    step(s, 2, Input::Changed { view: Box::new(view::of_record(&record)), alive: phase.is_live() })
}

#[test]
fn nothing_is_served_before_the_registry_is_read() {
    let (_, effects) = ask(Supervisor::new(), 1, Request::List);
    assert_eq!(refusal(&effects).code, Code::Busy);
}

#[test]
fn a_spawn_opens_one_session_and_starts_it() {
    let (_, effects) = spawn(booted(Vec::new()), 1, params());
    assert!(matches!(&effects[0], Effect::Open { id: opened, .. } if *opened == id(1)));
    assert_eq!(delivered(&effects), [(id(1), Command::Start)]);
}

#[test]
fn the_same_request_id_makes_one_session() {
    let keyed = SpawnParams { request_id: "k1".parse().ok(), ..params() };
    let (s, _) = spawn(booted(Vec::new()), 1, keyed.clone());
    let (s, effects) = spawn(s, 2, keyed.clone());
    assert_eq!(delivered(&effects), [(id(1), Command::Started)]);
    let (s, effects) = spawn(s, 3, SpawnParams { command: vec!["other".into()], ..keyed.clone() });
    assert_eq!(refusal(&effects).code, Code::Conflict);
    let (s, _) = step(s, 2, Input::Gone { id: id(1) });
    let (_, effects) = spawn(s, 4, keyed);
    assert_eq!(delivered(&effects), [(id(4), Command::Start)], "forgotten with its session");
}

#[test]
fn a_request_id_is_known_after_a_restart() {
    let mut record = fresh_record(RestartPolicy::Never);
    record.request_id = "k1".parse().ok();
    record.spec.command = vec!["sh".into()];
    record.spec.retain_bytes = delight_proto::session::default_retain_bytes();
    let made = record.id;
    let s = booted(vec![Stored { record, log_seq: 0, tail: Vec::new() }]);
    let (_, effects) = spawn(s, 2, SpawnParams { request_id: "k1".parse().ok(), ..params() });
    assert_eq!(delivered(&effects), [(made, Command::Started)]);
}

#[test]
fn a_name_is_borne_by_one() {
    let named = SpawnParams { name: "web".parse().ok(), ..params() };
    let (s, _) = spawn(booted(Vec::new()), 1, named.clone());
    let (s, effects) = spawn(s, 2, named);
    assert_eq!(refusal(&effects).code, Code::Conflict);
    let (s, _) = spawn(s, 3, params());
    let rename = |name: &str| Command::Rename { name: name.parse().ok() };
    let (s, effects) = ask(s, 4, Request::To { selector: id(3).to_string(), command: rename("web") });
    assert_eq!(refusal(&effects).code, Code::Conflict);
    let (s, effects) = ask(s, 5, Request::To { selector: id(3).to_string(), command: rename("api") });
    assert_eq!(delivered(&effects).len(), 1);
    let (s, effects) = ask(s, 6, Request::To { selector: id(1).to_string(), command: rename("api") });
    assert_eq!(refusal(&effects).code, Code::Conflict, "claimed while the rename is under way");
    let (s, _) = step(s, 3, Input::NameReleased { id: id(3), name: "api".parse().expect("a name") });
    let (_, effects) = ask(s, 7, Request::To { selector: id(1).to_string(), command: rename("api") });
    assert_eq!(delivered(&effects).len(), 1, "released when it failed");
}

#[test]
fn admission_is_limited_and_says_what_to_do() {
    let s = (1..=3).fold(booted(Vec::new()), |s, n| spawn(s, n, params()).0);
    let (s, effects) = spawn(s, 4, params());
    let refused = refusal(&effects);
    assert!(refused.code == Code::Busy && refused.fix.contains("stop one"), "{refused:?}");
    let (s, _) = changed(s, 1, Phase::Exited);
    let (s, effects) = spawn(s, 4, params());
    assert_eq!(delivered(&effects).len(), 1);
    let (_, effects) = ask(s, 5, Request::To { selector: id(1).to_string(), command: Command::Resume });
    assert_eq!(refusal(&effects).code, Code::Busy, "a resume counts too");
}

#[test]
fn parameters_out_of_bounds_name_the_field() {
    let big = "x".repeat(2 << 20);
    let cases = [
        (SpawnParams { kind: "nope".into(), ..params() }, Code::BadParams, "kind"),
        (SpawnParams { command: vec![String::new()], ..params() }, Code::BadParams, "command"),
        (SpawnParams { command: vec!["a\0b".into()], ..params() }, Code::BadParams, "command"),
        (SpawnParams { command: vec!["x".into(); 5_000], ..params() }, Code::TooLarge, "command"),
        (SpawnParams { command: vec![big], ..params() }, Code::TooLarge, "command"),
        (SpawnParams { cwd: "here".into(), ..params() }, Code::BadParams, "cwd"),
        (
            SpawnParams { env: BTreeMap::from([("A=B".into(), "c".into())]), ..params() },
            Code::BadParams,
            "env",
        ),
        (SpawnParams { size: Size { cols: 0, rows: 5 }, ..params() }, Code::BadParams, "size"),
        (SpawnParams { stop_grace_ms: Some(u64::MAX), ..params() }, Code::BadParams, "stop_grace_ms"),
    ];
    for (bad, code, field) in cases {
        let (_, effects) = spawn(booted(Vec::new()), 1, bad);
        let refused = refusal(&effects);
        assert!(
            refused.code == code && refused.reason.contains(field) && !refused.fix.is_empty(),
            "{refused:?}"
        );
    }
}

#[test]
fn selectors_find_by_id_name_prefix_and_last() {
    let (s, _) = spawn(booted(Vec::new()), 1, SpawnParams { name: "web".parse().ok(), ..params() });
    let (s, _) = spawn(s, 2, params());
    let get = |s: &Supervisor, selector: &str| {
        let (_, effects) = ask(s.clone(), 9, Request::Get { selector: selector.to_owned() });
        match &effects[..] {
            [Effect::Reply { result: Ok(Answer::View(view)), .. }] => Ok(view.id),
            other => Err(refusal(other).clone()),
        }
    };
    assert_eq!(get(&s, id(1).as_str()), Ok(id(1)));
    assert_eq!(get(&s, "web"), Ok(id(1)));
    assert_eq!(get(&s, "@last"), Ok(id(2)));
    assert_eq!(get(&s, &id(2).as_str()[..4]), Ok(id(2)));
    assert_eq!(get(&s, &id(2).as_str()[..2]).map_err(|r| r.code), Err(Code::NotFound));
    assert_eq!(get(&s, "").map_err(|r| r.code), Err(Code::NotFound));
    assert_eq!(get(&s, "zzzz").map_err(|r| r.code), Err(Code::NotFound));
}

#[test]
fn an_ambiguous_prefix_lists_the_candidates() {
    let alike = |n: u8| SessionId::from_random([1, 1, 1, 1, 1, 1, 1, 1, 1, n]);
    let s = [1, 2].into_iter().fold(booted(Vec::new()), |s, n| {
        ask(s, u64::from(n), Request::Spawn { fresh_id: alike(n), params: Box::new(params()) }).0
    });
    let (_, effects) = ask(s, 9, Request::Get { selector: alike(1).as_str()[..6].to_owned() });
    let refused = refusal(&effects);
    assert_eq!(refused.code, Code::Ambiguous);
    assert!(refused.reason.contains(alike(1).as_str()) && refused.reason.contains(alike(2).as_str()));
}

#[test]
fn restoring_is_a_few_at_a_time_and_ready_comes_once() {
    let sessions = (1..=40).map(|n| {
        let mut record = fresh_record(RestartPolicy::Never);
        (record.id, record.created_ms) = (id(n), u64::from(n));
        Stored { record, log_seq: 0, tail: Vec::new() }
    });
    let kinds = BTreeMap::from([("pty".to_owned(), Capabilities::default())]);
    let boot = Boot { sessions: sessions.collect(), quarantined: Vec::new(), kinds, max_live: 3 };
    let (mut s, first) = step(Supervisor::new(), 0, Input::Boot(Box::new(boot)));
    let restores = |effects: &[Effect]| -> Vec<SessionId> {
        effects.iter().filter_map(|e| if let Effect::Restore { id } = e { Some(*id) } else { None }).collect()
    };
    let mut under_way = restores(&first);
    assert_eq!((under_way.len(), under_way[0]), (16, id(40)), "the newest first");
    let mut ready = 0;
    while let Some(next) = under_way.pop() {
        let (after, effects) = step(s, 1, Input::Restored { id: next, adopted: true });
        s = after;
        under_way.extend(restores(&effects));
        assert!(under_way.len() <= 16);
        ready += effects.iter().filter(|e| matches!(e, Effect::Ready { adopted: 40 })).count();
    }
    assert_eq!(ready, 1);
}

#[test]
fn the_end_waits_for_starts_and_refuses_new_ones() {
    let (s, _) = spawn(booted(Vec::new()), 1, params());
    let (s, effects) = ask(s, 8, Request::Shutdown { stop_sessions: false });
    assert!(effects.is_empty(), "a start is under way: {effects:?}");
    let (s, effects) = spawn(s, 2, params());
    assert_eq!(refusal(&effects).code, Code::ShuttingDown);
    let (_, effects) = changed(s, 1, Phase::Running);
    assert_eq!(effects.last(), Some(&Effect::Exit));
    let told = |e: &Effect| matches!(e, Effect::Reply { ticket: Ticket(8), result: Ok(Answer::Stopped(r)) } if r.left_running == 1);
    assert!(effects.iter().any(told), "{effects:?}");
}

#[test]
fn the_end_with_sessions_stops_each_and_waits() {
    let (s, _) = spawn(booted(Vec::new()), 1, params());
    let (s, _) = changed(s, 1, Phase::Running);
    let (s, effects) = ask(s, 8, Request::Shutdown { stop_sessions: true });
    assert_eq!(delivered(&effects), [(id(1), Command::Stop { kill: false, grace_ms: None })]);
    let (s, effects) = changed(s, 1, Phase::Stopping);
    assert!(!effects.contains(&Effect::Exit));
    let (_, effects) = changed(s, 1, Phase::Stopped);
    let told = |e: &Effect| matches!(e, Effect::Reply { ticket: Ticket(8), result: Ok(Answer::Stopped(r)) } if r.stopped == 1);
    assert!(effects.iter().any(told) && effects.last() == Some(&Effect::Exit), "{effects:?}");
}

#[test]
fn a_fault_in_one_session_is_told_and_the_others_go_on() {
    let (s, _) = spawn(booted(Vec::new()), 1, params());
    let (s, _) = spawn(s, 2, params());
    let (s, effects) = step(s, 2, Input::ActorFailed { id: id(1), reason: "a panic".into() });
    assert!(matches!(&effects[..], [Effect::Broadcast(_)]));
    let to = |n| Request::To { selector: id(n).to_string(), command: Command::Resume };
    let (s, effects) = ask(s, 8, to(1));
    assert_eq!(refusal(&effects).code, Code::Internal);
    let (_, effects) = ask(s, 9, to(2));
    assert_eq!(delivered(&effects).len(), 1);
}
