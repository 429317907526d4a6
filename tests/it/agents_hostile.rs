//! Agents that talk nonsense, hang, flood, crash or leave things behind: shown, bounded, and they can be stopped.

use delight_proto::agent::{Activity, Control};
use delight_proto::api::method::{SessionSpawn, SessionStop, StopParams};
use delight_proto::event::EventBody;
use delight_proto::refusal::Code;
use delight_proto::session::Phase;
use delight_tests::agent::{fake, words};
use delight_tests::{Sandbox, kernel, until};

/// Output that is no protocol is skipped and counted; what follows is understood.
#[test]
fn malformed_huge_and_unknown_output_never_wedges_a_session() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    client
        .prompt(
            id,
            "do print garbage\\n{\"did\":\"unheard-of\"}\\n\\xff\\xfe\\x00\\n; say one; \
             huge 17000000; say two; print {\"did\":; say three; huge 200; say four",
        )
        .unwrap();
    client.until_said(id, "four");
    client.prompt(id, "still there?").unwrap();
    client.until_said(id, "got: still there?");
    let events = client.events(id);
    // The third `say` completes a line that was begun as garbage.
    assert_eq!(words(&events), ["one", "two", "four", "got: still there?"]);
    let skipped: Vec<u64> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Skipped { bytes, what, .. } => {
                assert!(!what.contains("garbage"), "nothing of its content is told: {what}");
                Some(*bytes)
            }
            _ => None,
        })
        .collect();
    assert!(skipped.iter().sum::<u64>() > 17_000_000, "{skipped:?}");
    assert!(skipped.len() <= 8, "neighbours are told as one: {skipped:?}");
}

/// A newer agent says things nobody has heard of, between the things everybody has: counted, skipped, no word lost.
#[test]
fn a_flood_of_unknown_kinds_between_words_loses_no_word() {
    const ROUNDS: usize = 20;
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    let unknown = "{\"did\":\"something-new\",\"n\":[1,2]}";
    // Kinds and garbage, then a line in two halves with time between them, then a word.
    let garbage = format!("print {}\\x00\\xff\\xfe\\x80\\n", format!("{unknown}\\n").repeat(50));
    let half = "print {\"did\":\"activity\",\"activ; pause 1; print ity\":\"working\"}\\n";
    for round in 1..=ROUNDS {
        client.prompt(id, &format!("do {garbage}; {half}; say {round}")).unwrap();
    }
    client.until_said(id, &ROUNDS.to_string());
    let events = client.events(id);
    let wanted: Vec<String> = (1..=ROUNDS).map(|round| round.to_string()).collect();
    assert_eq!(words(&events), wanted, "every word once, in order");
    let skipped: u64 = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Skipped { bytes, .. } => Some(*bytes),
            _ => None,
        })
        .sum();
    let each = (unknown.len() + 1) * 50 + 5;
    assert_eq!(skipped, (each * ROUNDS) as u64, "every byte that was skipped is counted");
}

/// A line larger than all the journal keeps: memory stays bounded, and what follows is understood.
#[test]
fn a_line_longer_than_the_journal_is_skipped() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    client.prompt(id, "do say before; huge 100000000; say after").unwrap();
    client.until_said(id, "after");
    let events = client.events(id);
    assert_eq!(words(&events), ["before", "after"]);
    let skipped: u64 = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Skipped { bytes, .. } => Some(*bytes),
            _ => None,
        })
        .sum();
    assert_eq!(skipped, 100_000_001);
    let memory = kernel::private_memory(daemon.pid());
    assert!(memory < 120 << 20, "{memory} bytes");
    client.stop(id, false);
    until("nothing of it is left", || sandbox.runners().is_empty());
}

/// claude-code #77881: an agent that does nothing any more is shown as working since then, and can be stopped.
#[test]
fn a_stuck_agent_is_shown_and_can_be_stopped_with_all_it_started() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let params =
        delight_proto::api::method::SpawnParams { stop_grace_ms: Some(300), ..fake(Control::Remote, &[]) };
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    client.prompt(id, "do fork 2; daemon; ignore TERM HUP INT; say deaf now; deaf").unwrap();
    client.until_said(id, "deaf now");
    let activity = client.get(id).agent.unwrap().activity.unwrap();
    assert_eq!(activity.activity, Activity::Working);
    // It does not read: more messages are taken, or refused, but never in the way of the stop.
    for _ in 0..4 {
        let mut other = sandbox.client();
        let text = "x".repeat(200_000);
        other
            .send::<delight_proto::api::method::SessionPrompt>(&delight_proto::api::method::PromptParams {
                session: id.to_string(),
                text,
                local_id: None,
            })
            .unwrap();
    }
    let view = client.stop(id, false);
    assert_eq!(view.phase, Phase::Stopped);
    until("nothing of it is left", || sandbox.runners().is_empty());
}

/// An agent that floods keeps nobody from stopping it, and the daemon's memory stays bounded.
#[test]
fn a_flooding_agent_can_be_stopped() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    client.prompt(id, "do say go; flood").unwrap();
    client.until_said(id, "go");
    until("it floods", || client.get(id).last_seq > 500);
    let params = StopParams { session: id.to_string(), kill: true, grace_ms: None };
    client.call::<SessionStop>(&params).unwrap();
    let memory = kernel::private_memory(daemon.pid());
    assert!(memory < 120 << 20, "{memory} bytes");
}

/// A crash in the middle of a turn ends the turn; the desktop has the session again.
#[test]
fn a_crash_in_mid_turn_is_told_and_the_session_falls_back() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &["--script", "say at the desk; hang"]);
    client.prompt(id, "do say one; ask something; say never").unwrap();
    client.until_asked(id);
    kernel::signal(client.get(id).pid.unwrap(), nix::sys::signal::Signal::SIGKILL);
    until("the desktop has it", || {
        let view = client.get(id);
        let agent = view.agent.unwrap();
        view.phase == Phase::Running && agent.control == Control::Local && view.generation == 2
    });
    client.until_output(id, "at the desk");
    let agent = client.get(id).agent.unwrap();
    assert!(agent.pending.is_empty(), "nobody waits for an answer any more: {agent:?}");
}

/// A failed start says why, in the agent's own words, and names no session as started.
#[test]
fn a_remote_agent_that_cannot_start_says_why() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let refused = client.call::<SessionSpawn>(&fake(Control::Remote, &["--refuse", "remote"])).unwrap_err();
    assert_eq!(refused.code, Code::StartFailed);
    assert!(refused.to_string().contains("told to refuse"), "{refused}");
    let failed = client.call::<SessionSpawn>(&fake(Control::Remote, &["--fail", "remote"])).unwrap_err();
    assert!(failed.to_string().contains("it was told to fail"), "{failed}");
    until("nothing of it is left", || sandbox.runners().is_empty());
}
