//! The link's rules, one by one.

use delight_core::actor::Reducer;
use delight_core::uplink::{
    Arrived, Backoff, Delivery, Effect, Facts, Fault, Input, Prompt, SessionRow, Shortened, Slot, Stored,
    UpdateOutcome, Words,
};
use delight_proto::agent::Control;
use delight_proto::agent::bounds::COMPLETED;
use delight_proto::api::method::UplinkState;
use delight_proto::sync::Object;
use delight_proto::sync::bounded::Id;
use serde_json::json;

use crate::table::{Table, facts, id, object};

/// [happy 5.18: a wait of three seconds, the same for everybody and for ever]
#[test]
fn the_wait_grows_and_the_first_connect_has_the_same_loop_as_every_other() {
    let mut table = Table::new();
    // For the first minute nobody waits long; then as long as anybody likes to look at.
    let bounds = [250, 500, 1_000].into_iter().chain([1_500; 39]).chain([30_000; 3]);
    for bound in bounds {
        assert!(table.down(Fault::Later, u64::MAX).is_empty());
        assert_eq!(table.uplink.view().state, UplinkState::Waiting);
        let before = table.now;
        let (what, effects) = table.tick();
        assert_eq!((what, table.now - before), ("connect again", bound));
        assert!(matches!(effects[..], [Effect::Connect { login: false, .. }]));
    }
}

#[test]
fn what_was_found_again_and_is_lost_anew_is_looked_for_as_eagerly() {
    let mut table = Table::online();
    table.now += Backoff::HOPEFUL_MS;
    for lived in [Backoff::FOUND_MS, 100] {
        let _ = table.down(Fault::Later, u64::MAX);
        let before = table.now;
        let _ = table.tick();
        assert!(table.now - before <= Backoff::SOON_MS);
        let attempt = table.attempt();
        let _ = table.up(attempt);
        table.now += lived;
    }
    // One that takes us and throws us out at once is no server that is back, however often it does so.
    let mut longest = 0;
    for _ in 0..60 {
        let _ = table.down(Fault::Later, u64::MAX);
        let before = table.now;
        let _ = table.tick();
        longest = longest.max(table.now - before);
        let attempt = table.attempt();
        let _ = table.up(attempt);
    }
    assert_eq!(longest, Backoff::CEILING_MS);
}

#[test]
fn a_refused_account_logs_in_again_once_and_then_says_so() {
    let mut table = Table::online();
    let effects = table.down(Fault::Login, 0);
    assert!(matches!(effects[..], [Effect::Connect { login: true, attempt: 2, .. }]), "{effects:?}");
    let _ = table.up(2);
    assert!(table.down(Fault::Login, 0).is_empty());
    let view = table.uplink.view();
    assert_eq!((view.state, view.reason.as_str()), (UplinkState::Refused, "why"));
    assert_eq!(table.uplink.deadline(), None, "nothing is tried any more");
    assert!(table.give(Input::NetworkChanged).is_empty());
}

#[test]
fn a_connection_that_lived_long_may_be_refused_again() {
    let mut table = Table::online();
    let _ = table.down(Fault::Login, 0);
    let _ = table.up(2);
    table.now += Backoff::STABLE_MS;
    assert!(matches!(table.down(Fault::Login, 0)[..], [Effect::Connect { login: true, .. }]));
}

#[test]
fn a_network_change_hurries_a_wait_and_probes_a_connection() {
    let mut table = Table::new();
    let _ = table.down(Fault::After(20_000), 0);
    table.now += 5_000;
    assert!(matches!(table.give(Input::NetworkChanged)[..], [Effect::Connect { .. }]));
    let attempt = table.attempt();
    let _ = table.up(attempt);
    let effects = table.give(Input::NetworkChanged);
    assert!(effects.contains(&Effect::Probe), "{effects:?}");
}

#[test]
fn a_late_word_of_an_old_connection_changes_nothing() {
    let mut table = Table::online();
    let before = table.uplink.clone();
    let stale = Input::Down { attempt: 0, fault: Fault::Later, reason: "old".to_owned(), random: 0 };
    assert!(table.give(stale).is_empty());
    assert_eq!(table.uplink, before);
}

#[test]
fn a_shutdown_is_announced_and_waited_for_a_second_at_most() {
    for answered in [true, false] {
        let mut table = Table::online();
        let effects = table.give(Input::ShutDown { source: "os-signal".to_owned() });
        let said = effects.iter().any(|effect| {
            matches!(effect, Effect::Update { slot: Slot::DaemonState, value, .. }
                if value.get("status") == Some(&json!("shutting-down")))
        });
        assert!(said && !effects.contains(&Effect::Ended), "{effects:?}");
        let effects = if answered {
            let outcome = UpdateOutcome::Stored { version: 1 };
            table.give(Input::Updated { slot: Slot::DaemonState, outcome, random: 0 })
        } else {
            let before = table.now;
            let (what, effects) = table.tick();
            assert_eq!((what, table.now - before), ("end without having said so", 1_000));
            effects
        };
        assert!(effects.contains(&Effect::Ended));
    }
    let mut offline = Table::new();
    let _ = offline.down(Fault::Later, 0);
    assert!(offline.give(Input::ShutDown { source: "os-signal".to_owned() }).contains(&Effect::Ended));
}

#[test]
fn methods_are_offered_before_anybody_learns_the_servers_id_and_again_with_every_connection() {
    let mut table = Table::online();
    let effects = table.seen(true, false);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Register { .. })), "{effects:?}");
    let place = |effects: &[Effect], want: fn(&Effect) -> bool| effects.iter().position(want);
    let effects = table.registered();
    let offer = place(&effects, |effect| matches!(effect, Effect::Offer { .. }));
    let known = place(&effects, |effect| matches!(effect, Effect::Known { .. }));
    assert!(offer.is_some() && offer < known, "{effects:?}");
    let _ = table.down(Fault::Later, 0);
    let _ = table.tick();
    let attempt = table.attempt();
    let effects = table.up(attempt);
    for want in [
        |effect: &Effect| matches!(effect, Effect::OfferMachine),
        |effect: &Effect| matches!(effect, Effect::Offer { .. }),
        |effect: &Effect| matches!(effect, Effect::MachineAlive),
        |effect: &Effect| matches!(effect, Effect::SessionAlive { .. }),
    ] {
        assert!(effects.iter().any(want), "{effects:?}");
    }
}

#[test]
fn signs_of_life_are_few_and_follow_the_truth() {
    let mut table = Table::online();
    let _ = table.seen(true, false);
    let _ = table.registered();
    let mut signs = 0;
    let until = table.now + 600_000;
    while table.now < until {
        let (_, effects) = table.tick();
        signs += effects.iter().filter(|effect| matches!(effect, Effect::SessionAlive { .. })).count();
    }
    assert!((12..=16).contains(&signs), "{signs} signs of an idle session in ten minutes");
    let effects = table.seen(true, true);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::SessionAlive { thinking: true, .. })));
    let effects = table.seen(false, false);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::SessionEnd { .. })), "{effects:?}");
    let effects = table.give(Input::EndTold { id: id(), heard: true });
    assert!(matches!(&effects[..], [Effect::Save { stored, .. }] if stored.ended), "told once: {effects:?}");
    let until = table.now + 60_000;
    while table.now < until {
        let (_, effects) = table.tick();
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::SessionAlive { .. })), "{effects:?}");
    }
}

/// [happy 5.14: `session-alive` says `local` in remote sessions]
#[test]
fn signs_of_life_say_who_drives() {
    for (control, mode) in
        [(Some(Control::Local), Some("local")), (Some(Control::Remote), Some("remote")), (None, None)]
    {
        let mut table = Table::online();
        let _ = table.hear(Facts { agent: control.is_some(), control, ..facts(true, 0) });
        let effects = table.registered();
        let said = effects.iter().find_map(|effect| match effect {
            Effect::SessionAlive { mode, .. } => Some(*mode),
            _ => None,
        });
        assert_eq!(said, Some(mode));
    }
}

/// [happy 5.7: resumed within a minute of its end a session is shown offline]
#[test]
fn a_resumed_session_says_so_until_no_server_can_have_swallowed_it() {
    let mut table = Table::online();
    let _ = table.seen(true, false);
    let _ = table.registered();
    let _ = table.seen(false, false);
    let _ = table.give(Input::EndTold { id: id(), heard: true });
    let _ = table.seen(true, false);
    let mut signs = 0;
    let until = table.now + 60_000;
    while table.now < until {
        let (_, effects) = table.tick();
        signs += effects.iter().filter(|effect| matches!(effect, Effect::SessionAlive { .. })).count();
    }
    assert!(signs >= 5, "{signs} signs in the minute a server may swallow them");
}

#[test]
fn a_session_that_ended_before_the_machine_was_linked_is_never_mentioned() {
    let mut table = Table::online();
    let effects = table.seen(false, false);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Register { .. })), "{effects:?}");
}

#[test]
fn a_server_that_has_lost_a_session_is_told_everything_again() {
    let mut table = Table::online();
    let _ = table.seen(true, false);
    let _ = table.registered();
    let effects = table.hear(facts(true, 7));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Post { after: 0, .. })), "{effects:?}");
    let _ = table.give(Input::Posted { id: id(), through: 7, notices: 0, completed: None });
    let _ = table.give(Input::FetchFailed { id: id(), fault: Fault::Unknown, random: 0 });
    let (_, effects) = table.tick();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Register { .. })), "{effects:?}");
    let row = SessionRow {
        id: Id::cut("another"),
        seq: 0,
        metadata: None,
        metadata_version: 0,
        agent_state: None,
        agent_state_version: 0,
    };
    let effects = table.give(Input::Registered { id: id(), row: Box::new(row) });
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Post { after: 0, .. })), "{effects:?}");
}

/// What was decided stays in the agent state, the newest of it, so that a phone that was away learns what became of a request.
#[test]
fn decided_requests_are_added_and_the_oldest_goes() {
    let mut table = Table::online();
    let _ = table.hear(facts(true, 0));
    let _ = table.registered();
    let mut known = Object::new();
    for n in 0..=COMPLETED {
        let _ = table.hear(facts(true, n as u64 + 1));
        let completed = Some(object(json!({ format!("r{n:03}"): {"completedAt": n} })));
        let effects = table.give(Input::Posted { id: id(), through: n as u64 + 1, notices: 0, completed });
        let said = effects.iter().find_map(|effect| match effect {
            Effect::Update { slot: Slot::AgentState(_), value, .. } => value["completedRequests"].as_object(),
            _ => None,
        });
        known = said.cloned().unwrap_or_default();
        let outcome = UpdateOutcome::Stored { version: n as u64 + 1 };
        let _ = table.give(Input::Updated { slot: Slot::AgentState(id()), outcome, random: 0 });
    }
    let ids: Vec<String> = known.keys().cloned().collect();
    assert!(ids.iter().cloned().eq((1..=COMPLETED).map(|n| format!("r{n:03}"))), "{ids:?}");
}

/// The row "server connected": whatever could not be said before is said at once, however long its next try was to wait.
#[test]
fn a_new_connection_tells_states_and_events_at_once() {
    let mut table = Table::online();
    let _ = table.hear(facts(true, 0));
    let _ = table.registered();
    let named = |facts| Facts { metadata: object(json!({"path": "/", "name": "n"})), ..facts };
    let asks = |facts| Facts { agent_state: object(json!({"requests": {"r": 1}})), ..facts };
    let told = |effects: &[Effect]| {
        let metadata = |e: &Effect| matches!(e, Effect::Update { slot: Slot::SessionMetadata(_), .. });
        let state = |e: &Effect| matches!(e, Effect::Update { slot: Slot::AgentState(_), .. });
        let events = |e: &Effect| matches!(e, Effect::Post { after: 0, .. });
        (effects.iter().any(metadata), effects.iter().any(state), effects.iter().any(events))
    };
    let effects = table.hear(named(asks(facts(true, 3))));
    assert_eq!(told(&effects), (true, true, true), "{effects:?}");
    for slot in [Slot::SessionMetadata(id()), Slot::AgentState(id())] {
        let effects = table.give(Input::Updated { slot, outcome: UpdateOutcome::Failed, random: u64::MAX });
        assert_eq!(told(&effects), (false, false, false), "it waits: {effects:?}");
    }
    let _ = table.give(Input::PostFailed { id: id(), fault: Fault::After(60_000), random: 0 });
    let _ = table.down(Fault::Later, 0);
    let (_, effects) = table.tick();
    assert_eq!(told(&effects), (false, false, false), "there is nobody to tell: {effects:?}");
    let effects = table.up(2);
    assert_eq!(told(&effects), (true, true, true), "{effects:?}");
}

/// The row "server disconnected": a flag, and everything local goes on.
#[test]
fn a_server_that_is_away_is_a_flag_and_messages_it_brought_are_still_delivered() {
    let mut table = Table::online();
    let _ = table.seen(true, false);
    let _ = table.registered();
    let message = |seq| Arrived {
        seq,
        prompt: Some(Prompt {
            local_id: format!("m{seq}").parse().unwrap(),
            text: Words("do it".into()),
            mode: Default::default(),
        }),
    };
    let delivered = |effects: &[Effect]| -> Vec<u64> {
        let of = |e: &Effect| if let Effect::Deliver { message, .. } = e { Some(message.seq) } else { None };
        effects.iter().filter_map(of).collect()
    };
    let messages = vec![message(1), message(2)];
    let effects = table.give(Input::Fetched { id: id(), messages, last: true });
    assert_eq!(delivered(&effects), [1], "one at a time");
    let effects = table.down(Fault::Later, 0);
    assert!(
        !effects.iter().any(|e| matches!(e, Effect::Post { .. } | Effect::Deliver { .. })),
        "{effects:?}"
    );
    assert_eq!(table.uplink.view().state, UplinkState::Waiting);
    let effects = table.give(Input::Delivered { id: id(), seq: 1, delivery: Delivery::Taken });
    assert_eq!(delivered(&effects), [2], "the next one does not wait for the server: {effects:?}");
    let effects = table.seen(true, true);
    assert!(!effects.iter().any(|e| matches!(e, Effect::Post { .. } | Effect::SessionAlive { .. })));
}

/// After a power cut the log is shorter than what was sent of it: what takes the lost numbers is sent all the same.
#[test]
fn a_cursor_beyond_the_log_goes_on_with_what_comes() {
    let mut table = Table::online();
    let stored = Stored {
        server_id: Some(Id::cut("s")),
        sent: 50,
        received: 0,
        notices: Vec::new(),
        ended: false,
        shortened: Shortened::default(),
    };
    let found = Box::new(facts(true, 10));
    let _ = table.give(Input::Seen { id: id(), facts: found, stored: Some(Box::new(stored)) });
    let _ = table.registered();
    let effects = table.hear(facts(true, 12));
    assert!(effects.iter().any(|e| matches!(e, Effect::Post { after: 10, .. })), "{effects:?}");
}
