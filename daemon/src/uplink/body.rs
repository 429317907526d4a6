//! Carrying out what the link's reducer wants, and hearing what comes of it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use delight_core::actor::Effects;
use delight_core::uplink::{Delivery, Effect, Fault, Input, MachineRow, PAGE, SessionRow, Uplink};
use delight_proto::id::SessionId;
use delight_proto::sync::bounded::{Id, Name};
use delight_proto::sync::http::{CreateSession, PageMessages, PageOrder};
use delight_proto::sync::message::Incoming;
use delight_proto::sync::socket::{ClientEvent, MachineAlive, Scope, SessionAlive, SessionEnd};
use delight_transport::socketio::{Events, Handle};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::calls::Calls;
use super::ids::Ids;
use super::server::{Failed, Server};
use super::vault::Vault;
use super::{Status, deliver, emit, inbound, post, silence, sockets};
use crate::actor::{Body, Flow, wall_ms};
use crate::keys::bytes;
use crate::remote::{MACHINE_METHODS, SESSION_METHODS};
use crate::supervisor::Supervision;

/// Inputs that may wait for the link. Whoever fills it waits: requests under way, the feed of sessions (which begins anew
/// when it was too slow), the server's pushes (whose connection stops being read).
pub(super) const MAILBOX: usize = 256;

/// How long calls under way may still take when the link ends.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// What the body hears.
pub(super) enum Mail {
    /// For the reducer.
    Input(Box<Input>),
    /// The machine's connection is open.
    Connected {
        /// Of the effect it answers.
        attempt: u64,
        /// To send with.
        handle: Handle,
        /// What it says.
        events: Events,
        /// The machine as the server has it.
        machine: MachineRow,
    },
}

/// The body of a link.
pub(super) struct LinkBody {
    pub(super) vault: Arc<Vault>,
    pub(super) server: Arc<Server>,
    pub(super) supervision: Supervision,
    pub(super) calls: Calls,
    pub(super) ids: Ids,
    pub(super) status: Status,
    pub(super) mailbox: mpsc::Receiver<Mail>,
    pub(super) to: mpsc::Sender<Mail>,
    /// The machine's connection.
    pub(super) handle: Option<Handle>,
    pub(super) attempt: u64,
    /// Told when the machine's connection ends.
    pub(super) connections_ended: watch::Sender<u64>,
    pub(super) ears: HashMap<SessionId, AbortHandle>,
    /// Everything under way; ends with the link.
    pub(super) tasks: JoinSet<()>,
}

/// Uniform over all of `u64`. Without randomness the longest wait is waited.
pub(super) fn random() -> u64 {
    bytes::<8>().map_or(u64::MAX, u64::from_be_bytes)
}

impl Body for LinkBody {
    type Reducer = Uplink;

    async fn next(&mut self, _state: &Uplink) -> Option<Input> {
        loop {
            match self.mailbox.recv().await? {
                Mail::Input(input) => {
                    if matches!(&*input, Input::Down { attempt, .. } if *attempt == self.attempt) {
                        self.hang_up();
                    }
                    if let Input::Gone { id } = &*input {
                        self.ids.forget(*id);
                    }
                    return Some(*input);
                }
                Mail::Connected { attempt, handle, events, machine } if attempt == self.attempt => {
                    self.handle = Some(handle.clone());
                    self.tasks.spawn(silence::suspect(attempt, handle, self.to.clone()));
                    let (to, calls) = (self.to.clone(), self.calls.clone());
                    self.tasks.spawn(sockets::machine(attempt, events, calls, to));
                    return Some(Input::Up { attempt, machine });
                }
                // It was given up meanwhile; dropping it closes it.
                Mail::Connected { .. } => {}
            }
        }
    }

    async fn carry_out(&mut self, state: &Uplink, effects: Effects<Effect>) -> Flow<Input> {
        let mut flow = Flow::GoOn;
        for effect in effects {
            match effect {
                Effect::Ended => flow = Flow::End,
                Effect::Save { id, stored } => {
                    if let Err(refusal) = self.vault.save(id, *stored).await {
                        tracing::warn!(session = %id, %refusal, "how far the link has got could not be kept");
                    }
                }
                effect => self.do_now(effect),
            }
        }
        self.status.say(state.view());
        while self.tasks.try_join_next().is_some() {}
        flow
    }
}

impl LinkBody {
    fn hang_up(&mut self) {
        if let Some(handle) = self.handle.take() {
            // What waits for an acknowledgement there hears that none comes.
            self.tasks.spawn(async move { drop(handle.close().await) });
        }
        self.connections_ended.send_modify(|ended| *ended += 1);
        for (_, ear) in self.ears.drain() {
            ear.abort();
        }
    }

    /// Closes the machine's connection in order, and everything else at once.
    pub(super) async fn close(mut self) {
        if let Some(handle) = self.handle.take() {
            // Who asked the daemon to end is answered before it does.
            let answered = tokio::time::timeout(LAST_ANSWERS, self.calls.answered()).await;
            if answered.is_err() {
                tracing::info!("some calls of phones were not answered");
            }
            let closed = handle.close().await;
            tracing::debug!(%closed, "the connection to the server is closed");
        }
        self.tasks.abort_all();
        self.ids.clear();
    }

    /// Does something and tells the reducer what came of it.
    fn ask(&mut self, work: impl Future<Output = Input> + Send + 'static) -> AbortHandle {
        let to = self.to.clone();
        self.tasks.spawn(async move {
            let input = work.await;
            // The link has ended when nobody listens.
            let _ = to.send(Mail::Input(Box::new(input))).await;
        })
    }

    /// Does something of the connection there is now: when that ends before, nobody waits for the rest. On a way that is dead
    /// a request ends by its timeout only, and what it is about would wait for that on the next connection, too.
    fn while_connected<T, W: Future<Output = Result<T, Failed>> + Send>(
        &self,
        work: W,
    ) -> impl Future<Output = W::Output> + Send + use<T, W> {
        let mut ended = self.connections_ended.subscribe();
        async move {
            tokio::select! {
                biased;
                done = work => done,
                _ = ended.changed() => {
                    Err(Failed { fault: Fault::Later, reason: "the connection ended meanwhile".to_owned() })
                }
            }
        }
    }

    fn tell(&self, event: &ClientEvent) {
        if let Some(handle) = &self.handle {
            emit::tell(handle, event);
        }
    }

    fn do_now(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { attempt, login, metadata, daemon_state } => {
                self.attempt = attempt;
                let (server, vault, to) =
                    (Arc::clone(&self.server), Arc::clone(&self.vault), self.to.clone());
                self.tasks.spawn(async move {
                    let mail = match server.connect(&vault, login, &metadata, &daemon_state).await {
                        Ok((handle, events, machine)) => Mail::Connected { attempt, handle, events, machine },
                        Err(Failed { fault, reason }) => {
                            tracing::debug!(reason, "no connection to the server");
                            Mail::Input(Box::new(Input::Down { attempt, fault, reason, random: random() }))
                        }
                    };
                    let _ = to.send(mail).await;
                });
            }
            Effect::Disconnect => self.hang_up(),
            Effect::Probe => self.probe(),
            Effect::OfferMachine => {
                if let Some(handle) = &self.handle {
                    emit::offer(handle, &self.vault.linked.machine, MACHINE_METHODS);
                }
            }
            Effect::Offer { server_id, .. } => {
                if let Some(handle) = &self.handle {
                    emit::offer(handle, &server_id, SESSION_METHODS);
                }
            }
            Effect::MachineAlive => {
                let machine_id = self.vault.linked.machine.clone();
                self.tell(&ClientEvent::MachineAlive(MachineAlive { machine_id, time: wall_ms() }));
            }
            Effect::SessionAlive { server_id, thinking, mode } => {
                let mode = mode.map(Name::cut);
                let alive = SessionAlive { sid: server_id, time: wall_ms(), thinking, mode };
                self.tell(&ClientEvent::SessionAlive(alive));
            }
            Effect::SessionEnd { id, server_id } => {
                let handle = self.handle.clone();
                self.ask(async move {
                    let end = ClientEvent::SessionEnd(SessionEnd { sid: server_id, time: wall_ms() });
                    let heard = match handle {
                        Some(handle) => {
                            emit::tell(&handle, &end);
                            emit::barrier(&handle).await
                        }
                        None => false,
                    };
                    Input::EndTold { id, heard }
                });
            }
            Effect::Update { slot, server_id, expected, value } => {
                let (handle, vault) = (self.handle.clone(), Arc::clone(&self.vault));
                self.ask(async move {
                    let outcome = match handle {
                        Some(handle) => {
                            emit::update(&handle, &vault, slot, server_id, expected, &value).await
                        }
                        None => delight_core::uplink::UpdateOutcome::Failed,
                    };
                    Input::Updated { slot, outcome, random: random() }
                });
            }
            Effect::Known { id, server_id } => self.ids.learn(id, server_id),
            Effect::StopListening { id } => {
                if let Some(ear) = self.ears.remove(&id) {
                    ear.abort();
                }
            }
            Effect::Register { id, metadata, agent_state } => self.register(id, metadata, agent_state),
            Effect::Listen { id, server_id } => self.listen(id, server_id),
            Effect::Fetch { id, server_id, after } => self.fetch(id, server_id, after),
            Effect::Post { id, server_id, after, thinning, notices } => {
                let (server, vault) = (Arc::clone(&self.server), Arc::clone(&self.vault));
                let sent = notices.len();
                let posting = self.while_connected(async move {
                    let keys = vault.session(id).ok_or_else(no_key)?;
                    let what = (server_id, after, thinning);
                    post::post(&server, vault.place().clone(), id, keys, what, notices).await
                });
                self.ask(async move {
                    match posting.await {
                        Ok(post::Sent { through, completed }) => {
                            Input::Posted { id, through, notices: sent, completed }
                        }
                        Err(Failed { fault, reason }) => {
                            tracing::info!(session = %id, reason, "records were not sent");
                            Input::PostFailed { id, fault, random: random() }
                        }
                    }
                });
            }
            Effect::Deliver { id, message } => {
                let supervision = self.supervision.clone();
                self.ask(async move {
                    let delivery = match message.prompt {
                        Some(prompt) => deliver::deliver(&supervision, id, prompt).await,
                        None => Delivery::Taken,
                    };
                    Input::Delivered { id, seq: message.seq, delivery }
                });
            }
            Effect::Save { .. } | Effect::Ended => {}
        }
    }

    fn probe(&mut self) {
        let Some(handle) = self.handle.clone() else { return };
        let (to, attempt) = (self.to.clone(), self.attempt);
        self.tasks.spawn(async move {
            if !emit::barrier(&handle).await {
                silence::given_up(attempt, &to).await;
            }
        });
    }

    fn register(
        &mut self,
        id: SessionId,
        metadata: delight_proto::sync::Object,
        agent_state: delight_proto::sync::Object,
    ) {
        let (server, vault) = (Arc::clone(&self.server), Arc::clone(&self.vault));
        let registered = self.while_connected(async move {
            let keys = vault.session_or_new(id).await?;
            let call = CreateSession {
                tag: Name::cut(id.as_str()),
                metadata: keys.scope.seal_state(&metadata)?,
                agent_state: Some(keys.scope.seal_state(&agent_state)?),
                data_encryption_key: vault.linked.wrapped_session_key(keys.data())?,
            };
            let row = server.call(&call).await?.session;
            Ok::<_, Failed>(SessionRow {
                id: row.id,
                seq: row.seq,
                metadata: keys.scope.open_state(&row.metadata),
                metadata_version: row.metadata_version,
                agent_state: row.agent_state.and_then(|sealed| keys.scope.open_state(&sealed)),
                agent_state_version: row.agent_state_version,
            })
        });
        self.ask(async move {
            match registered.await {
                Ok(row) => Input::Registered { id, row: Box::new(row) },
                Err(Failed { fault, reason }) => {
                    tracing::info!(session = %id, reason, "the session could not be made known to the server");
                    Input::RegisterFailed { id, fault, random: random() }
                }
            }
        });
    }

    fn listen(&mut self, id: SessionId, server_id: Id) {
        let (server, vault, to) = (Arc::clone(&self.server), Arc::clone(&self.vault), self.to.clone());
        let ear = self.ask(async move {
            let Failed { fault, reason } =
                match (server.listen(Scope::Session(server_id)).await, vault.session(id)) {
                    (Ok((handle, events)), Some(keys)) => {
                        let listening = Mail::Input(Box::new(Input::Listening { id }));
                        let _ = to.send(listening).await;
                        let ended = sockets::session(id, keys, events, &to).await;
                        drop(handle);
                        ended
                    }
                    (Err(failed), _) => failed,
                    (_, None) => no_key(),
                };
            tracing::debug!(session = %id, reason, "the session's connection ended");
            Input::Deaf { id, fault, random: random() }
        });
        if let Some(before) = self.ears.insert(id, ear) {
            before.abort();
        }
    }

    fn fetch(&mut self, id: SessionId, server_id: Id, after: u64) {
        let (server, vault) = (Arc::clone(&self.server), Arc::clone(&self.vault));
        let fetched = self.while_connected(async move {
            let call = PageMessages { sid: server_id, order: PageOrder::After(after), limit: PAGE };
            let rows = server.call(&call).await?.messages.into_vec();
            let last = rows.len() < PAGE as usize;
            let keys = vault.session(id).ok_or_else(no_key)?;
            let rows = rows.into_iter().map(Incoming::from).collect();
            Ok::<_, Failed>((inbound::open(id, keys, rows).await?, last))
        });
        self.ask(async move {
            match fetched.await {
                Ok((messages, last)) => Input::Fetched { id, messages, last },
                Err(Failed { fault, reason }) => {
                    tracing::info!(session = %id, reason, "messages could not be fetched");
                    Input::FetchFailed { id, fault, random: random() }
                }
            }
        });
    }
}

fn no_key() -> Failed {
    Failed { fault: Fault::Later, reason: "the session has no key".to_owned() }
}
