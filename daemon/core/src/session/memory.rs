//! How events change what is remembered of an agent: with `record`, the only place that does.

use std::sync::Arc;

use delight_proto::agent::bounds::{ACCEPTED, ALLOWED, COMPLETED, LEFT, SEEN};
use delight_proto::agent::{
    AgentMemory, Handover, Left, Mark, Outcome, PermissionAsk, PermissionEnd, PermissionView, RecordBody,
    Source,
};
use delight_proto::event::{Event, EventBody};
use delight_proto::id::ConversationId;
use delight_proto::session::Origin;

use super::{bounding, dedupe, verdict};

/// A runner is up.
pub(super) fn started(agent: &mut AgentMemory, generation: u64) {
    agent.activity = None;
    let local = agent.control == Some(delight_proto::agent::Control::Local);
    if local && agent.handover.is_some_and(|handover| handover.generation <= generation) {
        agent.handover = None;
    }
}

/// How far a source has been taken in. A status file is read anew each time.
pub(super) fn mark(agent: &AgentMemory, source: Source) -> Mark {
    match source {
        Source::Stream => agent.stream,
        Source::Transcript => agent.transcript,
        Source::Status => Mark::default(),
    }
}

/// A source has been taken in as far as that.
pub(super) fn advance(agent: &mut AgentMemory, source: Source, to: Mark) {
    match source {
        Source::Stream => agent.stream = agent.stream.max(to),
        Source::Transcript => agent.transcript = agent.transcript.max(to),
        Source::Status => {}
    }
}

/// Changes what is remembered by an event that concerns the agent of the runner of this generation.
pub(super) fn apply(agent: &mut AgentMemory, generation: u64, event: &Event) {
    match &event.body {
        EventBody::Recorded { source, mark, record } => {
            advance(agent, *source, *mark);
            if let Some(print) = dedupe::fingerprint(record) {
                push_bounded(&mut agent.seen, print, SEEN);
            }
            match &record.body {
                RecordBody::TurnStarted { turn } => agent.turn = Some(turn.clone()),
                RecordBody::TurnEnded { .. } => agent.turn = None,
                _ => {}
            }
        }
        EventBody::Skipped { source, mark, .. } => advance(agent, *source, *mark),
        EventBody::ConversationChanged { conversation } => moved(agent, conversation),
        EventBody::ActivityChanged { view } => agent.activity = Some(*view),
        EventBody::ModeChanged { mode, .. } => agent.mode.learn(mode),
        EventBody::OffersChanged { offers } => Arc::make_mut(&mut agent.offers).learn(offers),
        EventBody::PermissionAsked { ask, expires_ms } => {
            asked(agent, ask, *expires_ms, generation, event.at_ms);
        }
        EventBody::PermissionEnded { id, outcome, decision, origin, why } => {
            if let Some(view) = agent.permissions.iter_mut().find(|view| view.ask.id == *id) {
                view.ended = Some(PermissionEnd {
                    outcome: *outcome,
                    decision: decision.clone(),
                    by: origin.clone(),
                    why: why.clone(),
                    at_ms: event.at_ms,
                    delivered: false,
                });
                if let Some(allowed) = verdict::remembered(view) {
                    agent.allowed.retain(|known| *known != allowed);
                    push_bounded(&mut agent.allowed, allowed, ALLOWED);
                }
                if *outcome == Outcome::Withdrawn {
                    bounding::shrink(&mut view.ask);
                }
            }
        }
        EventBody::DecisionDelivered { id } => {
            if let Some(view) = agent.permissions.iter_mut().find(|view| view.ask.id == *id)
                && let Some(end) = &mut view.ended
            {
                end.delivered = true;
                bounding::shrink(&mut view.ask);
            }
        }
        EventBody::MessageAccepted { message } => {
            agent.queue.push(message.clone());
            push_bounded(&mut agent.accepted, message.local_id.clone(), ACCEPTED);
        }
        EventBody::MessageDelivered { local_id } => agent.queue.retain(|m| m.local_id != *local_id),
        EventBody::MessageDropped { local_id, .. } => {
            agent.queue.retain(|m| m.local_id != *local_id);
            // Its sender was told; the same message again is a new try.
            agent.accepted.retain(|id| id != local_id);
        }
        EventBody::ControlChanged { control, generation, origin, .. } => {
            agent.handover = agent
                .control
                .filter(|from| from != control && *origin != Origin::Daemon)
                .map(|from| Handover { from, generation: *generation });
            agent.control = Some(*control);
        }
        EventBody::BypassChanged { until_ms, .. } => agent.bypass_until_ms = *until_ms,
        _ => {}
    }
}

/// Another conversation is another file: how far the old one was taken in says nothing of it.
fn moved(agent: &mut AgentMemory, to: &ConversationId) {
    if agent.conversation.as_ref() == Some(to) {
        return;
    }
    let transcript = std::mem::take(&mut agent.transcript);
    if let Some(conversation) = agent.conversation.replace(to.clone()) {
        push_bounded(&mut agent.left, Left { conversation, transcript }, LEFT);
    }
    if let Some(known) = agent.left.iter().position(|left| left.conversation == *to) {
        agent.transcript = agent.left.remove(known).transcript;
    }
}

fn asked(agent: &mut AgentMemory, ask: &PermissionAsk, expires_ms: Option<u64>, generation: u64, at_ms: u64) {
    // Another runner may use an id of an earlier one.
    agent.permissions.retain(|view| view.ask.id != ask.id);
    let ended = agent.permissions.iter().filter(|view| view.ended.is_some()).count();
    if ended > COMPLETED
        && let Some(oldest) = agent.permissions.iter().position(|view| view.ended.is_some())
    {
        agent.permissions.remove(oldest);
    }
    agent.permissions.push(PermissionView {
        ask: ask.clone(),
        generation,
        asked_ms: at_ms,
        expires_ms,
        ended: None,
    });
}

fn push_bounded<T>(list: &mut Vec<T>, item: T, bound: usize) {
    if list.len() >= bound {
        list.remove(0);
    }
    list.push(item);
}
