//! The real Claude Code, Codex and Gemini CLI under a real daemon, against a scripted model server of ours.
//!
//! `tests/agents/install` installs them from npm into `target/agents` (or `DELIGHT_AGENTS_DIR`). What is not there is
//! skipped and says so; with `DELIGHT_REAL_AGENTS=required`, as CI sets it, at least one must be there.

mod busy;
mod life;
mod rig;
mod shared;
mod switching;

use rig::{CLAUDE, CODEX, CODEX_ALONE, GEMINI, Rig};

use delight_proto::agent::Control;

/// "CI was green for months and ran none of it."
#[test]
fn some_real_agent_is_installed_where_that_is_required() {
    let installed: Vec<_> =
        [CLAUDE, CODEX, GEMINI].into_iter().filter(|kind| kind.missing().is_none()).collect();
    let required = std::env::var("DELIGHT_REAL_AGENTS").is_ok_and(|value| value == "required");
    assert!(!required || !installed.is_empty(), "no real agent is installed: run tests/agents/install");
}

/// One test an agent and story: `$story`, with that agent, begun in that control.
macro_rules! stories {
    ($($name:ident: $kind:ident, $control:ident, $stories:ident::$story:ident;)*) => {
        $(
            #[test]
            fn $name() {
                if let Some(rig) = Rig::start(&$kind, Control::$control) {
                    $stories::$story(rig);
                }
            }
        )*
    };
}

stories! {
    claude_converses: CLAUDE, Remote, life::converses;
    claude_asks_and_does_what_was_decided: CLAUDE, Remote, life::asks_and_obeys;
    claude_stops_in_mid_stream: CLAUDE, Remote, life::stops_in_mid_stream;
    claude_is_heard_once_when_the_daemon_dies_in_mid_turn: CLAUDE, Remote, life::survives_the_daemon_in_mid_turn;
    claude_gets_the_answer_when_the_daemon_died_while_it_asked: CLAUDE, Remote, life::is_answered_after_the_daemon_died;
    claude_goes_on_from_desktop_to_phone_and_back: CLAUDE, Local, life::changes_hands;
    claude_goes_on_after_it_was_killed: CLAUDE, Remote, life::goes_on_after_it_was_killed;
    claude_changes_hands_fifty_times: CLAUDE, Local, switching::changes_hands_fifty_times;
    claude_is_taken_back_by_two_spaces: CLAUDE, Remote, switching::is_taken_back_by_two_spaces;
    claude_is_cleared: CLAUDE, Local, switching::is_cleared;
    claude_is_cleared_twice_while_nobody_listens: CLAUDE, Local, switching::is_cleared_twice_while_nobody_listens;
    codex_converses: CODEX, Remote, life::converses;
    codex_asks_and_does_what_was_decided: CODEX, Remote, life::asks_and_obeys;
    codex_stops_in_mid_stream: CODEX, Remote, life::stops_in_mid_stream;
    codex_is_heard_once_when_the_daemon_dies_in_mid_turn: CODEX, Remote, life::survives_the_daemon_in_mid_turn;
    codex_gets_the_answer_when_the_daemon_died_while_it_asked: CODEX, Remote, life::is_answered_after_the_daemon_died;
    codex_goes_on_after_it_was_killed: CODEX, Remote, life::goes_on_after_it_was_killed;
    codex_alone_converses: CODEX_ALONE, Remote, life::converses;
    codex_alone_goes_on_from_desktop_to_phone_and_back: CODEX_ALONE, Local, life::changes_hands;
    codex_alone_goes_on_after_it_was_killed: CODEX_ALONE, Remote, life::goes_on_after_it_was_killed;
    codex_is_driven_by_phone_and_desktop_at_once: CODEX, Local, shared::both_drive_at_once;
    codex_is_answered_by_either_and_the_other_prompt_goes: CODEX, Remote, shared::either_decides;
    codex_outlives_its_terminal_program_and_the_daemon: CODEX, Remote, shared::outlives_its_clients;
    codex_begun_anew_at_the_desktop_is_where_the_phone_is: CODEX, Remote, shared::goes_along_to_a_new_conversation;
    codex_gone_on_with_at_the_desktop_is_where_the_phone_is: CODEX, Remote, shared::goes_along_to_an_older_conversation;
    codex_lets_no_tool_of_its_own_in: CODEX, Remote, shared::lets_no_tool_in;
    codex_that_has_ended_is_not_joined: CODEX, Remote, shared::is_not_joined_when_it_has_ended;
    gemini_takes_one_message_at_a_time: GEMINI, Remote, busy::takes_one_message_at_a_time;
    gemini_converses: GEMINI, Remote, life::converses;
    gemini_asks_and_does_what_was_decided: GEMINI, Remote, life::asks_and_obeys;
    gemini_stops_in_mid_stream: GEMINI, Remote, life::stops_in_mid_stream;
    gemini_is_heard_once_when_the_daemon_dies_in_mid_turn: GEMINI, Remote, life::survives_the_daemon_in_mid_turn;
    gemini_gets_the_answer_when_the_daemon_died_while_it_asked: GEMINI, Remote, life::is_answered_after_the_daemon_died;
}
