//! `next`: the session that needs its owner most.

use delight_proto::agent::Activity;
use delight_proto::api::method::{Empty, SessionList};
use delight_proto::session::{Phase, SessionView};
use serde::Serialize;

use crate::attach;
use crate::context::Context;
use crate::failure::Failure;
use crate::keys::DetachKey;
use crate::output::Tone;
use crate::{span, view};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Permissions and questions come first, then sessions that failed or were cut off, then agents that wait for a message; of \
each the one that waits longest. Nobody: exit status 3.

Examples:
  delightctl next
  delightctl next --attach
  while s=$(delightctl next --json | jq -re .session.id); do delightctl attach \"$s\"; done")]
pub(crate) struct Args {
    /// Attach to it
    #[arg(long, short)]
    attach: bool,
    /// Key that detaches: ctrl with a letter or one of \ ] ^ _, or none
    #[arg(long, value_name = "KEY", env = "DELIGHT_DETACH_KEY", default_value = "ctrl-\\", value_parser = DetachKey::parse)]
    detach_key: DetachKey,
}

#[derive(Serialize)]
struct Document<'a> {
    session: Option<&'a SessionView>,
}

/// No session needs its owner.
const NOBODY: u8 = 3;

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let place = context.place()?;
        let sessions = context.daemon()?.call::<SessionList>(&Empty {})?.sessions;
        let Some(session) = needs_most(&sessions) else {
            context.out.result(&Document { session: None }, || "nobody needs you\n".to_owned())?;
            return Ok(NOBODY);
        };
        if self.attach && session.phase.is_live() {
            attach::terminal::require()?;
            let wish =
                attach::Wish { detach_key: self.detach_key, control: true, take: false, exit_status: false };
            return attach::run(&place, context.machine.as_deref(), session, &wish);
        }
        context.out.result(&Document { session: Some(session) }, || {
            let handle = view::handle(session);
            let next = match session.agent.as_ref().and_then(|agent| agent.pending.first()) {
                Some(waits) => {
                    let id = &waits.ask.id;
                    format!("delightctl allow {handle} {id}, delightctl deny {handle} {id}, or delightctl attach {handle}")
                }
                None if session.phase.is_live() => format!("delightctl attach {handle}"),
                None => format!("delightctl show {handle}"),
            };
            format!(
                "{}  {} ({})\nnext: {next}\n",
                context.out.paint(Tone::Strong, &view::title(session)),
                context.out.paint(view::tone(session), &view::state(session)),
                view::since(session, span::now_ms()),
            )
        })?;
        Ok(0)
    }
}

/// Who needs the owner first, if anybody does.
fn needs_most(sessions: &[SessionView]) -> Option<&SessionView> {
    sessions
        .iter()
        .filter_map(|view| need(view).map(|need| (need, view)))
        .min_by_key(|(need, _)| *need)
        .map(|(_, v)| v)
}

/// How urgent, and since when; smaller comes first.
fn need(view: &SessionView) -> Option<(u8, u64)> {
    let agent = view.agent.as_deref();
    if let Some(waits) = agent.and_then(|agent| agent.pending.first()) {
        return Some((0, waits.asked_ms));
    }
    match agent.and_then(|agent| agent.activity) {
        Some(now) if view.phase.is_live() && now.activity == Activity::NeedsDecision => {
            Some((0, now.since_ms))
        }
        _ if matches!(view.phase, Phase::Failed | Phase::Interrupted) => Some((1, view.since_ms)),
        _ if view.phase.is_live() && !view.warnings.is_empty() => Some((1, view.since_ms)),
        Some(now) if view.phase == Phase::Running && now.activity == Activity::Idle => {
            Some((2, now.since_ms))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::example;
    use delight_proto::agent::{ActivityView, Source};

    #[test]
    fn the_longest_wait_for_a_decision_comes_first() {
        let mut idle = example::agent_session(1);
        let idle_agent = idle.agent.as_mut().unwrap();
        idle_agent.activity =
            Some(ActivityView { activity: Activity::Idle, source: Source::Stream, since_ms: 1 });
        let failed = example::session(2, Phase::Failed);
        let mut asks = example::agent_session(3);
        asks.agent.as_mut().unwrap().pending = vec![example::permission("a", "Bash", "x")];
        let mut asked_before = example::agent_session(4);
        let mut earlier = example::permission("b", "Bash", "x");
        earlier.asked_ms = 0;
        asked_before.agent.as_mut().unwrap().pending = vec![earlier];
        let quiet = example::session(5, Phase::Running);
        let mut all = vec![quiet, idle, failed, asks, asked_before];
        let mut order = Vec::new();
        while let Some(next) = needs_most(&all).map(|view| view.id) {
            order.push(
                all.iter().position(|view| view.id == next).map(|at| all.remove(at).created_ms).is_some(),
            );
            assert!(order.len() < 6);
        }
        assert_eq!(order.len(), 4, "the quiet one needs nobody");
        let all = [example::session(2, Phase::Failed), example::agent_session(3)];
        assert_eq!(needs_most(&all).unwrap().phase, Phase::Failed);
    }
}
