//! Calls to a session.

use delight_core::session::Command;
use delight_proto::agent::{Control, Decision, Scope};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;
use delight_proto::sync::rpc::{AgentControl, Decision as Finer, PermissionDecision, SessionRequest, answer};
use serde_json::{Value, json};

use super::machine::{not_offered, said};
use super::{Remote, files, in_time, unexpected, words};
use crate::actor::Told;

impl Remote {
    pub(super) async fn answer_session(
        &self,
        id: SessionId,
        request: SessionRequest,
        origin: &Origin,
    ) -> Value {
        match request {
            SessionRequest::Abort(_) => {
                let aborted =
                    in_time("the agent was not told yet", self.view(id, origin, Command::Abort)).await;
                said(aborted.map(|_| Value::Null))
            }
            SessionRequest::Switch(request) => {
                let to = match request.to {
                    AgentControl::Local => Control::Local,
                    AgentControl::Remote => Control::Remote,
                };
                let switched = self.view(id, origin, Command::Switch { to });
                said(in_time("control has not changed hands yet", switched).await.map(|_| json!(true)))
            }
            SessionRequest::Permission(decision) => {
                let decided = in_time("the agent has no answer yet", self.decide(id, decision, origin)).await;
                said(decided.map(|()| Value::Null))
            }
            SessionRequest::Kill(_) => {
                let stop = Command::Stop { kill: false, grace_ms: None };
                let stopped = in_time("the session has not ended yet", self.view(id, origin, stop)).await;
                said(stopped.map(|_| json!({ "success": true, "message": "Session stopped" })))
            }
            SessionRequest::Goal(_) => not_offered("setting an agent's goal"),
            SessionRequest::Files(request) => match self.get(id).await {
                Ok(view) => self.answer_files(files::Scope::Session(view.cwd.into()), request).await,
                Err(refusal) => answer::failed(&words(&refusal)),
            },
        }
    }

    /// Passes a decision on. Done means that the agent has it; an id nobody asked with, and a request that was decided
    /// otherwise before, are failures with their reason.
    async fn decide(&self, id: SessionId, asked: PermissionDecision, origin: &Origin) -> Result<(), Refusal> {
        // A person may shorten an id; a phone never does, and must not meet another request by chance.
        let pending = self.get(id).await?.agent.map(|agent| agent.pending).unwrap_or_default();
        let given = asked.id.as_str();
        let is_whole = pending.iter().any(|one| one.ask.id.as_str() == given);
        if !is_whole && pending.iter().any(|one| one.ask.id.as_str().starts_with(given)) || given.is_empty() {
            return Err(Refusal::new(
                Code::NotFound,
                "the permission was not decided",
                "nobody asks with this id",
            ));
        }
        let abort = asked.decision == Some(Finer::Abort);
        let command = Command::Decide { permission: Some(given.to_owned()), decision: decision(asked) };
        match self.to(id, origin, command).await? {
            Told::Decided(_) => {}
            other => return Err(unexpected(&other)),
        }
        if abort {
            self.view(id, origin, Command::Abort).await?;
        }
        Ok(())
    }
}

fn decision(asked: PermissionDecision) -> Decision {
    let allow = asked.approved && !matches!(asked.decision, Some(Finer::Denied | Finer::Abort));
    let for_session = asked.decision == Some(Finer::ApprovedForSession)
        || asked.allow_tools.as_ref().is_some_and(|tools| !tools.is_empty());
    Decision {
        allow,
        scope: if allow && for_session { Scope::Session } else { Scope::Once },
        reason: asked.reason.filter(|reason| !reason.is_empty()).map(|reason| reason.as_str().to_owned()),
        answers: asked.updated_input.map(|input| Value::Object(input.into_inner())),
        permission_mode: asked.mode.filter(|_| allow).map(|mode| mode.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: Value) -> Decision {
        decision(serde_json::from_value(asked).unwrap())
    }

    #[test]
    fn a_phones_words_for_a_decision_are_ours() {
        assert!(of(json!({"id": "p", "approved": true})).allow);
        assert_eq!(of(json!({"id": "p", "approved": true})).scope, Scope::Once);
        assert_eq!(
            of(json!({"id": "p", "approved": true, "decision": "approved_for_session"})).scope,
            Scope::Session
        );
        assert_eq!(
            of(json!({"id": "p", "approved": true, "allowTools": ["Bash(ls)"]})).scope,
            Scope::Session
        );
        assert_eq!(of(json!({"id": "p", "approved": false, "allowTools": ["Bash(ls)"]})).scope, Scope::Once);
        // The two words contradict each other: no wins.
        assert!(!of(json!({"id": "p", "approved": true, "decision": "abort"})).allow);
        let denied = of(json!({"requestId": "p", "allow": false, "message": "not now", "mode": "yolo"}));
        assert_eq!(
            (denied.allow, denied.reason.as_deref(), denied.permission_mode),
            (false, Some("not now"), None)
        );
        assert_eq!(
            of(json!({"id": "p", "approved": true, "mode": "plan"})).permission_mode.as_deref(),
            Some("plan")
        );
    }
}
