//! Who drives: the rows of the table about switches, and the faults to leave behind.

use delight_core::actor::{Reducer, Ticket};
use delight_core::session::{Command, Effect, Happening, Input, Session};
use delight_core::testing::table::{asked, fresh_record, happened, running, step};
use delight_proto::agent::{AgentEvent, AgentOrder, Control};
use delight_proto::event::EventBody;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Exit, Origin, Phase, RestartPolicy};

use crate::{
    BOTH, PLAIN, REMOTE, adopted, again, answers, exited, gone, heard, holder_up, logged, phone, ready,
    refused, remote, signals, starts, stop, switch, taken, tells, up,
};

fn control(s: &Session) -> (Option<Control>, Phase, u64) {
    (s.record().agent.control, s.record().phase, s.record().generation)
}

fn refusal() -> Refusal {
    Refusal::new(Code::StartFailed, "it cannot serve", "not logged in")
}

#[test]
fn a_switch_to_who_drives_is_answered_at_once_and_does_nothing_else() {
    let (s, effects) = step(taken(), 100, asked(2, switch(Control::Remote)));
    assert_eq!((answers(&effects).len(), effects.len()), (1, 1), "{effects:?}");
    assert_eq!(control(&s), (Some(Control::Remote), Phase::Running, 2));
}

#[test]
fn switch_to_remote_ends_the_one_starts_the_other_and_answers_when_it_is_ready() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, effects) = step(s, 20, phone(2, switch(Control::Remote)));
    assert_eq!(signals(&effects), [1, 15], "politely");
    assert!(starts(&effects).is_empty() && answers(&effects).is_empty());
    assert!(s.view().agent.is_some_and(|agent| agent.switching && agent.control == Control::Remote));
    let (s, effects) = step(s, 30, exited(1, Exit::Signal(15), 0));
    assert!(effects.contains(&Effect::StartRunner {
        generation: 2,
        keep: true,
        control: Some(Control::Remote)
    }));
    let (s, effects) = step(s, 31, up(2, 101));
    assert!(answers(&effects).is_empty(), "it is up, and takes no messages yet");
    assert_eq!(control(&s), (Some(Control::Remote), Phase::Starting, 2));
    let (s, effects) = step(s, 32, ready(2));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_))]), "{effects:?}");
    assert_eq!(control(&s), (Some(Control::Remote), Phase::Running, 2));
    assert!(s.view().agent.is_some_and(|agent| !agent.switching));
}

#[test]
fn switch_to_local_tells_the_agent_to_end_then_signals_then_kills() {
    let (s, effects) = step(taken(), 100, asked(2, switch(Control::Local)));
    assert!(matches!(tells(&effects)[..], [(_, AgentOrder::End)]) && signals(&effects).is_empty());
    let (s, effects) = step(s, 2_100, Input::Tick);
    assert_eq!(signals(&effects), [1, 15]);
    let (s, effects) = step(s, 5_100, Input::Tick);
    assert_eq!(signals(&effects), [9]);
    let (s, effects) = step(s, 5_101, exited(2, Exit::Signal(9), 0));
    assert_eq!(starts(&effects), [3]);
    let (s, effects) = step(s, 5_102, up(3, 102));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_))]), "local is ready when it is up");
    assert_eq!(control(&s), (Some(Control::Local), Phase::Running, 3));
}

#[test]
fn a_second_switch_does_not_forget_the_first_caller() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, effects) = step(s, 21, phone(3, switch(Control::Remote)));
    assert!(effects.is_empty(), "it is under way");
    let (s, _) = step(s, 22, asked(4, switch(Control::Local)));
    let (s, _) = step(s, 30, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 31, up(2, 101));
    let (s, effects) = step(s, 32, ready(2));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_)), (3, Ok(_))]), "{effects:?}");
    assert_eq!(control(&s).0, Some(Control::Local), "and now the next");
    let (s, _) = step(s, 40, exited(2, Exit::Code(0), 0));
    let (_, effects) = step(s, 41, up(3, 102));
    assert!(matches!(answers(&effects)[..], [(4, Ok(_))]));
}

#[test]
fn an_invalid_target_is_refused_before_anything_is_touched() {
    let s = remote();
    let (after, effects) = step(s.clone(), 100, asked(2, switch(Control::Local)));
    assert_eq!(refused(&effects), [(2, Code::WrongState)]);
    assert_eq!((after.record(), effects.len()), (s.record(), 1));
    let (_, effects) = step(running(RestartPolicy::Never, PLAIN), 100, asked(2, switch(Control::Remote)));
    assert_eq!(refused(&effects), [(2, Code::WrongState)], "a plain terminal never changes hands");
}

#[test]
fn a_failed_switch_falls_back_by_starting_the_former_mode() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, _) = step(s, 30, exited(1, Exit::Signal(15), 0));
    let (s, effects) = step(s, 31, happened(Happening::RunnerFailed { generation: 2, refusal: refusal() }));
    assert_eq!(refused(&effects), [(2, Code::StartFailed)]);
    assert!(effects.contains(&Effect::StartRunner {
        generation: 3,
        keep: true,
        control: Some(Control::Local)
    }));
    let (s, _) = step(s, 32, up(3, 102));
    assert_eq!(control(&s), (Some(Control::Local), Phase::Running, 3));
    let (_, effects) = step(s, 33, asked(3, switch(Control::Local)));
    assert!(matches!(answers(&effects)[..], [(3, Ok(view))] if view.pid == Some(102)), "a real process");
}

#[test]
fn an_exit_while_starting_fails_the_switch_with_the_reason() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, _) = step(s, 30, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 31, up(2, 101));
    let (s, effects) = step(s, 40, exited(2, Exit::Code(7), 0));
    let reason = effects.iter().find_map(|e| match e {
        Effect::Reply { ticket: Ticket(2), result: Err(refusal) } => Some(refusal.reason.clone()),
        _ => None,
    });
    assert!(reason.is_some_and(|reason| reason.contains("exit status 7")), "{effects:?}");
    assert_eq!((starts(&effects), control(&s).0), (vec![3], Some(Control::Local)));
}

#[test]
fn an_agent_that_cannot_serve_says_why() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, _) = step(s, 30, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 31, up(2, 101));
    let (s, effects) = step(s, 32, heard(2, 9, vec![AgentEvent::Unable { refusal: refusal() }]));
    assert!(!signals(&effects).is_empty() || !tells(&effects).is_empty(), "{effects:?}");
    let (s, effects) = step(s, 40, exited(2, Exit::Code(1), 0));
    assert_eq!((refused(&effects), starts(&effects)), (vec![(2, Code::StartFailed)], vec![3]));
    assert_eq!(control(&s).0, Some(Control::Local));
}

#[test]
fn an_agent_that_is_never_ready_is_given_up_after_its_time() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, _) = step(s, 30, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 31, up(2, 101));
    assert_eq!(s.deadline().map(|d| d.at), Some(15_030));
    let (s, effects) = step(s, 15_030, Input::Tick);
    assert_eq!(signals(&effects), [9]);
    let (_, effects) = step(s, 15_040, exited(2, Exit::Signal(9), 0));
    assert_eq!((refused(&effects), starts(&effects)), (vec![(2, Code::StartFailed)], vec![3]));
}

#[test]
fn a_second_failure_ends_the_session_truthfully() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, _) = step(s, 30, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 31, happened(Happening::RunnerFailed { generation: 2, refusal: refusal() }));
    let (s, _) = step(s, 32, happened(Happening::RunnerFailed { generation: 3, refusal: refusal() }));
    assert_eq!(control(&s), (Some(Control::Local), Phase::Failed, 3));
    let (_, effects) = step(s, 33, asked(3, switch(Control::Remote)));
    assert_eq!(refused(&effects), [(3, Code::WrongState)], "nothing runs: nothing is switched");
}

#[test]
fn an_exit_in_remote_mode_starts_local_again() {
    let (s, effects) = step(taken(), 100, exited(2, Exit::Code(0), 0));
    assert_eq!((starts(&effects), control(&s)), (vec![3], (Some(Control::Local), Phase::Starting, 3)));
    let fell = |body: &&EventBody| matches!(body, EventBody::ControlChanged { origin: Origin::Daemon, .. });
    assert!(logged(&effects).iter().any(fell));
}

#[test]
fn an_exit_in_remote_mode_without_a_desktop_ends_it() {
    let (s, effects) = step(remote(), 100, exited(1, Exit::Code(3), 0));
    assert!(starts(&effects).is_empty());
    assert_eq!((s.record().phase, s.record().exit), (Phase::Exited, Some(Exit::Code(3))));
}

#[test]
fn an_exit_in_local_mode_closes_it_with_the_status() {
    let (s, effects) = step(running(RestartPolicy::Never, BOTH), 100, exited(1, Exit::Code(4), 0));
    assert!(starts(&effects).is_empty() && effects.contains(&Effect::CloseHolder));
    assert_eq!((s.record().phase, s.record().exit), (Phase::Exited, Some(Exit::Code(4))));
}

#[test]
fn a_late_exit_of_the_former_runner_changes_nothing() {
    let (s, effects) = step(taken(), 100, exited(1, Exit::Signal(9), 0));
    assert!(effects.is_empty(), "{effects:?}");
    let (_, effects) = step(s, 101, ready(1));
    assert!(effects.is_empty(), "{effects:?}");
}

#[test]
fn stop_during_a_switch_ends_what_is_tracked_and_answers_both() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, effects) = step(s, 21, asked(3, stop(true)));
    assert_eq!((signals(&effects), refused(&effects)), (vec![9], vec![(2, Code::WrongState)]));
    let (s, effects) = step(s, 22, exited(1, Exit::Signal(9), 0));
    assert!(matches!(answers(&effects)[..], [(3, Ok(_))]) && starts(&effects).is_empty());
    assert_eq!(s.record().phase, Phase::Stopped);
}

#[test]
fn closing_becomes_closed_when_nothing_is_alive() {
    let s = Session::new(fresh_record(RestartPolicy::Never), BOTH);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, effects) = step(s, 1, asked(2, stop(false)));
    assert_eq!((answers(&effects).len(), s.record().phase), (2, Phase::Stopped));
}

#[test]
fn a_dead_holder_does_not_lose_a_switch() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, effects) = step(s, 30, gone(None, true));
    assert_eq!(effects.iter().filter(|e| **e == Effect::Launch).count(), 1, "{effects:?}");
    let (s, effects) = step(s, 31, holder_up());
    assert_eq!(starts(&effects), [2]);
    let (s, _) = step(s, 32, up(2, 101));
    let (_, effects) = step(s, 33, ready(2));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_))]));
}

#[test]
fn a_switch_goes_on_under_the_next_daemon() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, effects) = step(again(&s, BOTH), 1, adopted(1, 100));
    assert_eq!(signals(&effects), [1, 15], "the former runner still has to go");
    let (s, effects) = step(s, 2, exited(1, Exit::Signal(15), 0));
    assert!(effects.contains(&Effect::StartRunner {
        generation: 2,
        keep: true,
        control: Some(Control::Remote)
    }));
    // And once more, between up and ready.
    let (s, _) = step(s, 3, up(2, 101));
    let (s, _) = step(again(&s, BOTH), 1, adopted(2, 101));
    assert_eq!(control(&s), (Some(Control::Remote), Phase::Starting, 2));
    assert!(s.deadline().is_some(), "it does not wait for ever");
    let (s, _) = step(s, 2, ready(2));
    assert_eq!(control(&s).1, Phase::Running);
    let (s, _) = step(again(&s, BOTH), 1, adopted(2, 101));
    assert_eq!(control(&s).1, Phase::Running, "that it was ready is on record");
}

#[test]
fn resume_goes_on_with_who_drove_and_the_conversation() {
    let id = "talk-1".parse().expect("an id");
    let (s, _) = step(remote(), 50, heard(1, 2_000, vec![AgentEvent::Conversation { id }]));
    let (s, _) = step(s, 100, exited(1, Exit::Code(0), 0));
    let (s, _) = step(s, 101, gone(None, true));
    let (s, _) = step(s, 102, asked(2, Command::Resume));
    let (s, effects) = step(s, 103, holder_up());
    assert!(effects.contains(&Effect::StartRunner {
        generation: 2,
        keep: true,
        control: Some(Control::Remote)
    }));
    assert_eq!(s.record().agent.launched.conversation.as_ref().map(|id| id.as_str()), Some("talk-1"));
    let (s, effects) = step(s, 104, up(2, 7));
    assert!(answers(&effects).is_empty());
    let (_, effects) = step(s, 105, ready(2));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_))]));
}

#[test]
fn who_drives_at_first_is_as_asked_where_it_is_offered() {
    let first = |wanted, capabilities| {
        let mut record = fresh_record(RestartPolicy::Never);
        record.spec.agent.control = wanted;
        record.spec.agent.mode.model = Some("small".into());
        let s = Session::new(record, capabilities);
        (s.record().agent.control, s.record().agent.mode.model.is_some())
    };
    assert_eq!(first(None, BOTH), (Some(Control::Local), true));
    assert_eq!(first(Some(Control::Remote), BOTH), (Some(Control::Remote), true));
    assert_eq!(first(Some(Control::Local), REMOTE), (Some(Control::Remote), true));
    assert_eq!(first(Some(Control::Remote), PLAIN), (None, false));
}

#[test]
fn raw_input_never_reaches_an_agent_that_the_phone_drives() {
    let (_, effects) = step(taken(), 100, asked(2, Command::Send { bytes: b"x".to_vec() }));
    assert_eq!(refused(&effects), [(2, Code::WrongState)]);
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (_, effects) = step(s, 21, asked(3, Command::Send { bytes: b"x".to_vec() }));
    assert_eq!(refused(&effects), [(3, Code::WrongState)]);
}

#[test]
fn a_switch_that_nobody_waits_for_any_more_goes_on_and_one_not_begun_is_forgotten() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, _) = step(s, 21, asked(3, switch(Control::Local)));
    let (s, _) = step(s, 22, Input::Abandoned { ticket: Ticket(2) });
    let (s, _) = step(s, 23, Input::Abandoned { ticket: Ticket(3) });
    let (s, _) = step(s, 30, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 31, up(2, 101));
    let (s, effects) = step(s, 32, ready(2));
    assert_eq!(control(&s), (Some(Control::Remote), Phase::Running, 2));
    let to_somebody = |e: &&Effect| matches!(e, Effect::Reply { ticket, .. } if *ticket != Ticket::NOBODY);
    assert!(!effects.iter().any(|e| to_somebody(&e)), "{effects:?}");
}

#[test]
fn who_waits_for_control_is_bounded() {
    let s = running(RestartPolicy::Never, BOTH);
    let s = (0..64).fold(s, |s, n| step(s, 20, phone(100 + n, switch(Control::Remote))).0);
    let (_, effects) = step(s, 21, phone(2, switch(Control::Remote)));
    assert_eq!(refused(&effects), [(2, Code::Busy)]);
}

/// The daemon died after the fall back was appended and before the record was saved.
#[test]
fn a_fall_back_is_no_change_of_hands_for_the_next_daemon() {
    let s = taken();
    let saved = s.record().clone();
    let (_, effects) = step(s, 100, exited(2, Exit::Code(0), 0));
    let of = |e: &Effect| if let Effect::Append(event) = e { Some(event.clone()) } else { None };
    let tail: Vec<_> = effects.iter().filter_map(of).collect();
    let seq = tail.last().expect("it is on record").seq;
    let agent = Session::restored(saved, seq, &tail, BOTH).record().agent.clone();
    assert_eq!((agent.control, agent.handover), (Some(Control::Local), None));
}

/// Given up, and then it comes up after all: it runs for nobody, and who drove before does again.
#[test]
fn a_runner_that_comes_up_after_its_start_was_given_up_does_not_run() {
    let (s, _) = step(taken(), 100, asked(2, switch(Control::Local)));
    let (s, _) = step(s, 101, exited(2, Exit::Code(0), 0));
    let (s, effects) = step(s, 15_101, Input::Tick);
    assert_eq!((signals(&effects), control(&s)), (vec![9], (Some(Control::Local), Phase::Starting, 3)));
    let (s, effects) = step(s, 15_102, up(3, 102));
    assert_eq!((signals(&effects), control(&s).1), (vec![9], Phase::Starting), "it is not said to run");
    let (s, effects) = step(s, 15_103, exited(3, Exit::Signal(9), 0));
    assert_eq!((refused(&effects), starts(&effects)), (vec![(2, Code::StartFailed)], vec![4]));
    assert_eq!(control(&s), (Some(Control::Remote), Phase::Starting, 4));
}
