//! Messages for the agent.

use delight_core::actor::Ticket;
use delight_core::session::{Answer, Command, Effect, Happening, Input, Session};
use delight_core::testing::table::{asked, fresh_record, happened, running, step};
use delight_proto::agent::{Activity, AgentEvent, AgentOrder, Control, Message, Mode};
use delight_proto::event::EventBody;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Exit, Origin, Phase, PhoneMessages, RestartPolicy};

use crate::{
    BOTH, REMOTE, adopted, again, done, exited, gone, heard, holder_up, logged, phone, ready, refused,
    remote, stop, switch, taken, tells, up,
};

fn message(id: &str, text: &str) -> Message {
    Message { local_id: id.parse().expect("an id"), text: text.into(), origin: Origin::Daemon }
}

fn prompt(id: &str) -> Command {
    Command::Prompt { message: message(id, "do it") }
}

fn prompted(effects: &[Effect]) -> Vec<u64> {
    let of = |e: &Effect| match e {
        Effect::Reply { ticket: Ticket(n), result: Ok(Answer::Prompted { .. }) } => Some(*n),
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

fn told(effects: &[Effect]) -> Vec<&str> {
    let prompts = tells(effects).into_iter().filter_map(|(_, order)| match order {
        AgentOrder::Prompt { message } => Some(message.local_id.as_str()),
        _ => None,
    });
    prompts.collect()
}

#[test]
fn a_message_is_on_record_before_it_is_told_and_answered_when_the_agent_has_it() {
    let (s, effects) = step(remote(), 100, phone(2, prompt("a")));
    let append = effects.iter().position(|e| matches!(e, Effect::Append(_)));
    let tell = effects.iter().position(|e| matches!(e, Effect::Tell { .. }));
    assert!(append < tell && append.is_some() && prompted(&effects).is_empty(), "{effects:?}");
    let tag = tells(&effects)[0].0;
    let (s, effects) = step(s, 101, done(tag));
    assert_eq!(prompted(&effects), [2]);
    assert!(s.record().agent.queue.is_empty());
}

#[test]
fn the_same_message_again_is_answered_like_the_first_and_told_once() {
    let (s, _) = step(remote(), 100, phone(2, prompt("a")));
    let (s, effects) = step(s, 101, phone(3, prompt("a")));
    assert!(effects.is_empty(), "the first is under way");
    let (s, effects) = step(s, 102, done(1));
    assert_eq!(prompted(&effects), [2, 3]);
    let (_, effects) = step(s, 103, phone(4, prompt("a")));
    assert_eq!((prompted(&effects), tells(&effects).len()), (vec![4], 0));
}

#[test]
fn empty_and_huge_messages_are_refused() {
    let say = |text: String| Command::Prompt { message: message("a", &text) };
    let (s, effects) = step(remote(), 100, phone(2, say(" \n".into())));
    assert_eq!(refused(&effects), [(2, Code::BadParams)]);
    let (_, effects) = step(s, 101, phone(3, say("x".repeat((256 << 10) + 1))));
    assert_eq!(refused(&effects), [(3, Code::TooLarge)]);
}

#[test]
fn messages_before_ready_wait_and_are_given_in_order_once() {
    let s = running(RestartPolicy::Never, REMOTE);
    let (s, effects) = step(s, 20, phone(2, prompt("a")));
    assert!(tells(&effects).is_empty(), "started, and not ready");
    let (s, _) = step(s, 21, phone(3, prompt("b")));
    let (s, effects) = step(s, 30, ready(1));
    assert_eq!(told(&effects), ["a", "b"]);
    let (_, effects) = step(s, 31, ready(1));
    assert!(effects.is_empty(), "ready once");
}

#[test]
fn what_waits_for_a_start_is_given_to_the_runner_that_came_up_not_to_one_that_is_gone() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, effects) = step(s, 21, phone(3, prompt("a")));
    assert!(tells(&effects).is_empty());
    let (s, effects) = step(s, 30, exited(1, Exit::Signal(15), 0));
    assert!(tells(&effects).is_empty());
    let (s, effects) = step(s, 31, up(2, 101));
    assert!(tells(&effects).is_empty());
    let (_, effects) = step(s, 32, ready(2));
    assert_eq!(told(&effects), ["a"]);
}

#[test]
fn the_queue_has_bounds() {
    let s = (0..64).fold(running(RestartPolicy::Never, REMOTE), |s, n| {
        step(s, 20, phone(100 + n, prompt(&format!("m{n}")))).0
    });
    let (_, effects) = step(s, 21, phone(2, prompt("more")));
    assert_eq!(refused(&effects), [(2, Code::Busy)]);
}

#[test]
fn the_phone_cannot_send_while_the_desktop_drives() {
    let (s, effects) = step(running(RestartPolicy::Never, BOTH), 100, phone(2, prompt("a")));
    let fix = effects.iter().find_map(|e| match e {
        Effect::Reply { result: Err(refusal), .. } => Some(refusal.fix.clone()),
        _ => None,
    });
    assert!(fix.is_some_and(|fix| fix.contains("take control")), "{effects:?}");
    let (_, effects) = step(s, 101, asked(3, prompt("b")));
    assert_eq!(refused(&effects), [(3, Code::WrongState)], "nor the desktop beside its own terminal");
}

#[test]
fn a_message_takes_over_where_the_owner_wants_that() {
    let mut record = fresh_record(RestartPolicy::Never);
    record.spec.agent.phone_messages = Some(PhoneMessages::Takeover);
    let (s, _) = step(Session::new(record, BOTH), 0, asked(1, Command::Start));
    let (s, _) = step(s, 1, holder_up());
    let (s, _) = step(s, 2, up(1, 100));
    let (s, effects) = step(s, 3, asked(9, prompt("b")));
    assert_eq!(refused(&effects), [(9, Code::WrongState)], "the desktop does not take control from itself");
    let (s, effects) = step(s, 3, phone(2, prompt("a")));
    assert!(s.view().agent.is_some_and(|agent| agent.switching) && refused(&effects).is_empty());
    let (s, _) = step(s, 4, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 5, up(2, 101));
    let (s, effects) = step(s, 6, ready(2));
    assert_eq!(told(&effects), ["a"]);
    let (_, effects) = step(s, 7, done(tells(&effects)[0].0));
    assert_eq!(prompted(&effects), [2]);
}

#[test]
fn a_takeover_that_fails_drops_the_message_and_tells_its_sender() {
    let mut record = fresh_record(RestartPolicy::Never);
    record.spec.agent.phone_messages = Some(PhoneMessages::Takeover);
    let (s, _) = step(Session::new(record, BOTH), 0, asked(1, Command::Start));
    let (s, _) = step(s, 1, holder_up());
    let (s, _) = step(s, 2, up(1, 100));
    let (s, _) = step(s, 3, phone(2, prompt("a")));
    let (s, _) = step(s, 4, exited(1, Exit::Signal(15), 0));
    let refusal = Refusal::new(Code::StartFailed, "no", "not logged in");
    let (s, effects) = step(s, 5, happened(Happening::RunnerFailed { generation: 2, refusal }));
    let sender: Vec<_> =
        refused(&effects).into_iter().filter(|(ticket, _)| *ticket != Ticket::NOBODY.0).collect();
    assert_eq!(sender, [(2, Code::WrongState)]);
    let of_the_switch = |body: &&EventBody| matches!(body, EventBody::MessageDropped { reason, .. } if reason.contains("handed over"));
    assert!(logged(&effects).iter().any(of_the_switch), "it says what went wrong: {effects:?}");
    assert!(logged(&effects).iter().any(|b| matches!(b, EventBody::MessageDropped { .. })));
    assert!(s.record().agent.queue.is_empty());
}

#[test]
fn a_message_to_an_ended_session_never_starts_a_runner() {
    let (s, _) = step(remote(), 50, asked(9, stop(false)));
    let (s, effects) = step(s, 51, phone(2, prompt("a")));
    assert_eq!((refused(&effects), effects.len()), (vec![(2, Code::WrongState)], 1), "closing");
    let (s, _) = step(s, 60, exited(1, Exit::Code(0), 0));
    let (s, _) = step(s, 61, gone(None, true));
    let (s, effects) = step(s, 62, phone(3, prompt("b")));
    assert_eq!((refused(&effects), effects.len()), (vec![(3, Code::WrongState)], 1), "closed");
    assert_eq!(s.record().phase, Phase::Stopped);
}

#[test]
fn what_waits_does_not_survive_a_switch_to_the_desktop() {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(2, switch(Control::Remote)));
    let (s, _) = step(s, 21, phone(3, prompt("a")));
    let (s, _) = step(s, 22, asked(4, switch(Control::Local)));
    let (s, _) = step(s, 30, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 31, up(2, 101));
    let (s, effects) = step(s, 32, ready(2));
    // It was told in the moment the phone had control; what becomes of that is its answer.
    assert_eq!(told(&effects), ["a"]);
    let (s, effects) = step(s, 40, exited(2, Exit::Code(0), 0));
    assert_eq!(refused(&effects), [(3, Code::WrongState)], "{effects:?}");
    assert!(s.record().agent.queue.is_empty());
    let (_, effects) = step(s, 41, up(3, 102));
    assert!(tells(&effects).is_empty());
}

#[test]
fn an_accepted_message_is_given_under_the_next_daemon() {
    let (s, _) = step(remote(), 100, phone(2, prompt("a")));
    let (s, effects) = step(again(&s, REMOTE), 1, adopted(1, 100));
    assert_eq!(told(&effects), ["a"], "the shell knows whether it was written before");
    let (s, _) = step(s, 2, done(1));
    let (_, effects) = step(again(&s, REMOTE), 1, adopted(1, 100));
    assert!(told(&effects).is_empty());
}

#[test]
fn a_broken_link_gives_it_again_and_answers_once() {
    let (s, _) = step(remote(), 100, phone(2, prompt("a")));
    let (s, effects) = step(s, 101, happened(Happening::HolderUnreachable { reason: "broke".into() }));
    assert!(refused(&effects).is_empty());
    let (s, effects) = step(s, 102, adopted(1, 100));
    let tag = tells(&effects)[0].0;
    let (_, effects) = step(s, 103, done(tag));
    assert_eq!(prompted(&effects), [2]);
}

#[test]
fn a_message_the_agent_does_not_take_is_dropped_and_may_be_sent_again() {
    let (s, _) = step(remote(), 100, phone(2, prompt("a")));
    let refusal = Refusal::new(Code::WrongState, "no", "it is compacting");
    let (s, effects) = step(s, 101, happened(Happening::TagFailed { tag: 1, refusal }));
    assert_eq!(refused(&effects), [(2, Code::WrongState)]);
    let (_, effects) = step(s, 102, phone(3, prompt("a")));
    assert_eq!(told(&effects), ["a"]);
}

#[test]
fn a_message_a_busy_agent_does_not_take_waits_and_is_given_once_it_is_idle() {
    let activity = |offset, activity| heard(1, offset, vec![AgentEvent::Activity { activity }]);
    let (s, effects) = step(remote(), 100, phone(2, prompt("a")));
    let (s, _) = step(s, 101, done(tells(&effects)[0].0));
    let (s, _) = step(s, 102, activity(2_000, Activity::Working));
    let (s, effects) = step(s, 103, phone(3, prompt("b")));
    let (s, effects) = step(s, 104, happened(Happening::TagNotYet { tag: tells(&effects)[0].0 }));
    assert!(effects.is_empty(), "its sender waits: {effects:?}");
    assert_eq!(s.view().agent.map(|agent| agent.queued), Some(1));
    let (s, effects) = step(s, 105, heard(1, 2_001, vec![]));
    assert!(effects.is_empty(), "it still works");

    // The daemon dies: what is on record is offered to the agent, which is busy still.
    let (again, effects) = step(again(&s, REMOTE), 1, adopted(1, 100));
    assert_eq!(told(&effects), ["b"]);
    let (again, _) = step(again, 2, happened(Happening::TagNotYet { tag: tells(&effects)[0].0 }));
    let (_, effects) = step(again, 3, activity(2_002, Activity::Idle));
    assert_eq!(told(&effects), ["b"]);

    let (s, effects) = step(s, 106, activity(2_002, Activity::Idle));
    assert_eq!(told(&effects), ["b"]);
    let tag = tells(&effects)[0].0;
    let (s, effects) = step(s, 107, activity(2_003, Activity::Idle));
    assert!(effects.is_empty(), "it is under way: {effects:?}");
    let (s, effects) = step(s, 108, done(tag));
    assert_eq!(prompted(&effects), [3]);
    assert!(s.record().agent.queue.is_empty());
}

/// "My message was there twice after the restart": what an ended runner is proved to have had is delivered.
#[test]
fn what_the_journal_of_an_ended_runner_proves_is_not_told_again() {
    let given =
        |generation| happened(Happening::MessageGiven { generation, local_id: "a".parse().expect("an id") });
    let (s, _) = step(remote(), 100, phone(2, prompt("a")));
    let restarted = again(&s, REMOTE);
    let (s, effects) = step(restarted.clone(), 1, given(7));
    assert!(effects.is_empty() && s == restarted, "not of this runner");
    let (s, effects) = step(restarted, 1, given(1));
    let delivered = |body: &EventBody| matches!(body, EventBody::MessageDelivered { .. });
    assert!(logged(&effects).iter().any(|body| delivered(body)), "{effects:?}");
    assert!(s.record().agent.queue.is_empty());
    let (s, effects) = step(s, 2, gone(None, true));
    assert!(!logged(&effects).iter().any(|body| matches!(body, EventBody::MessageDropped { .. })));
    let (_, effects) = step(s, 3, phone(3, prompt("a")));
    assert_eq!((prompted(&effects), tells(&effects).len()), (vec![3], 0), "its sender hears of it");
}

#[test]
fn a_message_that_cannot_be_stored_is_refused_and_given_once_it_is() {
    let (s, _) = step(remote(), 100, phone(2, prompt("a")));
    let log_seq = s.record().last_seq - 1;
    let (s, effects) = step(s, 100, happened(Happening::StoreFailed { reason: "full".into(), log_seq }));
    assert_eq!((refused(&effects), tells(&effects).len()), (vec![(2, Code::Storage)], 0));
    let (_, effects) = step(s, 1_100, Input::Tick);
    assert_eq!(told(&effects), ["a"], "in the step that stores it");
}

#[test]
fn abort_and_modes_are_for_who_is_driven_from_afar() {
    let (s, effects) = step(taken(), 100, phone(2, Command::Abort));
    assert!(matches!(tells(&effects)[..], [(_, AgentOrder::Abort)]));
    let (s, effects) = step(s, 101, done(tells(&effects)[0].0));
    assert!(matches!(crate::answers(&effects)[..], [(2, Ok(_))]));
    let mode = Command::SetMode(Mode { model: Some("small".into()), ..Mode::default() });
    let (s, effects) = step(s, 102, phone(3, mode.clone()));
    assert_eq!(s.record().agent.mode.model, None, "asked for and not set");
    let (s, _) = step(s, 103, done(tells(&effects)[0].0));
    assert_eq!(s.record().agent.mode.model.as_deref(), Some("small"));
    let effort = |name: &str| Command::SetMode(Mode { effort: Some(name.into()), ..Mode::default() });
    let (s, effects) = step(s, 104, phone(4, effort("high")));
    let (s, _) = step(s, 105, done(tells(&effects)[0].0));
    let wanted = Mode { model: Some("small".into()), effort: Some("high".into()), ..Mode::default() };
    assert_eq!(s.record().agent.mode, wanted, "one leaves the other as it is");
    // The next runner is started with it: what it could not be started with is not taken.
    for (n, bad) in ["", "high\" -c x", &"x".repeat(33)].into_iter().enumerate() {
        let (_, effects) = step(s.clone(), 106, phone(5 + n as u64, effort(bad)));
        assert_eq!(refused(&effects), [(5 + n as u64, Code::BadParams)], "{bad}");
    }
    let (s, _) = step(
        s,
        107,
        heard(1, 9_000, vec![AgentEvent::Mode(Mode { effort: Some("a b".into()), ..Mode::default() })]),
    );
    assert_eq!(s.record().agent.mode, wanted);
    let (_, effects) = step(s, 108, phone(9, Command::SetMode(Mode::default())));
    assert_eq!(refused(&effects), [(9, Code::BadParams)], "nothing is named");
    let local = running(RestartPolicy::Never, BOTH);
    let (local, effects) = step(local, 100, phone(2, Command::Abort));
    assert_eq!(refused(&effects), [(2, Code::WrongState)]);
    let (_, effects) = step(local, 101, phone(3, mode));
    assert_eq!(refused(&effects), [(3, Code::WrongState)]);
}

/// A message that waits for the store must not reach the agent after the desktop took control.
#[test]
fn a_message_that_was_not_stored_is_dropped_when_the_desktop_takes_control() {
    let (s, _) = step(taken(), 100, phone(2, prompt("a")));
    let log_seq = s.record().last_seq - 1;
    let (s, effects) = step(s, 100, happened(Happening::StoreFailed { reason: "full".into(), log_seq }));
    assert_eq!(refused(&effects), [(2, Code::Storage)]);
    let (s, effects) = step(s, 101, asked(3, switch(Control::Local)));
    assert!(told(&effects).is_empty(), "{effects:?}");
    assert!(logged(&effects).iter().any(|body| matches!(body, EventBody::MessageDropped { .. })));
    assert!(s.record().agent.queue.is_empty());
}

#[test]
fn the_window_of_known_messages_forgets_the_oldest() {
    let known = delight_proto::agent::bounds::ACCEPTED as u64;
    let s = (0..=known).fold(remote(), |s, n| {
        let (s, effects) = step(s, 100, phone(100 + n, prompt(&format!("m{n}"))));
        step(s, 100, done(tells(&effects)[0].0)).0
    });
    let (_, effects) = step(s.clone(), 101, phone(2, prompt(&format!("m{known}"))));
    assert_eq!((prompted(&effects), told(&effects).len()), (vec![2], 0), "the newest is known");
    let (_, effects) = step(s, 101, phone(3, prompt("m0")));
    assert_eq!(told(&effects), ["m0"], "the oldest is not");
}
