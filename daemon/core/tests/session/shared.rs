//! Desktop and phone at once: kinds whose one runner serves both.

use delight_core::session::{Capabilities, Command, Controls, Effect, Input};
use delight_core::testing::table::{asked, fresh_record, running, step};
use delight_proto::agent::{AgentOrder, Control, Message};
use delight_proto::refusal::Code;
use delight_proto::session::{Exit, Origin, Phase, RestartPolicy};

use crate::{
    BOTH, adopted, again, answers, exited, gone, holder_up, logged, phone, ready, refused, signals, starts,
    stop, switch, tells, up,
};

const SHARED: Capabilities =
    Capabilities { controls: Controls { local: true, remote: true, shared: true }, ..BOTH };

/// One that runs and is ready, in generation 1.
fn shared() -> delight_core::session::Session {
    step(running(RestartPolicy::Never, SHARED), 11, ready(1)).0
}

#[test]
fn a_shared_session_begins_with_the_runner_that_serves_both_whoever_asks() {
    let mut record = fresh_record(RestartPolicy::Never);
    record.spec.agent.control = Some(Control::Local);
    let s = delight_core::session::Session::new(record, SHARED);
    let (s, _) = step(s, 1, asked(1, Command::Start));
    let (_, effects) = step(s, 2, holder_up());
    let wanted = Effect::StartRunner { generation: 1, keep: true, control: Some(Control::Remote) };
    assert!(effects.contains(&wanted), "{effects:?}");
    let agent = shared().view().agent.unwrap();
    assert!(agent.shared && !agent.switching);
    assert_eq!(agent.controls, [Control::Local, Control::Remote]);
}

#[test]
fn control_of_a_shared_session_changes_hands_without_a_process() {
    // A step later: what its start had to tell is told.
    let (mut s, _) = step(shared(), 12, Input::Tick);
    let before = s.clone();
    for round in 0..50 {
        for (ticket, to) in [(2 * round + 2, Control::Local), (2 * round + 3, Control::Remote)] {
            let (after, effects) = step(s, 20 + round, phone(ticket, switch(to)));
            assert_eq!((answers(&effects).len(), effects.len()), (1, 1), "answered, and nothing else");
            assert!(matches!(answers(&effects)[..], [(n, Ok(_))] if n == ticket), "{effects:?}");
            s = after;
        }
    }
    assert_eq!(s, before, "fifty there and back leave nothing behind");
}

#[test]
fn a_phone_is_heard_in_a_shared_session_without_taking_over() {
    let message = Message { local_id: "m-1".parse().unwrap(), text: "hello".into(), origin: Origin::Daemon };
    let (s, _) = step(shared(), 20, asked(2, switch(Control::Local)));
    let (s, effects) = step(s, 21, phone(3, Command::Prompt { message }));
    assert!(matches!(tells(&effects)[..], [(_, AgentOrder::Prompt { .. })]), "{effects:?}");
    assert!(signals(&effects).is_empty() && starts(&effects).is_empty());
    assert_eq!((s.record().generation, s.record().phase), (1, Phase::Running));
    let (_, effects) = step(s, 22, asked(4, Command::Send { bytes: b"ls\r".to_vec() }));
    assert_eq!(refused(&effects), [(4, Code::WrongState)], "it has no terminal to type into");
}

#[test]
fn a_switch_waits_until_a_shared_session_runs_and_is_refused_when_it_does_not() {
    let s = running(RestartPolicy::Never, SHARED);
    let (s, effects) = step(s, 11, asked(2, switch(Control::Local)));
    assert!(answers(&effects).is_empty(), "its agent takes no messages yet");
    let (s, effects) = step(s, 12, ready(1));
    assert!(answers(&effects).iter().any(|(n, result)| *n == 2 && result.is_ok()), "{effects:?}");
    let (s, _) = step(s, 13, asked(3, stop(true)));
    let (s, _) = step(s, 14, exited(1, Exit::Signal(9), 0));
    let (_, effects) = step(s, 15, asked(4, switch(Control::Local)));
    assert_eq!(refused(&effects), [(4, Code::WrongState)]);
}

#[test]
fn a_shared_agent_that_ends_has_ended() {
    let (s, effects) = step(shared(), 20, exited(1, Exit::Code(1), 0));
    assert!(starts(&effects).is_empty(), "the desktop drove it, too: there is nobody to fall back to");
    assert_eq!(s.record().phase, Phase::Exited);
    let (s, _) = step(s, 21, gone(None, true));
    let (s, _) = step(s, 22, asked(2, Command::Resume));
    let (_, effects) = step(s, 23, holder_up());
    assert!(effects.contains(&Effect::StartRunner {
        generation: 2,
        keep: true,
        control: Some(Control::Remote)
    }));
}

/// A daemon that shares finds a session of one that did not, with the desktop's own program in it.
#[test]
fn a_session_of_a_kind_that_was_not_shared_is_from_its_next_runner_on() {
    let old = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(again(&old, SHARED), 1, adopted(1, 100));
    assert!(s.view().agent.is_some_and(|agent| !agent.shared && agent.control == Control::Local));
    let (s, effects) = step(s, 2, phone(2, switch(Control::Remote)));
    assert_eq!(signals(&effects), [1, 15], "once, a process takes over from another");
    let (s, effects) = step(s, 3, exited(1, Exit::Signal(15), 0));
    assert_eq!(starts(&effects), [2]);
    let (s, _) = step(s, 4, up(2, 101));
    let (s, effects) = step(s, 5, ready(2));
    assert!(answers(&effects).iter().any(|(n, result)| *n == 2 && result.is_ok()));
    let (s, effects) = step(s, 6, asked(3, switch(Control::Local)));
    assert!(matches!(answers(&effects)[..], [(3, Ok(_))]) && logged(&effects).is_empty(), "{effects:?}");
    assert!(s.view().agent.is_some_and(|agent| agent.shared));
}
