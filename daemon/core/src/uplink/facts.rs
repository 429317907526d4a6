//! A session as the server's side sees it: made of its view and of what is known of the machine.

use delight_proto::agent::{Activity, AgentView, Choice, Control, PermissionView};
use delight_proto::session::{Phase, SessionView};
use delight_proto::sync::Object;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Bytes of a tool's input in the agent state. All of the state is sent again at every change, in one packet.
const INPUT_BYTES: usize = 16 << 10;
/// Bytes of all of them: half of what a state may have.
const INPUTS_BYTES: usize = 256 << 10;

/// What every session's metadata says of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Host name.
    pub host: String,
    /// The machine's id at the server.
    pub machine_id: String,
    /// The user's home directory.
    pub home_dir: String,
    /// The daemon's state directory.
    pub state_dir: String,
    /// Where the daemon's program lies.
    pub lib_dir: String,
    /// The daemon's version.
    pub version: String,
    /// `linux` or `darwin`.
    pub os: String,
}

/// What of a session concerns the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Whether anything of it is or may be alive.
    pub live: bool,
    /// Whether an agent is in it: then phones may write to it.
    pub agent: bool,
    /// Whether a turn runs.
    pub thinking: bool,
    /// Who drives; none: nobody can take control of it.
    pub control: Option<Control>,
    /// The last event's number.
    pub last_seq: u64,
    /// Its metadata; fields to be taken out are `null`.
    pub metadata: Object,
    /// Its agent state, without what was decided.
    pub agent_state: Object,
}

/// The facts of a view. `conversation_field` is the metadata's name for the conversation of an agent of this kind, if it
/// has one.
#[must_use]
pub fn facts(view: &SessionView, host: &Host, conversation_field: Option<&str>) -> Facts {
    let agent = view.agent.as_deref();
    let activity = agent.and_then(|agent| agent.activity).map(|activity| activity.activity);
    Facts {
        live: view.phase.is_live(),
        agent: agent.is_some(),
        thinking: view.phase.is_live() && activity == Some(Activity::Working),
        control: agent.map(|agent| agent.control),
        last_seq: view.last_seq,
        metadata: metadata(view, host, conversation_field),
        agent_state: agent_state(view, agent),
    }
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

fn metadata(view: &SessionView, host: &Host, conversation_field: Option<&str>) -> Object {
    let flavor = if view.agent.is_none() { TERMINAL } else { view.kind.as_str() };
    let state = match view.phase {
        Phase::Stopped => "archived",
        phase if phase.is_live() => "running",
        _ => "exited",
    };
    let archived = view.phase == Phase::Stopped;
    let agent = view.agent.as_deref();
    let offers = agent.map(|agent| &agent.offers);
    let mut metadata = object(json!({
        "path": view.cwd,
        "host": host.host,
        "version": host.version,
        "os": host.os,
        "machineId": host.machine_id,
        "homeDir": host.home_dir,
        "happyHomeDir": host.state_dir,
        "happyLibDir": host.lib_dir,
        "happyToolsDir": host.lib_dir,
        "flavor": flavor,
        "name": view.name,
        "lifecycleState": state,
        "lifecycleStateSince": view.since_ms,
        "archivedBy": archived.then_some("user"),
        "archiveReason": (archived && !view.reason.is_empty()).then_some(&view.reason),
        "hostPid": view.holder.as_ref().map(|holder| holder.process.pid),
        "currentModelCode": agent.and_then(|agent| agent.mode.model.as_ref()),
        "currentOperatingModeCode": agent.and_then(|agent| agent.mode.permission_mode.as_ref()),
        "currentThoughtLevelCode": agent.and_then(|agent| agent.mode.effort.as_ref()),
        "tools": offers.and_then(|offers| offers.tools.as_ref()),
        "slashCommands": offers.and_then(|offers| offers.commands.as_ref()),
        "skills": offers.and_then(|offers| offers.skills.as_ref()),
        "mcpServers": offers.and_then(|offers| offers.servers.as_ref()),
        "models": choices(offers.and_then(|offers| offers.models.as_ref())),
        "operatingModes": choices(offers.and_then(|offers| offers.permission_modes.as_ref())),
        "thoughtLevels": choices(offers.and_then(|offers| offers.efforts.as_ref())),
        "dangerouslySkipPermissions": agent.is_some_and(|agent| agent.bypass_until_ms.is_some()),
        // Ours, beside Happy's: so that our own phones name a session as the desktop does.
        "delightSessionId": view.id.as_str(),
        "startedFromDaemon": true,
        "startedBy": "daemon",
    }));
    if let (Some(field), Some(conversation)) =
        (conversation_field, agent.and_then(|a| a.conversation.as_ref()))
    {
        metadata.insert(field.to_owned(), conversation.as_str().into());
    }
    metadata
}

/// Something to choose from, in Happy's words.
fn choices(list: Option<&Vec<Choice>>) -> Option<Vec<Value>> {
    let shown = |choice: &Choice| {
        let mut shown = object(json!({ "code": choice.code, "value": choice.name }));
        if let Some(description) = &choice.description {
            shown.insert("description".to_owned(), description.as_str().into());
        }
        Value::Object(shown)
    };
    Some(list?.iter().map(shown).collect())
}

/// What phones call a session without an agent.
const TERMINAL: &str = "terminal";

fn agent_state(view: &SessionView, agent: Option<&AgentView>) -> Object {
    let Some(agent) = agent else {
        return object(json!({ "controlledByUser": true, "requests": {} }));
    };
    // What nothing runs behind nobody can answer any more.
    let pending: &[PermissionView] = if view.phase.is_live() { &agent.pending } else { &[] };
    let mut room = INPUTS_BYTES;
    let requests: Object = pending
        .iter()
        .map(|permission| {
            let ask = &permission.ask;
            let request = json!({
                "tool": ask.tool,
                "arguments": bounded(&ask.input, &mut room),
                "createdAt": permission.asked_ms,
                "toolUseId": ask.call,
            });
            (ask.id.as_str().to_owned(), request)
        })
        .collect();
    object(json!({ "controlledByUser": agent.control == Control::Local, "requests": requests }))
}

/// A tool's input, or a note of how large it is. `room` is what all of them together have left.
pub(super) fn bounded(input: &Value, room: &mut usize) -> Value {
    let size = input.to_string().len();
    if size > INPUT_BYTES.min(*room) {
        return json!({ "note": format!("{size} bytes; shown on the machine") });
    }
    *room -= size;
    input.clone()
}
