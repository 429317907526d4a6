//! Calls to the machine.

use delight_core::session::Command;
use delight_core::supervisor::Request;
use delight_proto::agent::Mode;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, SessionView};
use delight_proto::sync::bounded::{Id, Line, Name, Path};
use delight_proto::sync::rpc::{
    MachineRequest, MachineSession, MachineSessions, Pending, ResumeRequest, SpawnError, SpawnResult,
    Spawned, answer,
};
use serde_json::{Value, json};

use super::files::Scope;
use super::{Remote, in_time, unexpected, words};
use crate::actor::Told;

/// When to ask again about a session that is still starting.
const ASK_AGAIN_MS: u64 = 1_000;

impl Remote {
    pub(super) async fn answer_machine(&self, request: MachineRequest, origin: &Origin) -> Value {
        match request {
            MachineRequest::Spawn(request) => {
                let key = request.client_request_id.clone();
                let spawned = in_time("the session is not there yet", self.spawn(*request, origin)).await;
                spawned_value(spawned, key)
            }
            MachineRequest::Resume(request) => {
                let key = request.client_request_id.clone();
                let resumed = in_time("the session is not there yet", self.resume(request, origin)).await;
                spawned_value(resumed, key)
            }
            MachineRequest::StopSession(request) => {
                let stopped =
                    in_time("the session has not ended yet", self.stop(&request.session_id, origin));
                said(stopped.await.map(|_| json!({ "message": "Session stopped" })))
            }
            MachineRequest::StopDaemon(_) => said(self.stop_daemon(origin)),
            MachineRequest::Ping(_) => json!({ "success": true }),
            MachineRequest::ListSessions(_) => said(self.list().await),
            MachineRequest::Api(request) => self.answer_api(request, origin).await,
            MachineRequest::ForkClaude(_) | MachineRequest::ForkCodex(_) => {
                not_offered("copying a conversation")
            }
            MachineRequest::DuplicateClaude(_) | MachineRequest::DuplicateCodex(_) => {
                not_offered("copying a part of a conversation")
            }
            MachineRequest::ClaudeRewindPoints(_) | MachineRequest::CodexRewindPoints(_) => {
                not_offered("going back in a conversation")
            }
            MachineRequest::Files(request) => self.answer_files(Scope::Machine, request).await,
        }
    }

    /// Ends a session; answered when nothing of it is alive. One that has ended already is answered the same.
    async fn stop(&self, id: &Id, origin: &Origin) -> Result<Box<SessionView>, Refusal> {
        self.view(self.named(id)?, origin, Command::Stop { kill: false, grace_ms: None }).await
    }

    /// Starts an ended session again; one that runs is answered as if it had been started now.
    pub(super) async fn resume(
        &self,
        request: ResumeRequest,
        origin: &Origin,
    ) -> Result<SpawnResult, Refusal> {
        let id = self.named(&request.session_id)?;
        if !self.get(id).await?.phase.is_live() {
            match self.view(id, origin, Command::Resume).await {
                Ok(_) => {}
                // Somebody else was quicker.
                Err(refusal) if refusal.code == Code::WrongState && self.get(id).await?.phase.is_live() => {}
                Err(refusal) => return Err(refusal),
            }
        }
        if request.model.is_some() || request.permission_mode.is_some() {
            let text = |name: Option<Name>| name.map(|name| name.as_str().to_owned());
            let (model, permission_mode) = (text(request.model), text(request.permission_mode));
            let mode = Mode { model, permission_mode, effort: None };
            self.view(id, origin, Command::SetMode(mode)).await?;
        }
        Ok(SpawnResult::Success(Spawned { session_id: self.ids.server_id(id).await? }))
    }

    /// Ends the daemon; sessions go on. The answer goes out while it ends: there is nobody to send it afterwards.
    fn stop_daemon(&self, origin: &Origin) -> Result<Value, Refusal> {
        if !self.settings.stop_daemon {
            return Err(Refusal::new(
                Code::Forbidden,
                "the daemon goes on",
                "its owner does not let phones end it",
            )
            .fix("set remote.stop_daemon in its configuration"));
        }
        let (supervision, origin) = (self.supervision.clone(), origin.clone());
        tokio::spawn(async move {
            let asked = supervision.ask(origin, Request::Shutdown { stop_sessions: false }).await;
            if let Err(refusal) = asked {
                tracing::warn!(%refusal, "a phone asked the daemon to end");
            }
        });
        Ok(json!({ "message": "The daemon is stopping; its sessions go on" }))
    }

    async fn list(&self) -> Result<Value, Refusal> {
        let views = match self.supervision.ask(Origin::Daemon, Request::List).await? {
            Told::List(views) => views,
            other => return Err(unexpected(&other)),
        };
        // A few hundred bytes each; more than these do not fit an answer.
        let sessions = views.into_iter().take(500).map(|view| self.listed(view)).collect();
        json_of(&MachineSessions { sessions })
    }

    fn listed(&self, view: SessionView) -> MachineSession {
        let phase = serde_json::to_value(view.phase).ok();
        MachineSession {
            id: Id::cut(view.id.as_str()),
            session_id: self.ids.known(view.id),
            name: view.name.map(|name| Name::cut(name.as_str())),
            kind: Name::cut(view.kind),
            directory: Path::cut(view.cwd),
            phase: Name::cut(phase.as_ref().and_then(Value::as_str).unwrap_or_default()),
            reason: (!view.reason.is_empty()).then(|| Line::cut(view.reason)),
            created_at: view.created_ms,
        }
    }
}

pub(super) fn not_offered(what: &str) -> Value {
    answer::error(&format!("{what} is not offered by this machine"))
}

/// A result, or its failure in the plain spelling.
pub(super) fn said(result: Result<Value, Refusal>) -> Value {
    result.unwrap_or_else(|refusal| answer::error(&words(&refusal)))
}

/// One of our own shapes as JSON.
pub(super) fn json_of(value: &impl serde::Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value)
        .map_err(|e| Refusal::new(Code::Internal, "the answer could not be written", e.to_string()))
}

/// What became of a spawn. One that is late and has a key can be asked about again.
fn spawned_value(result: Result<SpawnResult, Refusal>, key: Option<Id>) -> Value {
    let result = match (result, key) {
        (Ok(result), _) => result,
        (Err(refusal), Some(client_request_id)) if refusal.code == Code::Timeout && refusal.retry => {
            SpawnResult::Pending(Pending { client_request_id, retry_after_ms: ASK_AGAIN_MS })
        }
        (Err(refusal), _) => SpawnResult::Error(SpawnError { error_message: Line::cut(words(&refusal)) }),
    };
    said(json_of(&result))
}
