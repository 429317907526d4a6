//! The phone: everything that can be asked, from any thread.

use std::sync::Arc;

use delight_proto::sync::bounded::Id;
use delight_proto::sync::http::{ArchiveSession, Call, DeleteMachine, DeleteSession, PageOrder};
use tokio::sync::broadcast;

use crate::account::{Account, PairingForm};
use crate::calls::Target;
use crate::dispatcher::{Dispatcher, Reply, Ticket};
use crate::error::{Error, Kind};
use crate::event::{BEHIND, NoEvent, PhoneEvent, Subscription};
use crate::fresh;
use crate::http::Http;
use crate::lanes::Lanes;
use crate::machines::Machine;
use crate::mail::{Sent, Words};
use crate::messages::Page;
use crate::pairing::{self, Approved};
use crate::server::Server;
use crate::sessions::Session;
use crate::state::{Listing, Parts, State};

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
        let http = Arc::new(Http::new(&server, account.signing())?);
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

    /// Ends the phone: when this returns, whatever was open is answered and its connections are over or about to be.
    /// Cancel safe: it ends all the same.
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

    /// Does something about a machine or session, after asking the server for it when it is not known yet.
    pub(crate) fn on<T: Send + 'static>(
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

pub(crate) fn parse(id: &str) -> Result<Id, Error> {
    // A colon would end the id inside a method's full name.
    if id.is_empty() || id.contains(':') {
        return Err(Error::new(Kind::BadInput, "an id", "it is empty, or holds a colon"));
    }
    Id::new(id).map_err(|long| Error::new(Kind::BadInput, "an id", long.to_string()))
}

pub(crate) fn machine(id: &str) -> Result<Target, Error> {
    parse(id).map(Target::Machine)
}

pub(crate) fn session(id: &str) -> Result<Target, Error> {
    parse(id).map(Target::Session)
}
