//! A store that refuses.

use std::collections::VecDeque;

use delight_core::actor::Reducer;
use delight_core::session::{AgentHeard, Command, Effect, Happening, Input, Session};
use delight_core::testing::table::{asked, fresh_record, happened, running, step};
use delight_proto::agent::{AgentEvent, AgentRecord, RecordBody, Source};
use delight_proto::event::{Event, EventBody};
use delight_proto::refusal::Code;
use delight_proto::session::{Exit, Phase, RestartPolicy};

use crate::{PLAIN, answers, exited, gone, heard, refused, remote, signals, starts, stop};

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
fn while_the_store_refuses_the_agent_is_not_heard() {
    let (s, _) = step(remote(), 100, heard(1, 2_000, vec![text(0)]));
    let log_seq = s.record().last_seq - 1;
    assert!(s.hears_agent());
    let (s, _) = step(s, 100, full(log_seq));
    assert!(!s.hears_agent(), "what it says waits in its journal");
    let (s, _) = again(s);
    assert!(s.hears_agent(), "it tries, and the next input says whether that failed");
    let (s, _) = step(s, 100_000, full(log_seq));
    assert!(!s.hears_agent());
}

/// A line that means more than is kept in memory comes in parts: what the store refused of it is kept, the rest waits.
#[test]
fn a_line_of_very_many_events_loses_nothing_while_the_store_refuses() {
    const MANY: u64 = 1_000;
    let mut s = remote();
    let log_seq = s.record().last_seq;
    let events = (0..MANY).map(text).collect();
    let line = AgentHeard { generation: 1, source: Source::Stream, offset: 2_000, first: 0, events };
    let mut parts: VecDeque<AgentHeard> = line.parts().collect();
    let mut stored: Vec<Event> = Vec::new();
    let mut refuses = 3;
    while !parts.is_empty() || s.deadline().is_some() {
        let input = match s.hears_agent().then(|| parts.pop_front()).flatten() {
            Some(part) => happened(Happening::Agent(Box::new(part))),
            None => Input::Tick,
        };
        let at = s.deadline().map_or(100, |deadline| deadline.at);
        let (next, effects) = step(s, at, input);
        s = next;
        if refuses > 0 {
            refuses -= 1;
            s = step(s, at, full(log_seq)).0;
            continue;
        }
        stored.extend(
            effects.iter().filter_map(|e| if let Effect::Append(e) = e { Some(e.clone()) } else { None }),
        );
    }
    assert!(
        stored.iter().map(|event| event.seq).eq(log_seq + 1..=log_seq + MANY),
        "all of it, once, in order"
    );
    let (_, effects) = step(s, 200_000, heard(1, 2_000, (0..MANY).map(text).collect()));
    assert!(effects.is_empty(), "it was taken in to its last event");
}

/// "The disk was full over night": whoever reads the log later sees that something is missing, and how much.
#[test]
fn what_is_given_up_while_the_store_refuses_is_counted() {
    let s = remote();
    let log_seq = s.record().last_seq;
    let s = (0..300).fold(s, |s, n| {
        let (s, _) = step(s, 100, heard(1, 2_000 + n, vec![text(n)]));
        step(s, 100, full(log_seq)).0
    });
    let (s, effects) = again(s);
    let appended = |e: &Effect| if let Effect::Append(e) = e { Some(e.clone()) } else { None };
    let kept: Vec<Event> = effects.iter().filter_map(appended).collect();
    assert!(kept.iter().map(|event| event.seq).eq(log_seq + 1..=log_seq + 256), "no number is missing");
    let said = |event: &Event| match &event.body {
        EventBody::Recorded { record, .. } => match &record.body {
            RecordBody::Text { text } | RecordBody::Notice { message: text } => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    assert_eq!(said(&kept[0]), "45 entries are missing here: they could not be stored");
    assert_eq!((said(&kept[1]), said(&kept[255])), ("45".to_owned(), "299".to_owned()));
    let (_, effects) = step(s, 200_000, heard(1, 3_000, vec![text(300)]));
    assert!(effects.iter().filter_map(appended).map(|e| said(&e)).eq(["300".to_owned()]), "and once");
}

fn text(n: u64) -> AgentEvent {
    let body = RecordBody::Text { text: n.to_string() };
    AgentEvent::Record { record: AgentRecord { key: Some(format!("item-{n}")), parent: None, body } }
}

/// The store is tried again.
fn again(s: Session) -> (Session, Vec<Effect>) {
    let at = s.deadline().expect("it tries again").at;
    step(s, at, Input::Tick)
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

/// What the store refused is on record once it can be, also when somebody tried to remove the session meanwhile.
#[test]
fn a_removal_that_is_refused_forgets_nothing_of_what_was_not_stored() {
    let s = running(RestartPolicy::Never, PLAIN);
    let (s, _) = step(s, 100, exited(1, Exit::Code(0), 0));
    let (s, _) = step(s, 100, full(3));
    let (s, _) = step(s, 101, gone(None, true));
    let (s, _) = step(s, 101, full(3));
    let (s, effects) = step(s, 102, asked(2, Command::Remove));
    assert!(matches!(effects[0], Effect::Forget), "nothing is written of what goes: {effects:?}");
    let (s, effects) = step(s, 102, full(3));
    assert_eq!(refused(&effects), [(2, Code::Storage)]);
    let (_, effects) = again(s);
    let has_ended =
        |e: &Effect| matches!(e, Effect::Append(Event { seq: 4, body: EventBody::Exited { .. }, .. }));
    assert!(has_ended(&effects[0]), "{effects:?}");
}
