//! Finding sessions again.

use delight_core::session::{Capabilities, Effect, Ended, Found, Happening, Input, Runner, Session};
use delight_core::testing::table::{asked, fresh_record, happened, holder, running, step};
use delight_proto::event::{Event, EventBody};
use delight_proto::refusal::Code;
use delight_proto::session::{Desired, Exit, Phase, RestartPolicy};

use crate::{PLAIN, TIDY, exited, gone, has_launch, refused, signals, starts, stop};

fn restored(phase: Phase, desired: Desired, capabilities: Capabilities) -> Session {
    let mut record = fresh_record(RestartPolicy::Never);
    (record.phase, record.desired, record.generation, record.last_seq) = (phase, desired, 1, 3);
    record.holder = Some(holder(50));
    let (s, effects) = step(Session::restored(record, 3, &[], capabilities), 0, happened(Happening::Restore));
    assert_eq!(effects, [Effect::Adopt]);
    s
}

fn found(runner: Option<Runner>, ended: Option<Ended>) -> Input {
    let identity = holder(50);
    happened(Happening::Adopted(Box::new(Found { identity, runner, ended, offset: 5, troubles: Vec::new() })))
}

#[test]
fn a_killed_holder_is_an_interruption_with_a_reason() {
    let (s, effects) = step(running(RestartPolicy::Never, PLAIN), 100, gone(None, true));
    assert_eq!(s.record().phase, Phase::Interrupted);
    assert!(s.record().reason.contains("it was killed"));
    assert!(s.view().holder.is_none() && !effects.is_empty());
}

#[test]
fn a_living_runner_is_adopted() {
    let s = restored(Phase::Running, Desired::Running, PLAIN);
    let (s, effects) = step(s, 1, found(Some(Runner { generation: 1, pid: 7 }), None));
    assert!(effects.contains(&Effect::Restored { adopted: true }) && !has_launch(&effects));
    assert_eq!((s.view().phase, s.view().pid), (Phase::Running, Some(7)));
}

#[test]
fn a_stop_goes_on_under_the_next_daemon() {
    let s = restored(Phase::Stopping, Desired::Stopped, PLAIN);
    let (s, effects) = step(s, 1, found(Some(Runner { generation: 1, pid: 7 }), None));
    assert_eq!(signals(&effects), [1, 15]);
    let (s, _) = step(s, 2, exited(1, Exit::Signal(15), 0));
    assert_eq!(s.record().phase, Phase::Stopped);
}

#[test]
fn the_journal_tells_how_it_ended_while_nobody_watched() {
    let s = restored(Phase::Running, Desired::Running, PLAIN);
    let ended = Ended { generation: 1, exit: Exit::Code(4), offset: 9, at_ms: 1, survivors: 0 };
    let (s, _) = step(s, 1, gone(Some(ended), true));
    assert_eq!((s.record().phase, s.record().exit), (Phase::Exited, Some(Exit::Code(4))));
}

#[test]
fn an_older_generations_status_is_not_taken_for_the_newest() {
    let s = restored(Phase::Running, Desired::Running, PLAIN);
    let ended = Ended { generation: 0, exit: Exit::Code(4), offset: 9, at_ms: 1, survivors: 0 };
    let (s, _) = step(s, 1, gone(Some(ended), true));
    assert_eq!((s.record().phase, s.record().exit), (Phase::Interrupted, None));
}

#[test]
fn a_reboot_interrupts_a_terminal_and_resumes_an_agent() {
    let (s, effects) = step(restored(Phase::Running, Desired::Running, PLAIN), 1, gone(None, false));
    assert_eq!((s.record().phase, &*s.record().reason), (Phase::Interrupted, "reboot"));
    assert!(effects.contains(&Effect::Restored { adopted: false }));
    let (s, _) = step(restored(Phase::Running, Desired::Running, TIDY), 1, gone(None, false));
    assert_eq!(s.record().phase, Phase::BackingOff);
    let (s, _) = step(restored(Phase::Stopping, Desired::Stopped, TIDY), 1, gone(None, false));
    assert_eq!(s.record().phase, Phase::Stopped);
}

#[test]
fn a_holder_that_does_not_answer_is_looked_for_again() {
    let s = restored(Phase::Running, Desired::Running, PLAIN);
    let (s, effects) = step(s, 1, happened(Happening::HolderUnreachable { reason: "timeout".into() }));
    assert!(effects.contains(&Effect::Restored { adopted: false }), "it holds nobody up");
    let (s, effects) = step(s, 2, asked(2, stop(false)));
    assert_eq!(refused(&effects), [(2, Code::HolderUnreachable)]);
    let (s, effects) = step(s, 1_001, Input::Tick);
    assert_eq!(effects.iter().filter(|e| **e == Effect::Adopt).count(), 1);
    let (s, _) = step(s, 1_002, found(Some(Runner { generation: 1, pid: 7 }), None));
    assert_eq!((s.view().phase, s.view().warnings.len()), (Phase::Running, 0));
}

#[test]
fn events_after_the_last_save_are_folded_in() {
    let event = |seq, body| Event { seq, at_ms: 5, offset: 0, body };
    let mut record = fresh_record(RestartPolicy::Never);
    (record.generation, record.last_seq) = (1, 1);
    let tail = [
        event(2, EventBody::HolderStarted { holder: holder(50) }),
        event(3, EventBody::Started { generation: 1, pid: 7 }),
        event(4, EventBody::StopRequested { origin: delight_proto::session::Origin::Daemon, kill: false }),
    ];
    let s = Session::restored(record, 4, &tail, PLAIN);
    let record = s.record();
    assert_eq!((record.phase, record.desired, record.last_seq), (Phase::Stopping, Desired::Stopped, 4));
    assert_eq!(record.holder, Some(holder(50)));
}

#[test]
fn a_restored_tail_is_durable_before_anything_relies_on_it() {
    let mut record = fresh_record(RestartPolicy::Never);
    (record.phase, record.name, record.last_seq) = (Phase::Failed, "web".parse().ok(), 1);
    let tail = [Event { seq: 2, at_ms: 5, offset: 0, body: EventBody::Renamed { name: None } }];
    let (_, effects) = step(Session::restored(record, 2, &tail, PLAIN), 0, happened(Happening::Restore));
    assert!(matches!(&effects[0], Effect::Save(r) if r.name.is_none() && r.last_seq == 2), "{effects:?}");
}

#[test]
fn the_holder_is_believed_which_generation_runs() {
    let s = restored(Phase::Running, Desired::Running, PLAIN);
    let (s, _) = step(s, 1, found(Some(Runner { generation: 2, pid: 7 }), None));
    assert_eq!((s.record().generation, s.view().pid), (2, Some(7)));
    let (s, _) = step(s, 2, exited(2, Exit::Code(4), 0));
    assert_eq!((s.record().phase, s.record().exit), (Phase::Exited, Some(Exit::Code(4))));
}

/// A power cut took the end of the log, then the disk is full: an event that takes a lost number must not be taken for
/// the old one by the next daemon.
#[test]
fn the_number_of_a_torn_log_is_on_record_before_anything_is_appended() {
    let mut record = fresh_record(RestartPolicy::Never);
    (record.phase, record.generation, record.last_seq) = (Phase::Running, 1, 9);
    let s = Session::restored(record, 6, &[], PLAIN);
    let (s, _) = step(s, 0, happened(Happening::Restore));
    let full = |log_seq| happened(Happening::StoreFailed { reason: "full".into(), log_seq });
    let (s, _) = step(s, 0, full(6));
    let (s, effects) = step(s, 5_000, found(Some(Runner { generation: 1, pid: 7 }), None));
    let [Effect::Save(first), Effect::Append(next), ..] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((first.last_seq, next.seq), (6, 7), "the number first, then what takes it");
    let (_, effects) = step(s, 5_001, asked(2, stop(true)));
    assert!(matches!(&effects[0], Effect::Append(next) if next.seq == 8), "once: {effects:?}");
}

/// The start is due in the very step that tells of the broken connection: a runner nobody counts on must not come of it.
#[test]
fn a_start_is_not_told_to_a_holder_that_was_just_lost() {
    let s = running(RestartPolicy::OnFailure, PLAIN);
    let (s, _) = step(s, 100, exited(1, Exit::Code(1), 0));
    let broke = happened(Happening::HolderUnreachable { reason: "broke".into() });
    let (s, effects) = step(s, 1_200, broke);
    assert!(starts(&effects).is_empty() && effects.contains(&Effect::Adopt), "{effects:?}");
    let ended = Ended { generation: 1, exit: Exit::Code(1), offset: 9, at_ms: 1, survivors: 0 };
    let (s, effects) = step(s, 1_201, found(None, Some(ended)));
    assert!(starts(&effects).is_empty() && effects.contains(&Effect::CloseHolder), "{effects:?}");
    let (_, effects) = step(s, 1_202, gone(None, true));
    assert!(has_launch(&effects), "and the start goes on: {effects:?}");
}

/// The same with a holder that is gone: the start goes on in the next.
#[test]
fn a_start_that_is_due_when_its_holder_is_gone_goes_on_in_the_next() {
    let s = running(RestartPolicy::OnFailure, PLAIN);
    let (s, _) = step(s, 100, exited(1, Exit::Code(1), 0));
    let (s, effects) = step(s, 1_200, gone(None, true));
    assert!(starts(&effects).is_empty() && has_launch(&effects), "{effects:?}");
    let (_, effects) = step(s, 1_201, crate::holder_up());
    assert_eq!(starts(&effects), [2]);
}
