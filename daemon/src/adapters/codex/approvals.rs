//! What Codex asks: its requests as permissions, and decisions as its answers.

use delight_proto::agent::{AgentEvent, Decision, PermissionAsk, Scope, bounds};
use serde_json::{Value, json};

use super::items;
use super::server::{Server, shape};
use super::shapes::{ChangeApproval, CommandApproval, UserInput};
use crate::adapters::codec::Understood;
use crate::adapters::json_rpc::{self, Id};
use crate::adapters::shown;

/// What differs between the requests of the server.
#[derive(Default)]
struct Asked {
    tool: &'static str,
    title: String,
    input: Value,
    call: Option<String>,
    command: Option<String>,
    paths: Vec<String>,
    question: bool,
}

impl Server {
    /// A request of the server's.
    pub(super) fn asked(
        &mut self,
        id: &Id,
        method: &str,
        params: Value,
        out: &mut Understood,
    ) -> Result<(), serde_json::Error> {
        let (turn, ask) = match method {
            "item/commandExecution/requestApproval" => {
                let asked: CommandApproval = shape(params)?;
                let actions = asked.command_actions.unwrap_or_default();
                let command = match &actions[..] {
                    [one] if !one.command.is_empty() => one.command.clone(),
                    _ => items::without_shell(asked.command.as_deref().unwrap_or_default()),
                };
                let mut input = json!({"command": command, "cwd": asked.cwd});
                if let Some(reason) = asked.reason {
                    input["reason"] = reason.into();
                }
                (
                    asked.turn_id,
                    Asked {
                        tool: "shell",
                        title: command.clone(),
                        input,
                        call: asked.item_id,
                        command: Some(command),
                        ..Asked::default()
                    },
                )
            }
            "item/fileChange/requestApproval" => {
                let asked: ChangeApproval = shape(params)?;
                let known = |item: &&Value| item["id"].as_str() == asked.item_id.as_deref();
                let item = self.changes.iter().find(known).cloned().unwrap_or_default();
                let mut paths = items::changed_paths(&item);
                paths.extend(asked.grant_root);
                let title = format!("patch {}", paths.join(", "));
                let input = json!({"changes": item["changes"], "reason": asked.reason});
                (
                    asked.turn_id,
                    Asked {
                        tool: "apply_patch",
                        title,
                        input,
                        call: asked.item_id,
                        paths,
                        ..Asked::default()
                    },
                )
            }
            "item/tool/requestUserInput" => {
                let asked: UserInput = shape(params)?;
                let first = asked.questions.first().and_then(|question| question["question"].as_str());
                let title = first.unwrap_or("a question").to_owned();
                let input = json!({"questions": asked.questions});
                (
                    asked.turn_id,
                    Asked {
                        tool: "request_user_input",
                        title,
                        input,
                        call: asked.item_id,
                        question: true,
                        ..Asked::default()
                    },
                )
            }
            _ => {
                out.reply = json_rpc::not_served(id, method);
                return Ok(());
            }
        };
        let name = json_rpc::permission_id(id, &turn);
        let Some((name, permission)) = name.and_then(|name| Some((name.clone(), name.parse().ok()?))) else {
            out.reply = json_rpc::not_served(id, "a request with such an id");
            return Ok(());
        };
        if self.open.len() == bounds::PENDING {
            self.open.pop_front();
        }
        self.open.push_back((id.clone(), name));
        let Asked { tool, title, input, call, command, paths, question } = ask;
        let ask = PermissionAsk {
            id: permission,
            tool: tool.to_owned(),
            title: shown::title(&title),
            input,
            call,
            command: command.filter(|command| !command.is_empty()),
            paths: paths.into_iter().filter(|path| path.starts_with('/')).collect(),
            read_only: false,
            question,
        };
        out.events.push(AgentEvent::Asked { ask });
        Ok(())
    }
}

/// What is noted of a request that was answered.
pub(super) fn answered_mark(id: &Id) -> String {
    match id {
        Id::Number(number) => format!("answer {number}"),
        Id::Text(text) => format!("answer {text:?}"),
    }
}

/// What Codex is answered. It has no room for a reason.
pub(super) fn answer(ask: &PermissionAsk, decision: &Decision) -> Value {
    if ask.question {
        let answers = decision.answers.clone().filter(|_| decision.allow).unwrap_or_else(|| json!({}));
        return json!({"answers": answers});
    }
    let word = match (decision.allow, decision.scope) {
        (true, Scope::Once) => "accept",
        (true, Scope::Session) => "acceptForSession",
        (false, _) => "decline",
    };
    json!({"decision": word})
}
