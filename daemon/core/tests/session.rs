//! Transitions of the session reducer, one test each, named after what must happen.

#![allow(clippy::panic, clippy::expect_used)] // Helpers of tests, which clippy does not take for tests.

use delight_core::actor::{Reducer, Ticket};
use delight_core::session::{
    Answer, Capabilities, Command, Effect, Ended, Found, Happening, Input, Runner, Session, Survivors,
};
use delight_core::testing::table::{asked, fresh_record, happened, holder, running, step};
use delight_proto::event::{Event, EventBody};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Desired, Exit, Phase, RestartPolicy, SessionView};

const PLAIN: Capabilities = Capabilities { survivors: Survivors::Leave, keep_holder: false, resume: false };
const TIDY: Capabilities = Capabilities { survivors: Survivors::End, keep_holder: false, resume: true };

fn exited(generation: u64, exit: Exit, survivors: u32) -> Input {
    happened(Happening::RunnerExited(Ended { generation, exit, offset: 9, at_ms: 1, survivors }))
}

fn gone(ended: Option<Ended>, same_boot: bool) -> Input {
    happened(Happening::HolderGone { ended, reason: "it was killed".into(), same_boot })
}

fn up(generation: u64, pid: u32) -> Input {
    happened(Happening::RunnerUp { runner: Runner { generation, pid }, offset: 0 })
}

fn holder_up() -> Input {
    happened(Happening::HolderUp { identity: holder(50) })
}

fn answers(effects: &[Effect]) -> Vec<(u64, Result<&SessionView, Code>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Reply { ticket: Ticket(n), result: Ok(Answer::View(view)) } => Some((*n, Ok(&**view))),
            Effect::Reply { ticket: Ticket(n), result: Err(refusal) } => Some((*n, Err(refusal.code))),
            _ => None,
        })
        .collect()
}

fn refused(effects: &[Effect]) -> Vec<(u64, Code)> {
    answers(effects).into_iter().filter_map(|(n, result)| result.err().map(|code| (n, code))).collect()
}

fn signals(effects: &[Effect]) -> Vec<i32> {
    effects
        .iter()
        .filter_map(|e| if let Effect::SignalTree { signal } = e { Some(*signal) } else { None })
        .collect()
}

fn starts(effects: &[Effect]) -> Vec<u64> {
    let of =
        |e: &Effect| if let Effect::StartRunner { generation, .. } = e { Some(*generation) } else { None };
    effects.iter().filter_map(of).collect()
}

fn has_launch(effects: &[Effect]) -> bool {
    effects.contains(&Effect::Launch)
}

fn stop(kill: bool) -> Command {
    Command::Stop { kill, grace_ms: None }
}

/// A session that ended by itself with status 0 and whose holder is gone.
fn ended() -> Session {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) = step(s, 20, exited(1, Exit::Code(0), 0));
    step(s, 30, gone(None, true)).0
}

#[test]
fn spawn_is_on_record_before_its_runner_starts() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let (s, effects) = step(s, 0, asked(1, Command::Start));
    let save = effects
        .iter()
        .position(|e| matches!(e, Effect::Save(r) if r.generation == 1 && r.phase == Phase::Starting));
    assert!(save < effects.iter().position(|e| *e == Effect::Launch));
    assert!(save.is_some() && starts(&effects).is_empty() && answers(&effects).is_empty());
    let (s, effects) = step(s, 1, holder_up());
    assert_eq!(starts(&effects), [1]);
    let (s, effects) = step(s, 2, up(1, 77));
    let [(1, Ok(view))] = answers(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((view.phase, view.pid), (Phase::Running, Some(77)));
    assert_eq!(s.deadline(), None);
}

#[test]
fn first_event_has_number_one_and_no_number_is_left_out() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let mut numbers = Vec::new();
    let inputs = [asked(1, Command::Start), holder_up(), up(1, 7), exited(1, Exit::Code(3), 0)];
    inputs.into_iter().enumerate().fold(s, |s, (at, input)| {
        let (s, effects) = step(s, at as u64, input);
        numbers.extend(
            effects.iter().filter_map(|e| if let Effect::Append(e) = e { Some(e.seq) } else { None }),
        );
        s
    });
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn spawn_failure_returns_no_id() {
    let s = Session::new(fresh_record(RestartPolicy::OnFailure), PLAIN);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, _) = step(s, 1, holder_up());
    let refusal = Refusal::new(Code::StartFailed, "cannot run x", "no such file");
    let (s, effects) = step(s, 2, happened(Happening::RunnerFailed { generation: 1, refusal }));
    assert_eq!(refused(&effects), [(1, Code::StartFailed)]);
    assert_eq!((s.record().phase, answers(&effects).len()), (Phase::Failed, 1));
    assert!(effects.contains(&Effect::CloseHolder));
    let (_, effects) = step(s, 3, asked(2, Command::Started));
    assert_eq!(refused(&effects), [(2, Code::StartFailed)], "who repeats the spawn hears the same");
}

#[test]
fn a_failed_spawn_gives_its_name_back() {
    let mut record = fresh_record(RestartPolicy::Never);
    record.name = "build".parse().ok();
    let (s, _) = step(Session::new(record, PLAIN), 0, asked(1, Command::Start));
    let refusal = Refusal::new(Code::StartFailed, "no holder", "no memory");
    let (s, effects) = step(s, 1, happened(Happening::HolderFailed { refusal }));
    assert!(effects.iter().any(|e| matches!(e, Effect::ReleaseName(name) if name.as_str() == "build")));
    assert_eq!(s.record().name, None);
}

#[test]
fn a_start_that_hangs_is_given_up_with_a_reason() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, _) = step(s, 1, holder_up());
    assert_eq!(s.deadline().map(|d| d.at), Some(15_000));
    let (s, effects) = step(s, 15_000, Input::Tick);
    assert_eq!(refused(&effects), [(1, Code::StartFailed)]);
    assert_eq!((s.record().phase, signals(&effects)), (Phase::Stopping, vec![9]));
    let (s, _) = step(s, 15_010, happened(Happening::TreeGone { generation: 1 }));
    assert_eq!(s.record().phase, Phase::Failed);
    assert!(s.record().reason.contains("15 s"), "{}", s.record().reason);
}

#[test]
fn stop_is_polite_then_firm_then_stubborn_and_answers_when_all_is_dead() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, effects) = step(s, 100, asked(2, stop(false)));
    assert_eq!((signals(&effects), answers(&effects).len()), (vec![1, 15], 0));
    assert_eq!(s.deadline().map(|d| d.at), Some(5_100));
    let (s, effects) = step(s, 5_100, Input::Tick);
    assert_eq!(signals(&effects), [9]);
    let (s, effects) = step(s, 6_100, Input::Tick);
    assert_eq!(signals(&effects), [9]);
    assert!(s.view().reason.contains("SIGKILL"), "it is visible: {:?}", s.view());
    let (s, effects) = step(s, 6_200, exited(1, Exit::Signal(9), 2));
    assert!(answers(&effects).is_empty(), "two of its processes are alive");
    let (s, effects) = step(s, 6_300, happened(Happening::TreeGone { generation: 1 }));
    let [(2, Ok(view))] = answers(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(
        (view.phase, view.exit, view.desired),
        (Phase::Stopped, Some(Exit::Signal(9)), Desired::Stopped)
    );
    assert!(effects.contains(&Effect::CloseHolder) && s.deadline().is_none());
}

#[test]
fn every_stop_caller_is_answered() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) = step(s, 100, asked(2, stop(false)));
    let (s, _) = step(s, 101, asked(3, stop(false)));
    let (_, effects) = step(s, 102, exited(1, Exit::Signal(1), 0));
    assert_eq!(
        answers(&effects).iter().map(|(n, result)| (*n, result.is_ok())).collect::<Vec<_>>(),
        [(2, true), (3, true)]
    );
}

#[test]
fn kill_hurries_a_stop_under_way() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) = step(s, 100, asked(2, stop(false)));
    let (_, effects) = step(s, 101, asked(3, stop(true)));
    assert_eq!(signals(&effects), [9]);
}

#[test]
fn stop_of_an_ended_session_is_done_already() {
    let (_, effects) = step(ended(), 100, asked(2, stop(false)));
    assert!(matches!(answers(&effects)[..], [(2, Ok(view))] if view.phase == Phase::Exited));
    assert!(signals(&effects).is_empty());
}

#[test]
fn stop_while_starting_answers_both() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, effects) = step(s, 1, asked(2, stop(false)));
    assert_eq!(refused(&effects), [(1, Code::WrongState)]);
    assert_eq!((answers(&effects).len(), s.record().phase), (2, Phase::Stopped));
    assert!(effects.contains(&Effect::CloseHolder), "the launch is given up");
}

#[test]
fn stale_generation_exit_ignored() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) = step(s, 20, exited(1, Exit::Code(0), 0));
    let (s, _) = step(s, 30, gone(None, true));
    let (s, _) = step(s, 40, asked(2, Command::Resume));
    let (s, _) = step(s, 50, holder_up());
    let (s, _) = step(s, 60, up(2, 200));
    let (s, effects) = step(s, 70, exited(1, Exit::Code(1), 0));
    assert!(effects.is_empty(), "{effects:?}");
    assert_eq!((s.record().phase, s.record().generation), (Phase::Running, 2));
}

#[test]
fn exit_updates_registry() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (_, effects) = step(s, 20, exited(1, Exit::Code(3), 0));
    let saved = |e: &Effect| matches!(e, Effect::Save(r) if r.phase == Phase::Exited && r.exit == Some(Exit::Code(3)));
    assert!(effects.iter().any(saved), "{effects:?}");
}

#[test]
fn what_a_shell_left_behind_goes_on_with_a_warning() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, effects) = step(s, 20, exited(1, Exit::Code(0), 2));
    assert_eq!((s.record().phase, signals(&effects).len()), (Phase::Exited, 0));
    assert!(s.view().warnings[0].starts_with("2 processes of it still run"), "{:?}", s.view().warnings);
    let (s, effects) = step(s, 30, asked(2, Command::Resume));
    assert_eq!(refused(&effects), [(2, Code::WrongState)]);
    let (s, effects) = step(s, 40, asked(3, stop(false)));
    assert_eq!(signals(&effects), [1, 15]);
    let (_, effects) = step(s, 50, happened(Happening::TreeGone { generation: 1 }));
    assert!(matches!(answers(&effects)[..], [(3, Ok(view))] if view.phase == Phase::Stopped));
}

#[test]
fn what_an_agent_left_behind_is_ended() {
    let s = running(RestartPolicy::Never, TIDY);
    let (s, effects) = step(s, 20, exited(1, Exit::Code(0), 2));
    assert_eq!((s.record().phase, signals(&effects)), (Phase::Stopping, vec![1, 15]));
    let (s, _) = step(s, 30, happened(Happening::TreeGone { generation: 1 }));
    assert_eq!((s.record().phase, s.record().exit), (Phase::Exited, Some(Exit::Code(0))));
}

#[test]
fn resume_uses_stored_spec_and_the_next_generation() {
    let (s, effects) = step(ended(), 100, asked(2, Command::Resume));
    assert!(has_launch(&effects));
    assert_eq!((s.record().generation, &s.record().spec), (2, &fresh_record(RestartPolicy::Never).spec));
}

#[test]
fn two_concurrent_resumes_one_process() {
    let (s, first) = step(ended(), 100, asked(2, Command::Resume));
    let (s, second) = step(s, 101, asked(3, Command::Resume));
    assert!(has_launch(&first) && !has_launch(&second));
    let (s, third) = step(s, 102, holder_up());
    assert_eq!(starts(&third), [2]);
    let (_, effects) = step(s, 103, up(2, 9));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_)), (3, Ok(_))]));
}

#[test]
fn resume_of_a_running_session_is_refused() {
    let (_, effects) = step(running(RestartPolicy::Never, PLAIN), 100, asked(2, Command::Resume));
    assert_eq!(refused(&effects), [(2, Code::WrongState)]);
}

#[test]
fn resume_waits_for_the_former_holder() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) = step(s, 20, exited(1, Exit::Code(0), 0));
    let (s, effects) = step(s, 21, asked(2, Command::Resume));
    assert!(!has_launch(&effects), "two holders at once must never be");
    let (_, effects) = step(s, 22, gone(None, true));
    assert!(has_launch(&effects));
}

#[test]
fn restarts_back_off_and_end_with_the_budget() {
    let mut s = running(RestartPolicy::OnFailure, PLAIN);
    let mut now = 100;
    for (attempt, wait) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 8_000), (5, 16_000)] {
        let generation = s.record().generation;
        s = step(s, now, exited(generation, Exit::Code(1), 0)).0;
        assert_eq!((s.record().phase, s.record().restarts), (Phase::BackingOff, attempt));
        assert_eq!(s.deadline().map(|d| d.at), Some(now + wait));
        now += wait;
        let (next, effects) = step(s, now, Input::Tick);
        assert_eq!(starts(&effects), [generation + 1], "in the same holder");
        s = step(next, now + 1, up(generation + 1, 7)).0;
        now += 2;
    }
    s = step(s, now, exited(6, Exit::Code(1), 0)).0;
    assert_eq!(s.record().phase, Phase::Exited);
    assert!(s.record().reason.contains("given up after 5"), "{}", s.record().reason);
}

#[test]
fn a_minute_of_running_well_restores_the_budget() {
    let s = running(RestartPolicy::OnFailure, PLAIN);
    let (s, _) = step(s, 100, exited(1, Exit::Code(1), 0));
    let (s, _) = step(s, 1_100, Input::Tick);
    let (s, _) = step(s, 1_101, up(2, 7));
    let (s, _) = step(s, 61_101, exited(2, Exit::Code(1), 0));
    assert_eq!(s.record().restarts, 1);
}

#[test]
fn success_is_not_restarted() {
    let (s, _) = step(running(RestartPolicy::OnFailure, PLAIN), 100, exited(1, Exit::Code(0), 0));
    assert_eq!((s.record().phase, s.deadline()), (Phase::Exited, None));
}

#[test]
fn stop_while_backing_off_ends_it() {
    let (s, _) = step(running(RestartPolicy::OnFailure, PLAIN), 100, exited(1, Exit::Code(1), 0));
    let (s, effects) = step(s, 200, asked(2, stop(false)));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_))]));
    assert_eq!((s.record().phase, s.deadline()), (Phase::Stopped, None));
}

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
    let (s, _) = step(s, 100, asked(2, Command::Wait { phases: Vec::new(), timeout_ms: None }));
    let (_, effects) = step(s, 200, exited(1, Exit::Signal(11), 0));
    assert!(matches!(answers(&effects)[..], [(2, Ok(view))] if view.exit == Some(Exit::Signal(11))));
}

#[test]
fn wait_times_out() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) = step(s, 100, asked(2, Command::Wait { phases: vec![Phase::Exited], timeout_ms: Some(50) }));
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
fn a_killed_holder_is_an_interruption_with_a_reason() {
    let (s, effects) = step(running(RestartPolicy::Never, PLAIN), 100, gone(None, true));
    assert_eq!(s.record().phase, Phase::Interrupted);
    assert!(s.record().reason.contains("it was killed"));
    assert!(s.view().holder.is_none() && !effects.is_empty());
}

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

fn full(log_seq: u64) -> Input {
    happened(Happening::StoreFailed { reason: "no space left".into(), log_seq, saved: false })
}

#[test]
fn append_failure_does_not_poison() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) = step(s, 100, exited(1, Exit::Code(0), 0));
    let (s, effects) = step(s, 100, full(3));
    assert!(s.view().warnings.iter().any(|w| w.contains("no space left")), "it says so: {effects:?}");
    let at = s.deadline().expect("it tries again").at;
    let (s, effects) = step(s, at, Input::Tick);
    assert!(
        matches!(&effects[0], Effect::Append(Event { seq: 4, body: EventBody::Exited { .. }, .. })),
        "{effects:?}"
    );
    assert!(matches!(&effects[1], Effect::Save(r) if r.phase == Phase::Exited && r.last_seq == 4));
    let (s, effects) = step(s, at + 1, gone(None, true));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Append(_))), "once");
    assert!(s.view().warnings.is_empty() && s.deadline().is_none());
}

#[test]
fn a_spawn_that_cannot_be_stored_is_refused_and_forgotten() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, effects) = step(s, 0, full(0));
    assert_eq!(refused(&effects), [(1, Code::Storage)]);
    assert!(effects.contains(&Effect::CloseHolder) && starts(&effects).is_empty());
    let (_, effects) = step(s, 1, gone(None, true));
    assert_eq!(effects, [Effect::Forget, Effect::Gone]);
}

#[test]
fn a_stop_that_cannot_be_stored_still_ends_the_processes() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, effects) = step(s, 100, asked(2, stop(true)));
    assert_eq!(signals(&effects), [9]);
    let (s, _) = step(s, 100, full(3));
    let (s, effects) = step(s, 200, exited(1, Exit::Signal(9), 0));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_))]), "told only if this step is stored");
    let (_, effects) = step(s, 200, full(3));
    assert_eq!(refused(&effects), [(2, Code::Storage)]);
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
