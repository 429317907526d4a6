//! Giving a phone's message to its session.

use delight_core::session::Command;
use delight_core::supervisor::Request;
use delight_core::uplink::{Delivery, Prompt};
use delight_proto::agent::{Message, Mode};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;

use crate::actor::Told;
use crate::supervisor::Supervision;

/// The mode phones name when they mean none: it never takes back what the owner allowed on the machine.
const NO_MODE: &str = "default";

/// Gives the message to its session and says what became of it. Answered when the agent has it.
pub(super) async fn deliver(supervision: &Supervision, id: SessionId, prompt: Prompt) -> Delivery {
    let origin = Origin::Phone { device: "phone".to_owned() };
    match try_deliver(supervision, id, prompt, origin).await {
        Ok(()) => Delivery::Taken,
        // The session's queue is full, or the daemon ends: the message is offered again, by the next daemon if need be.
        Err(refusal) if refusal.retry || refusal.code == Code::ShuttingDown => Delivery::Later,
        Err(refusal) => Delivery::Refused(refusal),
    }
}

async fn try_deliver(
    supervision: &Supervision,
    id: SessionId,
    prompt: Prompt,
    origin: Origin,
) -> Result<(), Refusal> {
    let Prompt { local_id, text, mode: named } = prompt;
    if let Some(mode) = mode(supervision, id, named).await? {
        // A message is worked on in the mode its sender named, or not at all.
        ask(supervision, id, origin.clone(), mode).await?;
    }
    let message = Message { local_id, text: text.0, origin: origin.clone() };
    ask(supervision, id, origin, Command::Prompt { message }).await.map(drop)
}

/// What must be set before the message may be given.
async fn mode(supervision: &Supervision, id: SessionId, named: Mode) -> Result<Option<Command>, Refusal> {
    let chosen = |name: Option<String>| name.filter(|name| name != NO_MODE);
    let named = Mode {
        model: chosen(named.model),
        permission_mode: chosen(named.permission_mode),
        effort: chosen(named.effort),
    };
    if named.is_empty() {
        return Ok(None);
    }
    let request = Request::Get { selector: id.to_string() };
    let agent = match supervision.ask(Origin::Daemon, request).await? {
        Told::View(view) => view.agent,
        _ => None,
    };
    let Some(agent) = agent else { return Ok(None) };
    let other = named.other_than(&agent.mode);
    Ok((!other.is_empty()).then_some(Command::SetMode(other)))
}

async fn ask(
    supervision: &Supervision,
    id: SessionId,
    origin: Origin,
    command: Command,
) -> Result<Told, Refusal> {
    supervision.ask(origin, Request::To { selector: id.to_string(), command }).await
}
