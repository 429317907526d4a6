//! The phone: everything that can be asked, from any thread.

use std::sync::Arc;
use std::time::Duration;

use delight_proto::sync::bounded::Id;
use delight_proto::sync::http::{ArchiveSession, Call, DeleteMachine, DeleteSession, PageOrder};
use delight_proto::sync::rpc::{
    Abort, AgentControl, CommandOutcome, FileRequest, MachineRequest, MachineSessions, NoParams,
    PermissionDecision, ResumeRequest, SessionRequest, SpawnRequest, StopSession, Switch, answer,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::account::{Account, PairingForm};
use crate::calls::{Question, Target, read_answer, read_done};
use crate::control::{ControlInput, Driver};
use crate::dispatcher::{Dispatcher, Reply, Ticket};
use crate::error::{Error, Kind};
use crate::event::{BEHIND, NoEvent, PhoneEvent, Subscription};
use crate::fresh;
use crate::http::Http;
use crate::lanes::Lanes;
use crate::machines::Machine;
use crate::messages::{Page, Sent, Words};
use crate::pairing::{self, Approved};
use crate::server::Server;
use crate::sessions::Session;
use crate::spawn::Spawn;
use crate::state::{Listing, Parts, State};

/// How long a call may take: what servers give one, and a little for the way.
const CALL: Duration = Duration::from_secs(35);

/// One account on one server. Cheap to clone; any number of threads and tasks may ask.
///
/// Every call is answered exactly once, by way of its [`Ticket`]. When the last clone is dropped, or after
/// [`Phone::shutdown`], what is still open is answered with [`Kind::ShuttingDown`].
#[derive(Clone)]
pub struct Phone {
    dispatcher: Arc<Dispatcher>,
    /// Weak, so that subscriptions end with the dispatcher.
    events: broadcast::WeakSender<PhoneEvent>,
    account: Account,
}

impl Phone {
    /// Starts a phone. It connects by itself and for as long as it lives; nothing here waits for the server. A first login
    /// makes the account known to the server.
    ///
    /// # Errors
    /// [`Kind::System`] without threads or randomness, [`Kind::BadInput`] when TLS cannot be set up.
    pub fn connect(server: Server, account: Account) -> Result<Self, Error> {
        let http = Arc::new(Http::new(server.clone(), account.signing())?);
        let lanes = Arc::new(Lanes::new(server, Arc::clone(&http)));
        let (events, _) = broadcast::channel(BEHIND);
        let weak = events.downgrade();
        let prefix = format!("{}-", fresh::token()?);
        let parts = Parts { account: account.clone(), http, lanes, events, prefix };
        let dispatcher = Dispatcher::start(move |effects, heard| State::new(parts, effects, heard))?;
        Ok(Self { dispatcher: Arc::new(dispatcher), events: weak, account })
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Events from now on. A listener that falls behind is told how many it missed; it slows nobody.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let events =
            self.events.upgrade().map_or_else(|| broadcast::channel(1).1, |events| events.subscribe());
        Subscription { events }
    }

    /// Calls `listener` with every event, on a thread of its own, until it returns false or the phone ends. It may call
    /// the phone and wait for answers. What it missed for being slow is told as [`NoEvent::Lagged`].
    ///
    /// # Errors
    /// [`Kind::System`] when there is no thread for it.
    pub fn listen(
        &self,
        mut listener: impl FnMut(Result<PhoneEvent, NoEvent>) -> bool + Send + 'static,
    ) -> Result<(), Error> {
        let mut events = self.subscribe().events;
        let run = move || {
            loop {
                let event = match events.blocking_recv() {
                    Ok(event) => Ok(event),
                    Err(broadcast::error::RecvError::Lagged(missed)) => Err(NoEvent::Lagged(missed)),
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                if !listener(event) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("delight-sdk-listen".into()).spawn(run);
        thread.map(drop).map_err(|error| Error::new(Kind::System, "listening", error.to_string()))
    }

    /// Ends the phone: when this returns, whatever was open is answered. Its connections take their leave within another
    /// second, on threads of their own. Cancel safe: it ends all the same.
    pub async fn shutdown(&self) {
        self.dispatcher.end().await;
    }

    /// Whether it hears from the server now.
    pub fn is_connected(&self) -> Ticket<bool> {
        self.dispatcher.ask(|state, reply| reply.send(Ok(state.is_connected())))
    }

    /// Logs in, if that has not been done: whether the server takes the account.
    pub fn log_in(&self) -> Ticket<()> {
        self.dispatcher.ask(|state, reply: Reply<()>| {
            let http = Arc::clone(&state.http);
            state.effects.run(async move { http.token().await }, |_, token| reply.send(token.map(drop)));
        })
    }

    /// Approves what a scanned link offers: a machine, or another device of the account. See [`pairing::read_link`] for
    /// what to show before. Without a `form` a machine is given as little as it can do with.
    pub fn approve(&self, link: &str, form: Option<PairingForm>) -> Ticket<Approved> {
        let (link, account) = match pairing::read_link(&self.account, link) {
            Ok((link, _)) => (link, self.account.clone()),
            Err(error) => return Ticket::ready(Err(error)),
        };
        self.dispatcher.ask(move |state, reply| {
            let http = Arc::clone(&state.http);
            state.effects.run(pairing::approve(http, account, link, form), |_, done| reply.send(done));
        })
    }

    /// The account's machines, as the server has them now. Servers keep no list of other devices.
    pub fn machines(&self) -> Ticket<Vec<Machine>> {
        self.dispatcher.ask(|state, reply| {
            state.refresh(Listing::Machines, |state, done| reply.send(done.map(|()| state.machine_views())));
        })
    }

    /// The account's sessions, as the server has them now.
    pub fn sessions(&self) -> Ticket<Vec<Session>> {
        self.dispatcher.ask(|state, reply| {
            state.refresh(Listing::Sessions, |state, done| reply.send(done.map(|()| state.session_views())));
        })
    }

    /// One session, as the phone knows it without asking; asked for when it does not.
    pub fn session(&self, id: &str) -> Ticket<Session> {
        self.on(session(id), |state, target, reply| {
            let missing = || Error::new(Kind::NotFound, "a session", "the account has no such session");
            reply.send(state.session_view(target.id()).ok_or_else(missing));
        })
    }

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

    /// Sends words to a session; done when the server has stored them, with the number it gave them. Words of one session are
    /// stored in the order in which they were asked for, each once, however often the connection breaks.
    pub fn send(&self, session_id: &str, words: Words) -> Ticket<Sent> {
        self.on(session(session_id), move |state, target, reply| {
            state.send(&target.id().clone(), words, reply);
        })
    }

    /// Follows a session: its messages come as [`PhoneEvent::Message`], each once and in order, those stored while the phone
    /// was away included, from after this number on (0 is the beginning; none is its end). Answers with that number.
    /// Following again begins anew.
    pub fn follow(&self, session_id: &str, after: Option<u64>) -> Ticket<u64> {
        self.on(session(session_id), move |state, target, reply| {
            let followed = state.follow(&target.id().clone(), after);
            reply.send(followed);
        })
    }

    /// Follows a session no longer.
    pub fn unfollow(&self, session_id: &str) -> Ticket<()> {
        self.on(session(session_id), |state, target, reply| {
            if let Some(entry) = state.sessions.get_mut(target.id()) {
                entry.timeline = None;
            }
            reply.send(Ok(()));
        })
    }

    /// Messages before a number, the nearest ones, oldest first; at most 50. None is from the end.
    pub fn history(&self, session_id: &str, before: Option<u64>, limit: u32) -> Ticket<Page> {
        self.on(session(session_id), move |state, target, reply| {
            // Servers count in signed 64 bits.
            let before = before.unwrap_or(i64::MAX as u64);
            state.history(&target.id().clone(), PageOrder::Before(before), limit, reply);
        })
    }

    /// Messages after a number, oldest first; at most 50.
    pub fn history_after(&self, session_id: &str, after: u64, limit: u32) -> Ticket<Page> {
        self.on(session(session_id), move |state, target, reply| {
            state.history(&target.id().clone(), PageOrder::After(after), limit, reply);
        })
    }

    /// Marks a session as no longer alive, on the server only. For sessions whose machine is gone; else [`Phone::kill`].
    pub fn archive(&self, session_id: &str) -> Ticket<()> {
        self.at_server(session_id, |id| ArchiveSession { id })
    }

    /// Deletes a session and its messages from the server.
    pub fn delete_session(&self, session_id: &str) -> Ticket<()> {
        self.at_server(session_id, |id| DeleteSession { id })
    }

    /// Removes a machine from the account; its sessions stay.
    pub fn delete_machine(&self, machine_id: &str) -> Ticket<()> {
        self.at_server(machine_id, |id| DeleteMachine { id })
    }

    fn at_server<C>(&self, id: &str, call: impl FnOnce(Id) -> C) -> Ticket<()>
    where
        C: Call + Send + Sync + 'static,
        C::Answer: Send,
    {
        let call = match parse(id) {
            Ok(id) => call(id),
            Err(error) => return Ticket::ready(Err(error)),
        };
        self.dispatcher.ask(move |state, reply: Reply<()>| {
            let http = Arc::clone(&state.http);
            let done = async move { http.call(&call).await.map(drop) };
            state.effects.run(done, |_, done| reply.send(done));
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
        self.call(machine(id), method, params, repeatable, read)
    }

    fn session_call<T: Send + 'static>(
        &self,
        id: &str,
        request: &SessionRequest,
        repeatable: bool,
        read: impl FnOnce(&Value) -> Result<T, Error> + Send + 'static,
    ) -> Ticket<T> {
        let (method, params) = (request.method(), request.params());
        self.call(session(id), method, params, repeatable, read)
    }

    fn call<T: Send + 'static>(
        &self,
        target: Result<Target, Error>,
        method: &'static str,
        params: Result<Value, delight_proto::refusal::Refusal>,
        repeatable: bool,
        read: impl FnOnce(&Value) -> Result<T, Error> + Send + 'static,
    ) -> Ticket<T> {
        let params = match params {
            Ok(params) => params,
            Err(refusal) => return Ticket::ready(Err(refusal.into())),
        };
        self.on(target, move |state, target, reply| {
            let question = Question { target, method, params, limit: CALL, repeatable };
            state.ask(question, reply, move |_, answer| answer.and_then(|value| read(&value)));
        })
    }

    /// Does something about a machine or session, after asking the server for it when it is not known yet.
    fn on<T: Send + 'static>(
        &self,
        target: Result<Target, Error>,
        job: impl FnOnce(&mut State, Target, Reply<T>) + Send + 'static,
    ) -> Ticket<T> {
        let target = match target {
            Ok(target) => target,
            Err(error) => return Ticket::ready(Err(error)),
        };
        self.dispatcher.ask(move |state, reply| {
            let (listing, known) = match &target {
                Target::Machine(id) => (Listing::Machines, state.machines.contains_key(id)),
                Target::Session(id) => (Listing::Sessions, state.sessions.contains_key(id)),
            };
            if known {
                return job(state, target, reply);
            }
            state.refresh(listing, move |state, listed| match listed {
                Ok(()) => job(state, target, reply),
                Err(error) => reply.send(Err(error)),
            });
        })
    }
}

impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Phone({:?})", self.account)
    }
}

fn parse(id: &str) -> Result<Id, Error> {
    // A colon would end the id inside a method's full name.
    if id.is_empty() || id.contains(':') {
        return Err(Error::new(Kind::BadInput, "an id", "it is empty, or holds a colon"));
    }
    Id::new(id).map_err(|long| Error::new(Kind::BadInput, "an id", long.to_string()))
}

fn machine(id: &str) -> Result<Target, Error> {
    parse(id).map(Target::Machine)
}

fn session(id: &str) -> Result<Target, Error> {
    parse(id).map(Target::Session)
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
