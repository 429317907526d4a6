//! Spawn, resume, restart.

use delight_core::actor::Reducer;
use delight_core::session::{Command, Effect, Happening, Input, Session};
use delight_core::testing::table::{asked, fresh_record, happened, holder, running, step};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Exit, Phase, RestartPolicy};

use crate::{PLAIN, answers, ended, exited, gone, has_launch, holder_up, refused, signals, starts, stop, up};

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

/// A holder that was started ahead saves the launch and a write to the store, and nothing of what they promise.
#[test]
fn spawn_on_a_spare_holder_is_one_step() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN).on_spare(holder(50));
    let (s, effects) = step(s, 0, asked(1, Command::Start));
    let saved = effects.iter().position(
        |e| matches!(e, Effect::Save(r) if r.phase == Phase::Starting && r.holder == Some(holder(50))),
    );
    let started = effects.iter().position(|e| matches!(e, Effect::StartRunner { generation: 1, .. }));
    assert!(saved.is_some() && saved < started && !has_launch(&effects), "{effects:?}");
    let (s, effects) = step(s, 2, up(1, 77));
    assert!(matches!(answers(&effects)[..], [(1, Ok(view))] if view.phase == Phase::Running));
    // Its next holder is an ordinary one.
    let (s, _) = step(s, 3, exited(1, Exit::Code(0), 0));
    let (s, _) = step(s, 4, gone(None, true));
    let (_, effects) = step(s, 5, asked(2, Command::Resume));
    assert!(has_launch(&effects), "{effects:?}");
}

/// With a full disk nothing of it is told, and its holder is sent away.
#[test]
fn a_spawn_on_a_spare_holder_that_is_not_stored_never_was() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN).on_spare(holder(50));
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let full = happened(Happening::StoreFailed { reason: "no space left".into(), log_seq: 0 });
    let (s, effects) = step(s, 1, full);
    assert_eq!(refused(&effects), [(1, Code::Storage)]);
    assert!(effects.contains(&Effect::CloseHolder) && starts(&effects).is_empty(), "{effects:?}");
    let (_, effects) = step(s, 2, gone(None, true));
    assert!(effects.contains(&Effect::Gone), "{effects:?}");
}

/// A start may take its whole time; what is asked and heard meanwhile is served as it comes.
#[test]
fn a_start_under_way_stalls_nobody() {
    let s = Session::new(fresh_record(RestartPolicy::Never), PLAIN);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let wait = Command::Wait { phases: vec![Phase::Starting], activity: Vec::new(), timeout_ms: None };
    let (s, effects) = step(s, 14_000, asked(2, wait));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_))]), "{effects:?}");
    let (s, effects) = step(s, 14_001, asked(3, Command::Rename { name: "build".parse().ok() }));
    assert!(matches!(answers(&effects)[..], [(3, Ok(view))] if view.phase == Phase::Starting));
    let (_, effects) = step(s, 14_002, asked(4, stop(false)));
    assert_eq!(answers(&effects).len(), 2, "the start and the stop: {effects:?}");
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
    let (s, _) = step(s, now + 1, asked(2, Command::Resume));
    assert_eq!(s.record().restarts, 0, "who resumes it means it");
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
fn resume_uses_stored_spec_and_the_next_generation() {
    let (s, effects) = step(ended(), 100, asked(2, Command::Resume));
    assert!(has_launch(&effects));
    assert_eq!((s.record().generation, &s.record().spec), (2, &fresh_record(RestartPolicy::Never).spec));
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
