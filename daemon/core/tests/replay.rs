//! A recording, written down and read back, folds to the same state and the same effects.

#![allow(clippy::expect_used)] // Helpers of tests, which clippy does not take for tests.

use delight_core::actor::{Reducer, Stamp, Stamped};
use delight_core::replay::{Came, Entry, Replay, StateHash, fold};
use delight_core::session::{Capabilities, Command, Ended, Happening, Input, Runner, Session};
use delight_core::testing::table::{asked, fresh_record, happened, holder};
use delight_proto::session::{Exit, RestartPolicy};

fn life() -> Vec<Stamped<Input>> {
    let ended = Ended { generation: 1, exit: Exit::Code(1), offset: 3, at_ms: 9, survivors: 0 };
    let runner =
        |generation| happened(Happening::RunnerUp { runner: Runner { generation, pid: 7 }, offset: 0 });
    let inputs = [
        asked(1, Command::Start),
        happened(Happening::HolderUp { identity: holder(50) }),
        asked(2, Command::Send { bytes: b"hello".to_vec() }),
        runner(1),
        happened(Happening::TagDone { tag: 1 }),
        happened(Happening::RunnerExited(ended)),
        happened(Happening::StoreFailed { reason: "full".into(), log_seq: 4 }),
        Input::Tick,
        runner(2),
        asked(3, Command::Stop { kill: false, grace_ms: None }),
    ];
    let at = |n: usize| Stamp { mono_ms: n as u64 * 1_500, wall_ms: 1_700_000_000_000 + n as u64 };
    inputs.into_iter().enumerate().map(|(n, input)| Stamped { at: at(n), input }).collect()
}

fn first() -> Session {
    Session::new(fresh_record(RestartPolicy::OnFailure), Capabilities::default())
}

#[test]
fn replay_hash_equal_for_a_recorded_run() {
    let lived = life().into_iter().fold(first(), |s, input| s.reduce(input).0);
    let written: Vec<String> =
        life().iter().map(|input| serde_json::to_string(input).expect("plain data")).collect();
    let read = written.iter().map(|line| serde_json::from_str(line).expect("reads back"));
    let (replayed, effects) = fold(first(), read);
    assert_eq!(replayed, lived);
    assert_eq!(StateHash::of(&replayed), StateHash::of(&lived));
    assert_eq!(effects.len(), written.len());
}

#[test]
fn another_life_has_another_hash() {
    let hash = |n| StateHash::of(&fold(first(), life().into_iter().take(n)).0);
    let hashes: std::collections::BTreeSet<u64> = (0..=life().len()).map(hash).collect();
    assert_eq!(hashes.len(), life().len() + 1, "every input of this life changes the state");
}

#[test]
fn the_hash_is_the_same_on_every_machine() {
    // FNV-1a, 64 bits, over the JSON text `"foobar"` with its quotes, computed by another implementation.
    assert_eq!(StateHash::of("foobar"), 0x6477_f76a_9c2f_ba7e);
}

fn recording() -> Vec<Entry<Session, Input>> {
    let mut s = first();
    let mut entries = vec![Entry::State(Box::new(s.clone()))];
    for input in life() {
        entries.push(Entry::Input(input.clone()));
        let (next, effects) = s.reduce(input);
        entries.push(Entry::Came(Came::of(&next, &effects)));
        s = next;
    }
    entries
}

fn replayed(entries: Vec<Entry<Session, Input>>) -> (Replay<Session>, u64) {
    let mut replay = Replay::default();
    let mut differences = 0;
    for entry in entries {
        let written = serde_json::to_vec(&entry).expect("plain data");
        let read = serde_json::from_slice(&written).expect("reads back");
        differences += u64::from(replay.next(read).is_err());
    }
    (replay, differences)
}

#[test]
fn a_recording_gives_the_same_again() {
    let (replay, differences) = replayed(recording());
    assert_eq!((replay.inputs, replay.states, replay.skipped, differences), (10, 1, 0, 0));
    assert_eq!(replay.state(), Some(&fold(first(), life()).0));
}

#[test]
fn a_recording_of_another_decision_is_told_apart_once() {
    let mut entries = recording();
    // As if another build had ended the third step in the state of the second.
    entries[6] = entries[4].clone();
    assert_eq!(replayed(entries).1, 1);
}

#[test]
fn a_recording_without_its_beginning_goes_on_with_the_next_state() {
    let mut entries = recording();
    let begun = entries.remove(0);
    let (replay, differences) = replayed(entries.clone());
    assert_eq!((replay.inputs, replay.skipped, differences), (0, 10, 0));
    entries.push(begun);
    entries.extend(recording().split_off(1));
    let (replay, differences) = replayed(entries);
    assert_eq!((replay.inputs, replay.states, replay.skipped, differences), (10, 1, 10, 0));
}
