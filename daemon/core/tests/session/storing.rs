//! A store that refuses.

use delight_core::actor::Reducer;
use delight_core::session::{Command, Effect, Happening, Input, Session};
use delight_core::testing::table::{asked, fresh_record, happened, running, step};
use delight_proto::event::{Event, EventBody};
use delight_proto::refusal::Code;
use delight_proto::session::{Exit, Phase, RestartPolicy};

use crate::{PLAIN, answers, exited, gone, refused, signals, starts, stop};

fn full(log_seq: u64) -> Input {
    happened(Happening::StoreFailed { reason: "no space left".into(), log_seq })
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
