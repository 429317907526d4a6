//! Permissions: asked, decided, withdrawn, expired.

use delight_core::actor::{Reducer, Ticket};
use delight_core::session::{Answer, Command, Effect, Happening, Input, Session};
use delight_core::testing::table::{asked, happened, running, step};
use delight_proto::agent::{
    Activity, AgentEvent, AgentOrder, Control, Decision, OnNoAnswer, Outcome, PermissionAsk, Scope,
};
use delight_proto::event::EventBody;
use delight_proto::policy::{Effect as Verdict, Policy, Reach, Rule};
use delight_proto::refusal::Code;
use delight_proto::session::{Exit, Origin, RestartPolicy};

use crate::{
    BOTH, REMOTE, adopted, again, done, exited, heard, logged, phone, refused, remote, switch, taken, tells,
    up,
};

fn ask(id: &str) -> PermissionAsk {
    PermissionAsk {
        id: id.parse().expect("an id"),
        tool: "Bash".into(),
        title: "npm test".into(),
        input: serde_json::json!({ "command": "npm test" }),
        call: None,
        command: Some("npm test".into()),
        paths: Vec::new(),
        read_only: false,
        question: false,
    }
}

fn asks(id: &str) -> Vec<AgentEvent> {
    vec![AgentEvent::Asked { ask: ask(id) }]
}

fn decision(allow: bool) -> Decision {
    Decision { allow, scope: Scope::Once, reason: None, answers: None, permission_mode: None }
}

fn decide(id: Option<&str>, allow: bool) -> Command {
    Command::Decide { permission: id.map(Into::into), decision: decision(allow) }
}

fn decided(effects: &[Effect]) -> Vec<u64> {
    let of = |e: &Effect| match e {
        Effect::Reply { ticket: Ticket(n), result: Ok(Answer::Decided(_)) } => Some(*n),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

fn outcomes(effects: &[Effect]) -> Vec<Outcome> {
    let of = |body: &EventBody| match body {
        EventBody::PermissionEnded { outcome, .. } => Some(*outcome),
        _ => None,
    };
    logged(effects).into_iter().filter_map(of).collect()
}

fn told(effects: &[Effect]) -> Vec<(u64, bool)> {
    let decisions = tells(effects).into_iter().filter_map(|(tag, order)| match order {
        AgentOrder::Decide { decision, .. } => Some((tag, decision.allow)),
        _ => None,
    });
    decisions.collect()
}

fn waiting() -> Session {
    step(remote(), 100, heard(1, 2_000, asks("req-1"))).0
}

fn policy(rules: Vec<Rule>, on_no_answer: OnNoAnswer) -> Input {
    happened(Happening::Policy(Box::new(Policy { rules, on_no_answer, no_answer_ms: 5_000 })))
}

fn rule(effect: Verdict, command: &str) -> Rule {
    Rule {
        id: 7,
        effect,
        reach: Reach::Machine,
        tool: None,
        command: Some(command.into()),
        path: None,
        expires_ms: None,
    }
}

#[test]
fn a_request_is_durable_before_anybody_is_told() {
    let (s, effects) = step(remote(), 100, heard(1, 2_000, asks("req-1")));
    let append = effects.iter().position(|e| matches!(e, Effect::Append(_)));
    assert!(append.is_some() && append < effects.iter().position(|e| matches!(e, Effect::Publish { .. })));
    let view = s.view().agent.expect("an agent");
    assert_eq!(view.pending.len(), 1);
    assert_eq!(view.activity.map(|a| a.activity), Some(Activity::NeedsDecision));
}

#[test]
fn the_same_request_again_changes_nothing() {
    let (_, effects) = step(waiting(), 101, heard(1, 3_000, asks("req-1")));
    assert!(logged(&effects).is_empty(), "{effects:?}");
}

#[test]
fn a_request_before_ready_is_not_dropped_and_can_be_answered() {
    let s = running(RestartPolicy::Never, REMOTE);
    let (s, _) = step(s, 20, heard(1, 500, asks("req-1")));
    let (_, effects) = step(s, 21, phone(2, decide(None, true)));
    assert_eq!(told(&effects).len(), 1);
}

#[test]
fn a_decision_is_stored_then_written_and_answered_after_the_agent_has_it() {
    let (s, effects) = step(waiting(), 200, phone(2, decide(Some("req-1"), true)));
    assert_eq!((outcomes(&effects), decided(&effects).len()), (vec![Outcome::Allowed], 0));
    let [(tag, true)] = told(&effects)[..] else { panic!("{effects:?}") };
    let (_, effects) = step(s, 201, done(tag));
    assert_eq!(decided(&effects), [2]);
}

#[test]
fn approve_twice_same_ok_different_conflicts() {
    let (s, _) = step(waiting(), 200, phone(2, decide(Some("req-1"), true)));
    let (s, effects) = step(s, 201, asked(3, decide(Some("req-1"), false)));
    assert_eq!(refused(&effects), [(3, Code::Conflict)], "the first answer wins");
    let (s, effects) = step(s, 202, asked(4, decide(Some("req"), true)));
    assert!(effects.is_empty(), "the same answer waits for the same end");
    let (s, effects) = step(s, 203, done(1));
    assert_eq!(decided(&effects), [2, 4]);
    let (_, effects) = step(s, 204, asked(5, decide(Some("req-1"), true)));
    assert_eq!((decided(&effects), tells(&effects).len()), (vec![5], 0));
}

#[test]
fn which_request_is_meant() {
    let (s, effects) = step(remote(), 50, phone(2, decide(None, true)));
    assert_eq!(refused(&effects), [(2, Code::NotFound)]);
    let (s, _) = step(s, 100, heard(1, 2_000, asks("req-1")));
    let (s, _) = step(s, 101, heard(1, 2_001, asks("req-2")));
    for (id, code) in [(None, Code::Ambiguous), (Some("req"), Code::Ambiguous), (Some("x"), Code::NotFound)] {
        let (_, effects) = step(s.clone(), 102, phone(3, decide(id, true)));
        assert_eq!(refused(&effects), [(3, code)]);
    }
    let (_, effects) = step(s, 103, phone(4, decide(Some("req-2"), false)));
    assert_eq!(told(&effects), [(1, false)]);
}

#[test]
fn abort_exit_switch_and_the_agent_itself_withdraw_visibly() {
    let id = "req-1".parse().expect("an id");
    let s = step(taken(), 100, heard(2, 3_000, asks("req-1"))).0;
    for input in [
        phone(2, Command::Abort),
        exited(2, Exit::Code(0), 0),
        asked(3, switch(Control::Local)),
        asked(4, crate::stop(false)),
        heard(2, 3_001, vec![AgentEvent::Withdrawn { id }]),
        crate::gone(None, true),
    ] {
        let (after, effects) = step(s.clone(), 200, input.clone());
        assert_eq!(outcomes(&effects), [Outcome::Withdrawn], "{input:?}");
        assert!(after.view().agent.is_some_and(|agent| agent.pending.is_empty()));
        let (_, effects) = step(after, 300, phone(9, decide(Some("req-1"), true)));
        assert_eq!(refused(&effects).len(), 1, "nothing waits for it: {effects:?}");
    }
}

#[test]
fn a_request_withdrawn_while_it_is_answered_ends_once() {
    let (s, _) = step(waiting(), 200, phone(2, decide(None, true)));
    let id = "req-1".parse().expect("an id");
    let (s, effects) = step(s, 201, heard(1, 3_000, vec![AgentEvent::Withdrawn { id }]));
    assert!(outcomes(&effects).is_empty());
    let (_, effects) = step(s, 202, done(1));
    assert_eq!(decided(&effects), [2]);
}

#[test]
fn a_waiting_request_stands_under_the_next_daemon_and_the_agent_gets_the_answer() {
    let (s, _) = step(again(&waiting(), REMOTE), 1, adopted(1, 100));
    assert!(s.view().agent.is_some_and(|agent| agent.pending.len() == 1));
    let (s, effects) = step(s, 2, phone(2, decide(None, true)));
    assert_eq!(told(&effects).len(), 1);
    // Decided and not delivered when the daemon ended: told again.
    let (_, effects) = step(again(&s, REMOTE), 1, adopted(1, 100));
    assert_eq!(told(&effects), [(1, true)]);
    let (s, _) = step(s, 3, done(1));
    let (_, effects) = step(again(&s, REMOTE), 1, adopted(1, 100));
    assert!(told(&effects).is_empty(), "it has the answer");
}

/// What the agent that asked never heard is nothing to the next one.
#[test]
fn a_decision_is_never_told_to_another_runner() {
    let (s, _) = step(waiting(), 200, phone(2, decide(None, true)));
    let (s, effects) = step(s, 201, exited(1, Exit::Signal(9), 0));
    assert_eq!(refused(&effects), [(2, Code::WrongState)], "the agent does not have it");
    let (s, _) = step(s, 202, asked(3, Command::Resume));
    let (s, _) = step(s, 203, crate::gone(None, true));
    let (s, _) = step(s, 204, crate::holder_up());
    let (s, effects) = step(s, 205, up(2, 7));
    assert!(told(&effects).is_empty(), "{effects:?}");
    let (_, effects) = step(s, 206, crate::ready(2));
    assert!(told(&effects).is_empty(), "{effects:?}");
}

#[test]
fn policy_decides_and_says_why_and_never_a_question() {
    let rules = vec![rule(Verdict::Allow, "npm test")];
    let (s, _) = step(remote(), 50, policy(rules, OnNoAnswer::Wait));
    let (s, effects) = step(s, 100, heard(1, 2_000, asks("req-1")));
    assert_eq!((outcomes(&effects), told(&effects)), (vec![Outcome::Allowed], vec![(1, true)]));
    let why = logged(&effects).into_iter().find_map(|body| match body {
        EventBody::PermissionEnded { why, origin: Origin::Daemon, .. } => Some(why.clone()),
        _ => None,
    });
    assert!(why.is_some_and(|why| why.contains("npm test")), "{effects:?}");
    let question = PermissionAsk { question: true, ..ask("req-2") };
    let (_, effects) = step(s, 101, heard(1, 2_001, vec![AgentEvent::Asked { ask: question }]));
    assert!(outcomes(&effects).is_empty());
}

#[test]
fn nobody_answers() {
    let (s, _) = step(remote(), 50, policy(Vec::new(), OnNoAnswer::AllowReadOnly));
    let (s, _) = step(s, 100, heard(1, 2_000, asks("req-1")));
    let reads = PermissionAsk { read_only: true, ..ask("req-2") };
    let (s, _) = step(s, 100, heard(1, 2_001, vec![AgentEvent::Asked { ask: reads }]));
    assert_eq!(s.deadline().map(|d| d.at), Some(5_100));
    let (s, effects) = step(s, 5_100, Input::Tick);
    assert_eq!(outcomes(&effects), [Outcome::Expired, Outcome::Allowed]);
    assert_eq!(told(&effects), [(1, false), (2, true)]);
    assert_eq!(s.deadline(), None);
}

#[test]
fn a_request_waits_for_ever_by_default_and_its_time_goes_on_under_the_next_daemon() {
    assert_eq!(waiting().deadline(), None);
    let (s, _) = step(remote(), 50, policy(Vec::new(), OnNoAnswer::Deny));
    let (s, _) = step(s, 100, heard(1, 2_000, asks("req-1")));
    // The next daemon's clocks start 4 s later by the wall.
    let record = s.record().clone();
    let seq = record.last_seq;
    let s = Session::restored(record, seq, &[], REMOTE);
    let (s, _) = step(s, 4_100, happened(Happening::Restore));
    assert_eq!(s.deadline().map(|d| d.at), Some(5_100));
}

#[test]
fn allowed_for_the_session_is_that_very_thing_and_a_denial_beats_it() {
    let for_session = Decision { scope: Scope::Session, ..decision(true) };
    let command = Command::Decide { permission: None, decision: for_session };
    let denied = Decision { scope: Scope::Session, ..decision(false) };
    let denied = Command::Decide { permission: None, decision: denied };
    let (no, effects) = step(waiting(), 200, phone(2, denied));
    let (no, _) = step(no, 201, done(told(&effects)[0].0));
    let (_, effects) = step(no, 202, heard(1, 3_000, asks("req-2")));
    assert!(outcomes(&effects).is_empty(), "a denial is remembered as nothing");
    let (s, effects) = step(waiting(), 200, phone(2, command));
    let (s, _) = step(s, 201, done(told(&effects)[0].0));
    let (s, effects) = step(s, 202, heard(1, 3_000, asks("req-2")));
    assert_eq!(outcomes(&effects), [Outcome::Allowed]);
    let other = PermissionAsk { command: Some("npm test; rm -rf /".into()), ..ask("req-3") };
    let (s, effects) = step(s, 203, heard(1, 3_001, vec![AgentEvent::Asked { ask: other }]));
    assert!(outcomes(&effects).is_empty(), "the exact words only");
    let (s, _) = step(s, 204, policy(vec![rule(Verdict::Ask, "npm")], OnNoAnswer::Wait));
    let (s, effects) = step(s, 204, heard(1, 3_002, asks("req-5")));
    assert!(outcomes(&effects).is_empty(), "who wants to be asked is asked");
    let (s, _) = step(s, 204, policy(vec![rule(Verdict::Deny, "npm")], OnNoAnswer::Wait));
    let (_, effects) = step(s, 205, heard(1, 3_003, asks("req-4")));
    assert_eq!(outcomes(&effects), [Outcome::Denied]);
}

#[test]
fn bypass_is_boxed_in_time_and_shown() {
    let bypass = |for_ms| Command::Bypass { for_ms };
    let (s, effects) = step(remote(), 100, asked(2, bypass(Some(86_400_001))));
    assert_eq!(refused(&effects), [(2, Code::BadParams)]);
    let (s, effects) = step(s, 101, asked(3, bypass(Some(1_000))));
    assert!(matches!(crate::answers(&effects)[..], [(3, Ok(view))] if view.warnings.len() == 1));
    let (s, effects) = step(s, 102, heard(1, 2_000, asks("req-1")));
    assert_eq!(outcomes(&effects), [Outcome::Allowed]);
    assert_eq!(s.deadline().map(|d| d.at), Some(1_101));
    let (s, effects) = step(s, 1_101, Input::Tick);
    assert!(matches!(logged(&effects)[..], [EventBody::BypassChanged { until_ms: None, .. }]));
    assert!(s.view().warnings.is_empty() && s.view().agent.is_some_and(|a| a.bypass_until_ms.is_none()));
    let (_, effects) = step(s, 1_102, heard(1, 2_002, asks("req-2")));
    assert!(outcomes(&effects).is_empty());
}

#[test]
fn pending_and_completed_have_bounds() {
    let s = (0..64).fold(remote(), |s, n| step(s, 100, heard(1, 2_000 + n, asks(&format!("req-{n}")))).0);
    let (s, effects) = step(s, 101, heard(1, 3_000, asks("more")));
    assert_eq!(outcomes(&effects), [Outcome::Denied], "asked, and ended once");
    let s = (0..300).fold(s, |s, n| {
        let (s, effects) = step(s, 200, heard(1, 4_000 + n, asks(&format!("extra-{n}"))));
        told(&effects).into_iter().fold(s, |s, (tag, _)| step(s, 200, done(tag)).0)
    });
    let kept = &s.record().agent.permissions;
    assert!(kept.len() <= 64 + 201, "{}", kept.len());
    let ended: Vec<&str> = kept.iter().filter(|v| v.ended.is_some()).map(|v| v.ask.id.as_str()).collect();
    let newest = (300 - ended.len()..300).map(|n| format!("extra-{n}"));
    assert!(ended.len() >= 200 && newest.eq(ended.iter().copied()), "the oldest goes: {ended:?}");
    assert_eq!(s.breach(), None);
}

#[test]
fn another_runner_may_use_the_same_id_again() {
    let (s, _) = step(waiting(), 200, phone(2, decide(None, true)));
    let (s, _) = step(s, 201, done(1));
    let (s, _) = step(s, 202, exited(1, Exit::Code(0), 0));
    let (s, _) = step(s, 203, asked(3, Command::Resume));
    let (s, _) = step(s, 204, crate::gone(None, true));
    let (s, _) = step(s, 205, crate::holder_up());
    let (s, _) = step(s, 206, up(2, 7));
    let (s, _) = step(s, 207, heard(2, 9_000, asks("req-1")));
    assert!(s.view().agent.is_some_and(|agent| agent.pending.len() == 1));
}

#[test]
fn the_desktop_is_asked_in_its_own_terminal() {
    let s = running(RestartPolicy::Never, BOTH);
    let (_, effects) = step(s, 100, heard(1, 2_000, asks("req-1")));
    assert!(logged(&effects).is_empty(), "{effects:?}");
}

#[test]
fn a_decision_that_cannot_be_stored_is_not_told_before_it_is() {
    let (s, _) = step(waiting(), 200, phone(2, decide(None, true)));
    let log_seq = s.record().last_seq - 1;
    let (s, effects) = step(s, 200, happened(Happening::StoreFailed { reason: "full".into(), log_seq }));
    assert_eq!((refused(&effects), tells(&effects).len()), (vec![(2, Code::Storage)], 0));
    let (_, effects) = step(s, 1_200, Input::Tick);
    assert_eq!(told(&effects), [(1, true)]);
}
