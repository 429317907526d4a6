//! Stop, and runners that end by themselves.

use delight_core::actor::Reducer;
use delight_core::session::{Command, Effect, Happening, Input, Session};
use delight_core::testing::table::{asked, fresh_record, happened, running, step};
use delight_proto::refusal::Code;
use delight_proto::session::{Desired, Exit, Phase, RestartPolicy};

use crate::{PLAIN, TIDY, answers, ended, exited, gone, holder_up, refused, signals, stop, up};

#[test]
fn stop_is_polite_then_firm_then_stubborn_and_answers_when_all_is_dead() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, effects) = step(s, 100, asked(2, stop(false)));
    assert_eq!((signals(&effects), answers(&effects).len()), (vec![1, 15], 0));
    // A shell can keep a SIGHUP until it gets another one.
    let (s, hang_ups) = [600, 1_600, 3_600].into_iter().fold((s, Vec::new()), |(s, mut sent), at| {
        assert_eq!(s.deadline().map(|d| d.at), Some(at));
        let (s, effects) = step(s, at, Input::Tick);
        sent.extend(signals(&effects));
        assert!(!effects.iter().any(|e| matches!(e, Effect::Append(_))), "said once: {effects:?}");
        (s, sent)
    });
    assert_eq!(hang_ups, [1, 1, 1]);
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
fn stop_while_backing_off_ends_it() {
    let (s, _) = step(running(RestartPolicy::OnFailure, PLAIN), 100, exited(1, Exit::Code(1), 0));
    let (s, effects) = step(s, 200, asked(2, stop(false)));
    assert!(matches!(answers(&effects)[..], [(2, Ok(_))]));
    assert_eq!((s.record().phase, s.deadline()), (Phase::Stopped, None));
}
