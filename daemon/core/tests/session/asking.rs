//! Send, wait, remove.

use delight_core::actor::{Reducer, Ticket};
use delight_core::session::{Answer, Command, Effect, Happening, Input, Session};
use delight_core::testing::table::{asked, fresh_record, happened, running, step};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Exit, Phase, RestartPolicy};

use crate::{PLAIN, answers, ended, exited, gone, holder_up, refused, up};

#[test]
fn first_prompt_before_ready_delivered_once_and_in_order() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, _) = step(s, 1, asked(2, Command::Send { bytes: b"one".to_vec() }));
    let (s, _) = step(s, 2, asked(3, Command::Send { bytes: b"two".to_vec() }));
    let (s, _) = step(s, 3, holder_up());
    let (s, effects) = step(s, 4, up(1, 7));
    let written: Vec<_> = effects
        .iter()
        .filter_map(|e| if let Effect::Write { tag, bytes } = e { Some((*tag, &bytes[..])) } else { None })
        .collect();
    assert_eq!(written, [(1, &b"one"[..]), (2, &b"two"[..])]);
    let (s, effects) = step(s, 5, happened(Happening::TagDone { tag: 1 }));
    let sent = Effect::Reply { ticket: Ticket(2), result: Ok(Answer::Sent { bytes: 3 }) };
    assert!(effects.contains(&sent));
    let (_, effects) = step(s, 6, happened(Happening::TagDone { tag: 1 }));
    assert!(effects.is_empty(), "done once");
}

#[test]
fn input_for_a_start_that_fails_is_refused_not_kept() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, _) = step(s, 1, asked(2, Command::Send { bytes: b"one".to_vec() }));
    let refusal = Refusal::new(Code::StartFailed, "no holder", "no memory");
    let (_, effects) = step(s, 2, happened(Happening::HolderFailed { refusal }));
    assert_eq!(refused(&effects), [(2, Code::StartFailed), (1, Code::StartFailed)]);
}

#[test]
fn input_bounds_are_answers() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, _) = step(s, 1, asked(2, Command::Send { bytes: vec![0; 64 << 10] }));
    let (s, effects) = step(s, 1, asked(3, Command::Send { bytes: vec![0; 1] }));
    assert_eq!(refused(&effects), [(3, Code::Busy)]);
    let (_, effects) = step(s, 1, asked(4, Command::Send { bytes: vec![0; (1 << 20) + 1] }));
    assert_eq!(refused(&effects), [(4, Code::TooLarge)]);
    let s = (0..64).fold(running(RestartPolicy::Never, PLAIN), |s, n| {
        let (s, effects) = step(s, 100, asked(10 + n, Command::Send { bytes: vec![b'x'] }));
        assert!(answers(&effects).is_empty());
        s
    });
    let (_, effects) = step(s, 100, asked(99, Command::Send { bytes: vec![b'x'] }));
    assert_eq!(refused(&effects), [(99, Code::Busy)]);
}

#[test]
fn send_to_an_ended_session_is_refused() {
    let (_, effects) = step(ended(), 100, asked(2, Command::Send { bytes: b"x".to_vec() }));
    assert_eq!(refused(&effects), [(2, Code::WrongState)]);
}

#[test]
fn wait_returns_when_child_crashed() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) =
        step(s, 100, asked(2, Command::Wait { phases: Vec::new(), activity: Vec::new(), timeout_ms: None }));
    let (_, effects) = step(s, 200, exited(1, Exit::Signal(11), 0));
    assert!(matches!(answers(&effects)[..], [(2, Ok(view))] if view.exit == Some(Exit::Signal(11))));
}

#[test]
fn who_controls_is_shown_until_the_holder_is_gone_and_is_no_event() {
    let named = |name: &str| happened(Happening::Control { by: Some(name.to_owned()) });
    let (s, effects) = step(running(RestartPolicy::Never, PLAIN), 100, named("delightctl attach"));
    assert_eq!(s.view().controller.as_deref(), Some("delightctl attach"));
    assert!(matches!(&effects[..], [Effect::Publish { .. }]), "{effects:?}");
    let (s, effects) = step(s, 101, named("delightctl attach"));
    assert!(effects.is_empty(), "nothing has changed: {effects:?}");
    let (s, _) = step(s, 102, named(&"x".repeat(1000)));
    assert_eq!(s.view().controller.map(|name| name.len()), Some(80));
    let (s, _) = step(s, 103, happened(Happening::Control { by: None }));
    assert_eq!(s.view().controller, None);
    let (s, _) = step(s, 104, named("x"));
    let (s, _) = step(s, 105, exited(1, Exit::Code(0), 0));
    let (s, _) = step(s, 106, gone(None, true));
    assert_eq!(s.view().controller, None);
}

#[test]
fn wait_times_out() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) = step(
        s,
        100,
        asked(2, Command::Wait { phases: vec![Phase::Exited], activity: Vec::new(), timeout_ms: Some(50) }),
    );
    assert_eq!(s.deadline().map(|d| d.at), Some(150));
    let (_, effects) = step(s, 150, Input::Tick);
    assert_eq!(refused(&effects), [(2, Code::Timeout)]);
}

#[test]
fn remove_waits_for_the_holder_and_refuses_the_living() {
    let (s, effects) = step(running(RestartPolicy::Never, PLAIN), 100, asked(2, Command::Remove));
    assert_eq!(refused(&effects), [(2, Code::WrongState)]);
    let (s, _) = step(s, 200, exited(1, Exit::Code(0), 0));
    let (s, effects) = step(s, 201, asked(3, Command::Remove));
    assert!(effects.is_empty(), "its holder is still there: {effects:?}");
    let (s, effects) = step(s, 202, gone(None, true));
    let removed = Effect::Reply { ticket: Ticket(3), result: Ok(Answer::Removed(s.record().id)) };
    assert_eq!(effects, [Effect::Forget, removed, Effect::Gone]);
    let (_, effects) = step(s, 203, asked(4, Command::Resume));
    assert_eq!(refused(&effects), [(4, Code::NotFound)]);
}

#[test]
fn inputs_can_be_recorded_as_json() {
    let input = exited(3, Exit::Signal(9), 1);
    let text = serde_json::to_string(&input).expect("plain data");
    assert_eq!(serde_json::from_str::<Input>(&text).expect("reads back"), input);
}

#[test]
fn what_is_sent_is_never_printed() {
    let secret = Command::Send { bytes: b"hunter2".to_vec() };
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, _) = step(s, 1, asked(2, secret.clone()));
    let printed = format!("{secret:?} {s:?}");
    assert!(!printed.contains("hunter2") && !printed.contains("104, 117, 110"), "{printed}");
}

#[test]
fn a_caller_that_went_away_takes_up_no_room() {
    let wait = || Command::Wait { phases: vec![Phase::Exited], activity: Vec::new(), timeout_ms: None };
    let s = (0..64).fold(running(RestartPolicy::Never, PLAIN), |s, n| step(s, 20, asked(100 + n, wait())).0);
    let (s, effects) = step(s, 21, asked(2, wait()));
    assert_eq!(refused(&effects), [(2, Code::Busy)]);
    let (s, effects) = step(s, 22, Input::Abandoned { ticket: Ticket(100) });
    assert!(effects.is_empty(), "{effects:?}");
    let (s, effects) = step(s, 23, asked(3, wait()));
    assert!(effects.is_empty(), "there is room again: {effects:?}");
    let (_, effects) = step(s, 24, exited(1, Exit::Code(0), 0));
    let told: Vec<u64> = answers(&effects).into_iter().map(|(ticket, _)| ticket).collect();
    assert!(told.contains(&3) && !told.contains(&100), "{told:?}");
}
