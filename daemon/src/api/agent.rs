//! Agents: messages, permissions, control.

use delight_core::session::Command;
use delight_core::supervisor::Request as Ask;
use delight_proto::agent::{Control, Decision, Message, Mode, bounds};
use delight_proto::api::method::{
    AgentKind, AgentList, AgentListResult, PermissionList, PermissionListResult, PromptParams, SessionAbort,
    SessionBypass, SessionDecide, SessionPermission, SessionPrompt, SessionSetMode, SessionSwitch,
    SessionTerminal, SetModeParams,
};
use delight_proto::id::LocalId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Phase;

use super::call::{Answer, Caller, blocking, mismatch};
use super::peer::outside_sessions;
use super::request::raw;
use super::routes::routes;
use crate::actor::Told;

/// Bytes of the name of a model or a permission mode: the longest in use have some sixty.
const MAX_NAME: usize = 256;

routes! { caller, room;
    SessionPrompt(params) => prompt(caller, params).await,
    SessionAbort(params) => caller.view(params.session, Command::Abort).await,
    SessionSwitch(params) => {
        outside_sessions(&caller.daemon().supervision, &caller.origin(), "handing control over").await?;
        caller.view(params.session, Command::Switch { to: params.to }).await
    },
    SessionTerminal(params) => {
        outside_sessions(&caller.daemon().supervision, &caller.origin(), "the agent's terminal program").await?;
        terminal(caller, params.session).await
    },
    SessionDecide(params) => {
        outside_sessions(&caller.daemon().supervision, &caller.origin(), "a decision").await?;
        check_decision(&params.decision)?;
        let command = Command::Decide { permission: params.permission, decision: params.decision };
        match caller.ask(Ask::To { selector: params.session, command }).await? {
            Told::Decided(permission) => raw(&permission),
            other => Err(mismatch(&other)),
        }
    },
    SessionSetMode(params) => set_mode(caller, params).await,
    SessionBypass(params) => {
        outside_sessions(&caller.daemon().supervision, &caller.origin(), "a bypass").await?;
        caller.view(params.session, Command::Bypass { for_ms: params.for_ms }).await
    },
    PermissionList(_) => {
        room.large().await;
        raw(&permissions(caller).await?)
    },
    AgentList(_) => raw(&agents(caller).await?),
}

/// How the desktop joins a session that is shared.
async fn terminal(caller: &Caller, selector: String) -> Answer {
    let view = caller.get(selector).await?;
    let refused = |why: &str, fix: &str| {
        let what = "the agent's terminal program cannot be started";
        Err(Refusal::new(Code::WrongState, what, why).fix(fix))
    };
    if view.phase != Phase::Running {
        return refused("the session does not run", "resume it first, or wait until it runs");
    }
    let adapters = caller.daemon().adapters.clone();
    match blocking(move || adapters.terminal(&view)).await? {
        Some(program) => raw(&program),
        None => refused(
            "desktop and phone do not share this session's agent",
            "delightctl attach shows the session",
        ),
    }
}

async fn prompt(caller: &Caller, params: PromptParams) -> Answer {
    let too_large = |bytes: usize| {
        let most = bounds::MESSAGE;
        Refusal::new(
            Code::TooLarge,
            "the message was not sent",
            format!("text: it has {bytes} bytes; at most {most} are allowed"),
        )
        .fix("write it to a file and name the file")
    };
    if params.text.len() > bounds::MESSAGE {
        return Err(too_large(params.text.len()));
    }
    let local_id = match params.local_id {
        Some(id) => id,
        None => fresh_local_id()?,
    };
    let message = Message { local_id, text: params.text, origin: caller.origin() };
    match caller.ask(Ask::To { selector: params.session, command: Command::Prompt { message } }).await? {
        Told::Prompted(result) => raw(&result),
        other => Err(mismatch(&other)),
    }
}

fn fresh_local_id() -> Result<LocalId, Refusal> {
    let failed = |reason: String| Refusal::new(Code::Internal, "the message cannot be named", reason).retry();
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|e| failed(format!("no randomness: {e}")))?;
    format!("{:032x}", u128::from_le_bytes(random)).parse().map_err(|e| failed(format!("{e}")))
}

/// What is told to the agent with a decision is a message like any other.
fn check_decision(decision: &Decision) -> Result<(), Refusal> {
    let reason = decision.reason.as_ref().map_or(0, String::len);
    let answers = decision.answers.as_ref().map_or(0, |answers| answers.to_string().len());
    if reason + answers > bounds::MESSAGE {
        let most = bounds::MESSAGE;
        return Err(Refusal::new(
            Code::TooLarge,
            "the permission was not decided",
            format!("reason and answers: more than {most} bytes"),
        )
        .fix("say less"));
    }
    check_name("permission_mode", decision.permission_mode.as_deref())
}

fn check_name(field: &str, name: Option<&str>) -> Result<(), Refusal> {
    match name {
        Some(name) if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) => {
            Err(Refusal::new(
                Code::BadParams,
                format!("{field} cannot be used"),
                format!("it is not 1 to {MAX_NAME} printable characters"),
            )
            .fix("give the agent's own name of it"))
        }
        _ => Ok(()),
    }
}

async fn set_mode(caller: &Caller, params: SetModeParams) -> Answer {
    // There are modes in which an agent asks nobody.
    outside_sessions(&caller.daemon().supervision, &caller.origin(), "setting a mode").await?;
    check_name("model", params.model.as_deref())?;
    check_name("permission_mode", params.permission_mode.as_deref())?;
    let SetModeParams { session, model, permission_mode, effort } = params;
    caller.view(session, Command::SetMode(Mode { model, permission_mode, effort })).await
}

async fn permissions(caller: &Caller) -> Result<PermissionListResult, Refusal> {
    let sessions = match caller.ask(Ask::List).await? {
        Told::List(sessions) => sessions,
        other => return Err(mismatch(&other)),
    };
    let mut permissions = Vec::new();
    for view in sessions {
        let Some(agent) = view.agent else { continue };
        let (session, name) = (view.id, view.name);
        permissions.extend(agent.pending.into_iter().map(|permission| SessionPermission {
            session,
            name: name.clone(),
            permission,
        }));
    }
    permissions.sort_by_key(|waiting| waiting.permission.asked_ms);
    Ok(PermissionListResult { permissions })
}

async fn agents(caller: &Caller) -> Result<AgentListResult, Refusal> {
    let adapters = caller.daemon().adapters.clone();
    let found = blocking(move || Ok(adapters.detect())).await?;
    let agents = found.into_iter().map(|(kind, capabilities, detected)| {
        let offered = capabilities.controls;
        let controls = [(offered.local, Control::Local), (offered.remote, Control::Remote)];
        let (program, missing) = match detected {
            Ok(program) => (Some(program.to_string_lossy().into_owned()), None),
            Err(refusal) => (None, Some(refusal)),
        };
        AgentKind {
            kind,
            controls: controls.into_iter().filter(|(can, _)| *can).map(|(_, control)| control).collect(),
            program,
            missing,
        }
    });
    Ok(AgentListResult { agents: agents.collect() })
}
