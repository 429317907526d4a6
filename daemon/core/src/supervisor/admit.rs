//! Who may make or start a session: bounds, names, request ids, how many may live at once.

use delight_proto::api::method::SpawnParams;
use delight_proto::id::{RequestId, SessionId};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, StartSpec, bounds, default_grace_ms, default_retain_bytes};

use super::effect::{Effect, Opening};
use super::reduce::Step;
use super::state::{MAX_SESSIONS, Supervisor, fingerprint};
use crate::actor::Ticket;
use crate::session::state::MAX_GRACE_MS;
use crate::session::{Command, record};

const NO_SPAWN: &str = "the session was not made";

impl Step {
    pub(super) fn spawn(&mut self, ticket: Ticket, origin: Origin, id: SessionId, params: SpawnParams) {
        let SpawnParams { request_id, name, .. } = &params;
        let (request_id, name) = (request_id.clone(), name.clone());
        let spec = spec_of(params);
        if let Some(request) = &request_id
            && let Some((made, asked)) = self.s.requests.get(request)
        {
            let (made, same) = (*made, *asked == fingerprint(&spec));
            return self.spawn_again(ticket, origin, request, made, same);
        }
        if let Err(refusal) = self.s.admit(&spec) {
            return self.reply(ticket, Err(refusal));
        }
        if let Some(name) = &name
            && let Some((owner, _)) = self.s.names.get(name)
        {
            let why = format!("session {} has the name {name}", owner.short());
            let refusal = Refusal::new(Code::Conflict, NO_SPAWN, why);
            return self
                .reply(ticket, Err(refusal.fix("take another name, or rename or remove that session")));
        }
        if self.s.index.contains_key(&id) {
            let refusal = Refusal::new(Code::Conflict, NO_SPAWN, "its random id is taken").retry();
            return self.reply(ticket, Err(refusal.fix("try again")));
        }
        let capabilities = self.s.capabilities(&spec.kind);
        let mut record = record::fresh(id, spec, origin.clone(), self.now.wall_ms);
        record.name = name;
        record.request_id = request_id;
        self.s.index_fresh(&record);
        self.out.push(Effect::Open { id, opening: Opening::Fresh(Box::new(record), capabilities) });
        self.out.push(Effect::Deliver { id, ticket, origin, command: Command::Start });
    }

    /// The same request id again: the same session's answer, or a conflict; never a second session.
    fn spawn_again(
        &mut self,
        ticket: Ticket,
        origin: Origin,
        request: &RequestId,
        made: SessionId,
        same: bool,
    ) {
        if same {
            return self.out.push(Effect::Deliver { id: made, ticket, origin, command: Command::Started });
        }
        let why = format!("request id {request} made session {} with other parameters", made.short());
        let refusal = Refusal::new(Code::Conflict, NO_SPAWN, why);
        self.reply(ticket, Err(refusal.fix("use a new request id for a new session")));
    }
}

fn spec_of(params: SpawnParams) -> StartSpec {
    StartSpec {
        kind: params.kind,
        command: params.command,
        cwd: params.cwd,
        env: params.env,
        size: params.size,
        restart: params.restart,
        stop_grace_ms: params.stop_grace_ms.unwrap_or_else(default_grace_ms),
        retain_bytes: params.retain_bytes.unwrap_or_else(default_retain_bytes),
        agent: params.agent,
    }
}

impl Supervisor {
    fn admit(&self, spec: &StartSpec) -> Result<(), Refusal> {
        if self.draining.is_some() {
            return Err(super::drain::shutting_down(NO_SPAWN));
        }
        self.check_spec(spec)?;
        if self.index.len() >= MAX_SESSIONS {
            let why = format!("the registry holds {MAX_SESSIONS} sessions");
            return Err(Refusal::new(Code::Busy, NO_SPAWN, why).fix("remove ended sessions"));
        }
        self.admit_live(NO_SPAWN)
    }

    fn admit_live(&self, what: &str) -> Result<(), Refusal> {
        let live = self.index.values().filter(|entry| entry.alive && entry.failed.is_none()).count();
        if live < self.max_live as usize {
            return Ok(());
        }
        let why = format!("{live} sessions are live; at most {} may be", self.max_live);
        Err(Refusal::new(Code::Busy, what, why).fix("stop one, or raise max_live in the configuration"))
    }

    /// Whether a session may be asked this now.
    pub(super) fn permit(&self, id: SessionId, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Start | Command::Started => {
                Err(Refusal::new(Code::BadParams, "this cannot be asked", "it belongs to spawning a session"))
            }
            Command::Resume => {
                let what = "the session was not resumed";
                if self.draining.is_some() {
                    return Err(super::drain::shutting_down(what));
                }
                let counted = self.index.get(&id).is_some_and(|entry| entry.alive);
                if counted { Ok(()) } else { self.admit_live(what) }
            }
            Command::Rename { name: Some(name) } => match self.names.get(name) {
                Some((owner, _)) if *owner != id => {
                    let why = format!("session {} has the name {name}", owner.short());
                    let refusal = Refusal::new(Code::Conflict, "the session was not renamed", why);
                    Err(refusal.fix("take another name, or rename that session first"))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn check_spec(&self, spec: &StartSpec) -> Result<(), Refusal> {
        let bad = |why: String, fix: &str| Err(Refusal::new(Code::BadParams, NO_SPAWN, why).fix(fix));
        let large =
            |why: String| Err(Refusal::new(Code::TooLarge, NO_SPAWN, why).fix("shorten it, or use a file"));
        if !self.kinds.contains_key(&spec.kind) {
            let kinds = self.kinds.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let kind: String = spec.kind.chars().take(80).collect();
            return bad(format!("kind: there is no session kind {kind:?}"), &format!("kinds are: {kinds}"));
        }
        if spec.command.len() > bounds::COMMAND_ARGS {
            return large(format!("command: more than {} arguments", bounds::COMMAND_ARGS));
        }
        if spec.command.first().is_some_and(String::is_empty) {
            return bad(
                "command: the program's name is empty".into(),
                "name a program, or leave command out",
            );
        }
        if spec.env.len() > bounds::ENV_ENTRIES {
            return large(format!("env: more than {} entries", bounds::ENV_ENTRIES));
        }
        let arguments: usize = spec.command.iter().map(|arg| arg.len() + 1).sum();
        let environment: usize = spec.env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        if arguments + environment > bounds::COMMAND_BYTES {
            return large(format!("command and env: more than {} bytes together", bounds::COMMAND_BYTES));
        }
        if spec.cwd.len() > bounds::PATH_BYTES {
            return large(format!("cwd: longer than {} bytes", bounds::PATH_BYTES));
        }
        if !spec.cwd.starts_with('/') {
            return bad("cwd: not an absolute path".into(), "give the whole path, from /");
        }
        let texts = spec.command.iter().chain(spec.env.values()).chain(spec.env.keys()).chain([&spec.cwd]);
        if texts.into_iter().any(|text| text.contains('\0')) {
            return bad(
                "command, env or cwd: contains a NUL character".into(),
                "take it out: no program could see it",
            );
        }
        if spec.env.keys().any(|name| name.is_empty() || name.contains('=')) {
            return bad("env: a name is empty or contains '='".into(), "write NAME=VALUE with a plain name");
        }
        if spec.size.clamped() != spec.size {
            return bad(
                format!("size: {}x{} is out of bounds", spec.size.cols, spec.size.rows),
                &format!("both sides are 1 to {}", bounds::TERMINAL_SIDE),
            );
        }
        if spec.stop_grace_ms > MAX_GRACE_MS {
            return bad(format!("stop_grace_ms: at most {MAX_GRACE_MS}"), "use a shorter grace");
        }
        Ok(())
    }
}
