//! Transitions of the session reducer, one test each, named after what must happen.
//!
//! The rows of the state machine's table, each with the tests that hold it. Where another part of the program does it, the test
//! lies there; `tests/it/architecture.rs` checks that every test named here exists.
//!
//! | input | test |
//! |---|---|
//! | Switch to who drives already | `a_switch_to_who_drives_is_answered_at_once_and_does_nothing_else` |
//! | Switch to remote | `switch_to_remote_ends_the_one_starts_the_other_and_answers_when_it_is_ready` |
//! | Switch to local | `switch_to_local_tells_the_agent_to_end_then_signals_then_kills` |
//! | Ready, Exited of another generation | `a_late_exit_of_the_former_runner_changes_nothing`, `stale_generation_exit_ignored` |
//! | Ready | `messages_before_ready_wait_and_are_given_in_order_once`, `first_prompt_before_ready_delivered_once_and_in_order` |
//! | Exited while starting | `an_exit_while_starting_fails_the_switch_with_the_reason` |
//! | Exited, remote | `an_exit_in_remote_mode_starts_local_again` |
//! | Exited, local | `an_exit_in_local_mode_closes_it_with_the_status` |
//! | Message known or empty | `the_same_message_again_is_answered_like_the_first_and_told_once`, `empty_and_huge_messages_are_refused` |
//! | Message, remote | `a_message_is_on_record_before_it_is_told_and_answered_when_the_agent_has_it` |
//! | Message, local | `the_phone_cannot_send_while_the_desktop_drives`, `a_message_takes_over_where_the_owner_wants_that` |
//! | Send, Abort | `raw_input_never_reaches_an_agent_that_the_phone_drives`, `abort_and_modes_are_for_who_is_driven_from_afar` |
//! | PermissionRequested | `a_request_is_durable_before_anybody_is_told`, `the_same_request_again_changes_nothing` |
//! | Decide, pending | `a_decision_is_stored_then_written_and_answered_after_the_agent_has_it` |
//! | Decide, unknown or decided | `which_request_is_meant`, `approve_twice_same_ok_different_conflicts` |
//! | Takeback | `two_spaces_in_time_and_nothing_else`, `space_space_first_try_no_eaten_bytes` |
//! | Server connected | `methods_are_offered_before_anybody_learns_the_servers_id_and_again_with_every_connection`, `a_new_connection_tells_states_and_events_at_once` |
//! | Server disconnected | `a_server_that_is_away_is_a_flag_and_messages_it_brought_are_still_delivered` |
//! | Persisted, Mismatch, PersistFailed | `version_mismatch_retry_converges`, `a_lost_acknowledgement_is_no_second_write`, `what_changes_while_an_answer_is_awaited_is_sent_after_it` |
//! | Shutdown | `stop_is_polite_then_firm_then_stubborn_and_answers_when_all_is_dead`, `the_end_with_sessions_stops_each_and_waits` |
//!
//! Faults of its predecessor that it must not have:
//!
//! | rule | test |
//! |---|---|
//! | 1 effects run outside, nothing is dropped | `a_start_under_way_stalls_nobody`, `a_full_mailbox_is_busy_but_what_must_arrive_arrives` |
//! | 2 every caller is answered | `a_second_switch_does_not_forget_the_first_caller`, `every_stop_caller_is_answered` |
//! | 3 refused before anything is touched | `an_invalid_target_is_refused_before_anything_is_touched` |
//! | 4 a failed switch leaves a real runner | `a_failed_switch_falls_back_by_starting_the_former_mode` |
//! | 5 start, then inject | `what_waits_for_a_start_is_given_to_the_runner_that_came_up_not_to_one_that_is_gone` |
//! | 6 buffered sends and a switch | `what_waits_does_not_survive_a_switch_to_the_desktop` |
//! | 7 messages after the end | `a_message_to_an_ended_session_never_starts_a_runner` |
//! | 8 closing ends | `closing_becomes_closed_when_nothing_is_alive` |
//! | 9 stamped at the source | `a_late_exit_of_the_former_runner_changes_nothing` |
//! | 10 what is tracked is stopped | `stop_during_a_switch_ends_what_is_tracked_and_answers_both` |
//! | 11 asked while starting | `a_request_before_ready_is_not_dropped_and_can_be_answered` |
//! | 12 withdrawn visibly | `abort_exit_switch_and_the_agent_itself_withdraw_visibly` |
//! | 13 plain data | `a_recording_gives_the_same_again`, `inputs_can_be_recorded_as_json` |
//! | 14 a reply means done | `a_decision_is_stored_then_written_and_answered_after_the_agent_has_it`, `a_stop_that_cannot_be_stored_still_ends_the_processes` |
//! | 15 what a session was started with | `resume_goes_on_with_who_drove_and_the_conversation`, `resume_uses_stored_spec_and_the_next_generation` |
//! | 16 restoring, one daemon a machine | `restoring_is_a_few_at_a_time_and_ready_comes_once`, `two_daemons_one_wins_other_exits_cleanly` |
//!
//! What must hold whatever the order of things is checked by the model (`tests/model.rs`).

#![allow(clippy::panic, clippy::expect_used)] // Helpers of tests, which clippy does not take for tests.

mod asking;
mod control;
mod conversation;
mod ending;
mod message;
mod permission;
mod restoring;
mod shared;
mod starting;
mod storing;

use delight_core::actor::Ticket;
use delight_core::session::{
    AgentHeard, Answer, Capabilities, Command, Controls, Effect, Ended, Found, Happening, Input, Runner,
    Session, Survivors,
};
use delight_core::testing::table::{happened, holder, running, step};
use delight_proto::agent::{AgentEvent, AgentOrder, Control, Source};
use delight_proto::event::EventBody;
use delight_proto::refusal::Code;
use delight_proto::session::{Exit, Origin, RestartPolicy, SessionView};

const NOBODY: Controls = Controls { local: false, remote: false, shared: false };
const PLAIN: Capabilities =
    Capabilities { survivors: Survivors::Leave, keep_holder: false, controls: NOBODY, resume: false };
const TIDY: Capabilities =
    Capabilities { survivors: Survivors::End, keep_holder: false, controls: NOBODY, resume: true };

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

const BOTH: Capabilities = Capabilities {
    survivors: Survivors::End,
    keep_holder: true,
    controls: Controls { local: true, remote: true, shared: false },
    resume: true,
};
const REMOTE: Capabilities =
    Capabilities { controls: Controls { local: false, remote: true, shared: false }, ..BOTH };

fn heard_at(generation: u64, source: Source, offset: u64, events: Vec<AgentEvent>) -> Input {
    happened(Happening::Agent(Box::new(AgentHeard { generation, source, offset, first: 0, events })))
}

fn heard(generation: u64, offset: u64, events: Vec<AgentEvent>) -> Input {
    heard_at(generation, Source::Stream, offset, events)
}

fn ready(generation: u64) -> Input {
    heard(generation, generation * 1_000, vec![AgentEvent::Ready])
}

fn phone(ticket: u64, command: Command) -> Input {
    Input::Asked { ticket: Ticket(ticket), origin: Origin::Phone { device: "pocket".into() }, command }
}

fn switch(to: Control) -> Command {
    Command::Switch { to }
}

/// An agent that the phone drives since generation 1, and that is ready.
fn remote() -> Session {
    let s = running(RestartPolicy::Never, REMOTE);
    step(s, 11, ready(1)).0
}

/// The same where the desktop can drive too, and did before: generation 2.
fn taken() -> Session {
    let s = running(RestartPolicy::Never, BOTH);
    let (s, _) = step(s, 20, phone(900, switch(Control::Remote)));
    let (s, _) = step(s, 21, exited(1, Exit::Signal(15), 0));
    let (s, _) = step(s, 22, up(2, 101));
    step(s, 23, ready(2)).0
}

/// What the agent is told, with the tags.
fn tells(effects: &[Effect]) -> Vec<(u64, &AgentOrder)> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Tell { tag, order } = e { Some((*tag, order)) } else { None })
        .collect()
}

fn done(tag: u64) -> Input {
    happened(Happening::TagDone { tag })
}

fn logged(effects: &[Effect]) -> Vec<&EventBody> {
    effects.iter().filter_map(|e| if let Effect::Append(e) = e { Some(&e.body) } else { None }).collect()
}

/// The session as a daemon finds it that started now.
fn again(s: &Session, capabilities: Capabilities) -> Session {
    let record = s.record().clone();
    let seq = record.last_seq;
    step(Session::restored(record, seq, &[], capabilities), 0, happened(Happening::Restore)).0
}

fn adopted(generation: u64, pid: u32) -> Input {
    happened(Happening::Adopted(Box::new(Found {
        identity: holder(50),
        runner: Some(Runner { generation, pid }),
        ended: None,
        offset: 0,
        troubles: Vec::new(),
    })))
}
