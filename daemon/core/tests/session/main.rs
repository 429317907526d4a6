//! Transitions of the session reducer, one test each, named after what must happen.

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
    happened(Happening::Agent(Box::new(AgentHeard { generation, source, offset, events })))
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
