//! Transitions of the session reducer, one test each, named after what must happen.

#![allow(clippy::panic, clippy::expect_used)] // Helpers of tests, which clippy does not take for tests.

mod asking;
mod ending;
mod restoring;
mod starting;
mod storing;

use delight_core::actor::Ticket;
use delight_core::session::{
    Answer, Capabilities, Command, Controls, Effect, Ended, Happening, Input, Runner, Session, Survivors,
};
use delight_core::testing::table::{happened, holder, running, step};
use delight_proto::refusal::Code;
use delight_proto::session::{Exit, RestartPolicy, SessionView};

const NOBODY: Controls = Controls { local: false, remote: false };
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
