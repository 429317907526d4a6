//! Starting a session from afar: the socket's own command, once for each request however often it comes.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use delight_core::supervisor::Request;
use delight_proto::agent::{AgentOptions, Control, Mode};
use delight_proto::api::method::SpawnParams;
use delight_proto::id::{ConversationId, RequestId, SessionId};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, RestartPolicy, Size};
use delight_proto::sync::bounded::{Id, Path};
use delight_proto::sync::rpc::{MissingDirectory, ResumeRequest, SpawnRequest, SpawnResult, Spawned};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::directory::{self, Found};
use super::{Remote, unexpected};
use crate::actor::Told;
use crate::api::workdir;
use crate::keys;

/// For how long the same request without a key of its own means the same session: as long as the server keeps a caller
/// waiting. A phone asks again when its call was cut off; a person who wants two waits longer or sends a key.
const SAME_WITHIN: Duration = Duration::from_secs(30);

/// Requests that are remembered for that. A phone makes a handful a minute.
const REMEMBERED: usize = 256;

/// A spawn that was asked for lately.
#[derive(Debug)]
pub(super) struct Recent {
    request: RequestId,
    at: Instant,
}

const NO_SPAWN: &str = "the session was not made";

impl Remote {
    pub(super) async fn spawn(&self, request: SpawnRequest, origin: &Origin) -> Result<SpawnResult, Refusal> {
        if let Some(id) = request.session_id.as_ref().filter(|id| self.named(id).is_ok()) {
            let resume = ResumeRequest {
                session_id: id.clone(),
                model: request.model_mode,
                permission_mode: request.permission_mode,
                client_request_id: request.client_request_id,
            };
            return Box::pin(self.resume(resume, origin)).await;
        }
        let (kind, agent) = self.agent(&request)?;
        let env = self.environment(&request, &kind)?;
        let approved = request.approved_new_directory_creation == Some(true);
        let (path, settings, home) =
            (request.directory.as_str().to_owned(), self.settings.clone(), self.home.clone());
        let found = blocking(move || {
            let found = directory::find(&path, &settings, &home)?;
            match &found {
                Found::Directory(path) => workdir::check(text(path)?, false)?,
                Found::Missing(path) if approved => workdir::check(text(path)?, true)?,
                Found::Missing(_) => {}
            }
            Ok(found)
        })
        .await?;
        let cwd = match found {
            Found::Missing(path) if !approved => {
                let directory = Path::cut(text(&path)?);
                return Ok(SpawnResult::RequestToApproveDirectoryCreation(MissingDirectory { directory }));
            }
            Found::Missing(path) | Found::Directory(path) => text(&path)?.to_owned(),
        };
        let params = SpawnParams {
            request_id: None,
            name: None,
            kind,
            command: Vec::new(),
            cwd,
            create_cwd: false,
            env,
            size: Size::default(),
            restart: RestartPolicy::Never,
            stop_grace_ms: None,
            retain_bytes: None,
            agent,
        };
        let (request_id, remembered) = self.request_id(request.client_request_id.as_ref(), &params)?;
        let params = SpawnParams { request_id: Some(request_id), ..params };
        let asked =
            Request::Spawn { fresh_id: SessionId::from_random(keys::bytes()?), params: Box::new(params) };
        let id = match self.supervision.ask(origin.clone(), asked).await {
            Ok(Told::View(view)) => view.id,
            Ok(other) => return Err(unexpected(&other)),
            Err(refusal) => {
                // What failed may be tried again at once, as a new session.
                if let Some(fingerprint) = remembered {
                    self.recent().remove(&fingerprint);
                }
                return Err(refusal);
            }
        };
        Ok(SpawnResult::Success(Spawned { session_id: self.ids.server_id(id).await? }))
    }

    /// The kind of session a phone means, and how its agent is to be run.
    fn agent(&self, request: &SpawnRequest) -> Result<(String, AgentOptions), Refusal> {
        let refuse = |code, reason: &str| Refusal::new(code, NO_SPAWN, reason);
        if request.is_side_chat == Some(true) || request.forked_from_message_id.is_some() {
            return Err(refuse(Code::UnknownMethod, "side conversations are not offered by this machine"));
        }
        let kind = match request.agent.as_deref() {
            None | Some("") => "claude",
            Some("terminal" | "shell") => "pty",
            Some(name) => name,
        };
        let Some(capabilities) = self.kinds.get(kind) else {
            let kinds = self.kinds.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let kind: String = kind.chars().take(40).collect();
            return Err(refuse(Code::BadParams, &format!("this machine has no agent {kind:?}"))
                .fix(format!("it has: {kinds}")));
        };
        let conversation = match kind {
            "codex" => request.resume_codex_thread_id.as_ref(),
            _ => request.resume_claude_session_id.as_ref(),
        };
        let conversation = conversation.map(|id| id.parse::<ConversationId>()).transpose();
        let conversation = conversation.map_err(|e| refuse(Code::BadParams, &e.to_string()))?;
        let chosen = |name: &Option<delight_proto::sync::bounded::Name>| {
            name.as_ref()
                .filter(|name| !matches!(name.as_str(), "" | "default"))
                .map(|name| name.as_str().to_owned())
        };
        let options = AgentOptions {
            control: capabilities.controls.remote.then_some(Control::Remote),
            mode: Mode {
                model: chosen(&request.model_mode),
                permission_mode: chosen(&request.permission_mode),
                effort: chosen(&request.effort_level),
            },
            conversation,
            phone_messages: None,
        };
        Ok((kind.to_owned(), options))
    }

    /// What the phone sets in the session's environment. Names the owner does not allow are refused, not left out: a
    /// session that silently lacks its settings is worse than none.
    fn environment(&self, request: &SpawnRequest, kind: &str) -> Result<BTreeMap<String, String>, Refusal> {
        let mut env = BTreeMap::new();
        if let Some(entries) = &request.environment_variables {
            for (name, value) in entries.expose().iter() {
                if !self.settings.may_set(name) {
                    let name: String = name.chars().take(80).collect();
                    return Err(Refusal::new(
                        Code::Forbidden,
                        NO_SPAWN,
                        format!("the environment variable {name:?} may not be set from afar"),
                    )
                    .fix("the machine's owner can allow it: remote.env"));
                }
                let value = expand_variables(value, |name| std::env::var(name).ok())
                    .map_err(|name| unresolved(&name))?;
                env.insert(name.as_str().to_owned(), value);
            }
        }
        if let Some(token) = request.token.as_ref().filter(|token| !token.expose().is_empty()) {
            if kind != "claude" {
                let reason = format!("a credential from the phone cannot be used for {kind}");
                return Err(Refusal::new(Code::UnknownMethod, NO_SPAWN, reason)
                    .fix("log the agent in on the machine itself"));
            }
            env.insert("CLAUDE_CODE_OAUTH_TOKEN".to_owned(), token.expose().as_str().to_owned());
        }
        Ok(env)
    }

    /// The key under which the supervisor knows this request again: the phone's own, or that of the same request a
    /// moment ago (then also under which fingerprint it is remembered).
    fn request_id(
        &self,
        given: Option<&Id>,
        params: &SpawnParams,
    ) -> Result<(RequestId, Option<[u8; 32]>), Refusal> {
        let of = |kind: &str, bytes: &[u8]| {
            RequestId::try_from(format!("phone-{kind}-{}", keys::hex(bytes)))
                .map_err(|e| Refusal::new(Code::Internal, NO_SPAWN, e.to_string()))
        };
        if let Some(given) = given {
            return Ok((of("key", &Sha256::digest(given.as_bytes()))?, None));
        }
        let text =
            serde_json::to_vec(params).map_err(|e| Refusal::new(Code::Internal, NO_SPAWN, e.to_string()))?;
        let fingerprint: [u8; 32] = Sha256::digest(&text).into();
        let now = Instant::now();
        let mut recent = self.recent();
        forget_old(&mut recent, now);
        if let Some(same) = recent.get(&fingerprint) {
            return Ok((same.request.clone(), Some(fingerprint)));
        }
        let request = of("try", &keys::bytes::<16>()?)?;
        recent.insert(fingerprint, Recent { request: request.clone(), at: now });
        Ok((request, Some(fingerprint)))
    }
}

fn forget_old(recent: &mut HashMap<[u8; 32], Recent>, now: Instant) {
    recent.retain(|_, known| now.duration_since(known.at) < SAME_WITHIN);
    while recent.len() >= REMEMBERED {
        let Some(oldest) = recent.iter().min_by_key(|(_, known)| known.at).map(|(key, _)| *key) else {
            return;
        };
        recent.remove(&oldest);
    }
}

/// Happy's profiles name variables of the machine in their values: `${NAME}` and `${NAME:-instead}`. The name of one that
/// has no value is the error.
fn expand_variables(value: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), value);
    while let Some((before, inside)) = rest.split_once("${") {
        out.push_str(before);
        let Some((expression, after)) = inside.split_once('}') else {
            out.push_str("${");
            rest = inside;
            continue;
        };
        let (name, instead) = match expression.split_once(":-") {
            Some((name, instead)) => (name, Some(instead)),
            None => (expression, None),
        };
        match (lookup(name).filter(|value| !value.is_empty()), instead) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(instead)) => out.push_str(instead),
            (None, None) => return Err(name.chars().take(80).collect()),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn unresolved(name: &str) -> Refusal {
    Refusal::new(Code::BadParams, NO_SPAWN, format!("the machine's environment has no {name:?}"))
        .fix("set it for the daemon, or write the value itself")
}

fn text(path: &std::path::Path) -> Result<&str, Refusal> {
    path.to_str().ok_or_else(|| Refusal::new(Code::BadParams, NO_SPAWN, "the directory's path is not UTF-8"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    spawn_blocking(work).await.unwrap_or_else(|e| Err(Refusal::new(Code::Internal, NO_SPAWN, e.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_machine_are_put_in_or_missed_by_name() {
        let lookup = |name: &str| (name == "KEY").then(|| "value".to_owned());
        let of = |text: &str| expand_variables(text, lookup);
        assert_eq!(of("plain $KEY").unwrap(), "plain $KEY");
        assert_eq!(of("a${KEY}b${NONE:-c}${NONE:-}").unwrap(), "avaluebc");
        assert_eq!(of("${NONE}"), Err("NONE".to_owned()));
        assert_eq!(of("${unclosed").unwrap(), "${unclosed");
        // What was put in is not looked at again.
        assert_eq!(expand_variables("${A}", |_| Some("${A}".to_owned())).unwrap(), "${A}");
    }

    #[test]
    fn what_is_remembered_is_bounded_in_time_and_number() {
        let mut recent = HashMap::new();
        let start = Instant::now();
        let known = |at| Recent { request: RequestId::try_from("x".to_owned()).unwrap(), at };
        for n in 0..=255_u8 {
            recent.insert([n; 32], known(start + Duration::from_millis(n.into())));
        }
        forget_old(&mut recent, start + Duration::from_secs(1));
        assert!(recent.len() < REMEMBERED && !recent.contains_key(&[0; 32]));
        forget_old(&mut recent, start + SAME_WITHIN + Duration::from_secs(1));
        assert!(recent.is_empty());
    }
}
