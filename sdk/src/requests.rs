//! What machines and sessions can be asked by name: starting, stopping, control, permissions, files.

use std::time::Duration;

use delight_proto::sync::rpc::{
    Abort, AgentControl, ApiAnswer, ApiRequest, CommandOutcome, FileRequest, MachineRequest, MachineSessions,
    NoParams, PermissionDecision, ResumeRequest, SessionRequest, SpawnRequest, StopSession, Switch, answer,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::calls::{Question, Target, read_answer, read_done};
use crate::control::{ControlInput, Driver};
use crate::dispatcher::Ticket;
use crate::error::Error;
use crate::phone::{Phone, machine, parse, session};
use crate::spawn::Spawn;
use crate::state::State;

/// How long a call may take: what servers give one, and a little for the way.
const CALL: Duration = Duration::from_secs(35);

impl Phone {
    /// Starts a session. A request without a key is given one; use [`Spawn::NeedsApproval`]'s request to go on after asking
    /// for the directory. Asked again by itself when the connection breaks: the key makes that one session.
    pub fn spawn(&self, machine_id: &str, request: SpawnRequest) -> Ticket<Spawn> {
        self.on(machine(machine_id), move |state, target, reply| {
            state.spawn(target.id().clone(), request, reply);
        })
    }

    /// Starts an ended session again.
    pub fn resume(&self, machine_id: &str, request: ResumeRequest) -> Ticket<Spawn> {
        self.on(machine(machine_id), move |state, target, reply| {
            state.resume(target.id().clone(), request, reply);
        })
    }

    /// Stops a session of a machine, by the server's id or the machine's own; done when nothing of it is alive.
    pub fn stop(&self, machine_id: &str, session_id: &str) -> Ticket<String> {
        let request = match parse(session_id) {
            Ok(session_id) => MachineRequest::StopSession(StopSession { session_id }),
            Err(error) => return Ticket::ready(Err(error)),
        };
        self.machine_call(machine_id, &request, true, words)
    }

    /// Stops a machine's daemon; its sessions go on.
    pub fn stop_daemon(&self, machine_id: &str) -> Ticket<String> {
        self.machine_call(machine_id, &MachineRequest::StopDaemon(NoParams {}), false, words)
    }

    /// Whether a machine's daemon answers.
    pub fn ping(&self, machine_id: &str) -> Ticket<()> {
        self.machine_call(machine_id, &MachineRequest::Ping(NoParams {}), true, |value| {
            read_done("ping", value)
        })
    }

    /// A machine's sessions as it knows them itself.
    pub fn machine_sessions(&self, machine_id: &str) -> Ticket<MachineSessions> {
        self.machine_call(machine_id, &MachineRequest::ListSessions(NoParams {}), true, |value| {
            read_answer("a machine's sessions", value)
        })
    }

    /// One request of the machine's control API: what `delightctl` asks at the machine itself, with the same methods and
    /// shapes ([`delight_proto::api::method`]). `repeatable` says that the machine knows a repetition again, or that it does
    /// no harm: then it is asked again by itself when the connection breaks. Not repeated after `limit`.
    pub fn api(
        &self,
        machine_id: &str,
        request: ApiRequest,
        repeatable: bool,
        limit: Duration,
    ) -> Ticket<ApiAnswer> {
        let request = MachineRequest::Api(request);
        let (method, params) = (request.method(), request.params());
        let read = |value: &Value| read_answer("the control API", value);
        self.call(machine(machine_id), Ask { method, params, limit, repeatable }, read)
    }

    /// One of the file and shell methods of a machine. See [`Phone::session_files`].
    pub fn machine_files<T: DeserializeOwned + Send + 'static>(
        &self,
        machine_id: &str,
        request: FileRequest,
    ) -> Ticket<T> {
        let repeatable = only_reads(&request);
        let read = reader(&request);
        self.machine_call(machine_id, &MachineRequest::Files(request), repeatable, read)
    }

    /// One of the file and shell methods of a session. `T` is the answer that the request's documentation names. A command
    /// that ran and failed is an answer, [`CommandOutcome`], not an error.
    pub fn session_files<T: DeserializeOwned + Send + 'static>(
        &self,
        session_id: &str,
        request: FileRequest,
    ) -> Ticket<T> {
        let repeatable = only_reads(&request);
        let read = reader(&request);
        self.session_call(session_id, &SessionRequest::Files(request), repeatable, read)
    }

    /// Ends the running turn.
    pub fn abort(&self, session_id: &str) -> Ticket<()> {
        let request = SessionRequest::Abort(Abort::default());
        self.session_call(session_id, &request, false, |value| read_done("abort", value))
    }

    /// Decides about a permission the agent asks for; done when the agent has accepted it. The same decision again is
    /// no error, another one is.
    pub fn decide(&self, session_id: &str, decision: PermissionDecision) -> Ticket<()> {
        let request = SessionRequest::Permission(decision);
        self.session_call(session_id, &request, true, |value| read_done("a decision", value))
    }

    /// Ends a session and archives it.
    pub fn kill(&self, session_id: &str) -> Ticket<String> {
        self.session_call(session_id, &SessionRequest::Kill(NoParams {}), true, words)
    }

    /// Hands control over; true when this one drives then. Until it is answered the session shows as switching.
    pub fn switch(&self, session_id: &str, to: Driver) -> Ticket<bool> {
        self.on(session(session_id), move |state, target, reply| {
            let id = target.id().clone();
            state.control_session(&id, ControlInput::Asked(to));
            let wire = match to {
                Driver::Local => AgentControl::Local,
                Driver::Remote => AgentControl::Remote,
            };
            let request = SessionRequest::Switch(Switch { to: wire });
            let asked = |params| Question { target, method: "switch", params, limit: CALL, repeatable: true };
            let finish = move |state: &mut State, answer: Result<Value, Error>| {
                let done = answer.and_then(|value| read_answer::<bool>("a hand-over", &value));
                let took = matches!(done, Ok(true));
                state.control_session(&id, ControlInput::Answered { to, done: took });
                done
            };
            match request.params() {
                Ok(params) => state.ask(asked(params), reply, finish),
                Err(refusal) => reply.send(finish(state, Err(refusal.into()))),
            }
        })
    }

    fn machine_call<T: Send + 'static>(
        &self,
        id: &str,
        request: &MachineRequest,
        repeatable: bool,
        read: impl FnOnce(&Value) -> Result<T, Error> + Send + 'static,
    ) -> Ticket<T> {
        let (method, params) = (request.method(), request.params());
        self.call(machine(id), Ask { method, params, limit: CALL, repeatable }, read)
    }

    fn session_call<T: Send + 'static>(
        &self,
        id: &str,
        request: &SessionRequest,
        repeatable: bool,
        read: impl FnOnce(&Value) -> Result<T, Error> + Send + 'static,
    ) -> Ticket<T> {
        let (method, params) = (request.method(), request.params());
        self.call(session(id), Ask { method, params, limit: CALL, repeatable }, read)
    }

    fn call<T: Send + 'static>(
        &self,
        target: Result<Target, Error>,
        ask: Ask,
        read: impl FnOnce(&Value) -> Result<T, Error> + Send + 'static,
    ) -> Ticket<T> {
        let Ask { method, params, limit, repeatable } = ask;
        let params = match params {
            Ok(params) => params,
            Err(refusal) => return Ticket::ready(Err(refusal.into())),
        };
        self.on(target, move |state, target, reply| {
            let question = Question { target, method, params, limit, repeatable };
            state.ask(question, reply, move |_, answer| answer.and_then(|value| read(&value)));
        })
    }
}

/// What is asked, of whomever.
struct Ask {
    method: &'static str,
    params: Result<Value, delight_proto::refusal::Refusal>,
    limit: Duration,
    repeatable: bool,
}

fn words(value: &Value) -> Result<String, Error> {
    read_answer::<answer::Message>("what was done", value).map(|done| done.message.to_string())
}

fn only_reads(request: &FileRequest) -> bool {
    matches!(
        request,
        FileRequest::ReadFile(_) | FileRequest::ListDirectory(_) | FileRequest::GetDirectoryTree(_)
    )
}

/// How the answer to a file request is read: a command's own failure is a part of its answer.
fn reader<T: DeserializeOwned>(
    request: &FileRequest,
) -> impl FnOnce(&Value) -> Result<T, Error> + Send + 'static {
    let method = request.method();
    let ran = matches!(request, FileRequest::Bash(_) | FileRequest::Ripgrep(_) | FileRequest::Difftastic(_));
    move |value| {
        let outcome = || delight_proto::sync::read::value::<CommandOutcome>(method, value);
        if ran && value.get("exitCode").is_some() && outcome().is_ok() {
            return delight_proto::sync::read::value(method, value).map_err(Error::of_peer);
        }
        read_answer(method, value)
    }
}
