//! The real Claude Code, Codex and Gemini CLI under a real daemon, against a scripted model server of ours.
//!
//! `tests/agents/install` installs them from npm into `target/agents` (or `DELIGHT_AGENTS_DIR`). What is not there is
//! skipped and says so; with `DELIGHT_REAL_AGENTS=required`, as CI sets it, at least one must be there.

mod life;
mod rig;

use rig::{CLAUDE, CODEX, GEMINI, Rig};

use delight_proto::agent::Control;

/// "CI was green for months and ran none of it."
#[test]
fn some_real_agent_is_installed_where_that_is_required() {
    let installed: Vec<_> =
        [CLAUDE, CODEX, GEMINI].into_iter().filter(|kind| kind.missing().is_none()).collect();
    let required = std::env::var("DELIGHT_REAL_AGENTS").is_ok_and(|value| value == "required");
    assert!(!required || !installed.is_empty(), "no real agent is installed: run tests/agents/install");
}

/// One test an agent and story: `$story` of life.rs, with that agent, begun in that control.
macro_rules! stories {
    ($($name:ident: $kind:ident, $control:ident, $story:ident;)*) => {
        $(
            #[test]
            fn $name() {
                if let Some(rig) = Rig::start(&$kind, Control::$control) {
                    life::$story(rig);
                }
            }
        )*
    };
}

stories! {
    claude_converses: CLAUDE, Remote, converses;
    claude_asks_and_does_what_was_decided: CLAUDE, Remote, asks_and_obeys;
    claude_stops_in_mid_stream: CLAUDE, Remote, stops_in_mid_stream;
    claude_is_heard_once_when_the_daemon_dies_in_mid_turn: CLAUDE, Remote, survives_the_daemon_in_mid_turn;
    claude_gets_the_answer_when_the_daemon_died_while_it_asked: CLAUDE, Remote, is_answered_after_the_daemon_died;
    claude_goes_on_from_desktop_to_phone_and_back: CLAUDE, Local, changes_hands;
    claude_goes_on_after_it_was_killed: CLAUDE, Remote, goes_on_after_it_was_killed;
    codex_converses: CODEX, Remote, converses;
    codex_asks_and_does_what_was_decided: CODEX, Remote, asks_and_obeys;
    codex_stops_in_mid_stream: CODEX, Remote, stops_in_mid_stream;
    codex_is_heard_once_when_the_daemon_dies_in_mid_turn: CODEX, Remote, survives_the_daemon_in_mid_turn;
    codex_gets_the_answer_when_the_daemon_died_while_it_asked: CODEX, Remote, is_answered_after_the_daemon_died;
    codex_goes_on_from_desktop_to_phone_and_back: CODEX, Local, changes_hands;
    codex_goes_on_after_it_was_killed: CODEX, Remote, goes_on_after_it_was_killed;
    gemini_converses: GEMINI, Remote, converses;
    gemini_asks_and_does_what_was_decided: GEMINI, Remote, asks_and_obeys;
    gemini_stops_in_mid_stream: GEMINI, Remote, stops_in_mid_stream;
    gemini_is_heard_once_when_the_daemon_dies_in_mid_turn: GEMINI, Remote, survives_the_daemon_in_mid_turn;
    gemini_gets_the_answer_when_the_daemon_died_while_it_asked: GEMINI, Remote, is_answered_after_the_daemon_died;
}
