//! The phone's state, owned by the dispatcher, and what it does with what it hears.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use delight_proto::sync::bounded::Id;
use delight_proto::sync::ephemeral::Ephemeral;
use delight_proto::sync::socket::ServerEvent;
use delight_proto::sync::update::UpdateBody;
use tokio::sync::{broadcast, mpsc};
use tokio::time::sleep;

use crate::account::Account;
use crate::control::Presence;
pub(crate) use crate::dispatcher::Effects;
use crate::error::{Error, Kind};
use crate::event::PhoneEvent;
use crate::fresh;
use crate::http::Http;
use crate::lanes::Lanes;
use crate::link::Heard;
use crate::machines::MachineEntry;
use crate::sessions::SessionEntry;

/// Before attempt *n* to connect: any time up to this, doubled *n* times.
const BACKOFF: Duration = Duration::from_millis(250);
/// Shorter than a daemon's: somebody looks at a phone.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Before a list that changed and could not be fetched is asked for again.
const LIST_AGAIN: Duration = Duration::from_secs(1);
/// A connection that lived for so long clears the count of failures.
const STABLE: Duration = Duration::from_secs(10);
/// How often a silent connection is asked for a sign of life, and for how long it may be silent then.
const WATCH: Duration = Duration::from_secs(25);
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// A list the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    Machines,
    Sessions,
}

type Waiter = Box<dyn FnOnce(&mut State, Result<(), Error>) + Send>;

/// One list being fetched, for everybody who wants it at once. Waiters are bounded by the mailbox they come from.
#[derive(Default)]
pub(crate) struct Refresh {
    running: bool,
    /// Something changed since the running fetch began.
    again: bool,
    /// For the running fetch.
    served: Vec<Waiter>,
    /// For the next: they asked after it began, and what they asked about may be newer.
    waiting: Vec<Waiter>,
}

/// See the module.
pub(crate) struct State {
    pub(crate) account: Account,
    pub(crate) http: Arc<Http>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) effects: Effects,
    pub(crate) machines: BTreeMap<Id, MachineEntry>,
    pub(crate) sessions: BTreeMap<Id, SessionEntry>,
    /// Calls under way.
    pub(crate) in_flight: usize,
    /// Beginning of this phone's own message ids.
    pub(crate) prefix: String,
    /// Messages sent so far.
    pub(crate) sent: u64,
    events: broadcast::Sender<PhoneEvent>,
    heard: mpsc::Sender<Heard>,
    connected: bool,
    listings: [Refresh; 2],
}

/// What a state is made of.
pub(crate) struct Parts {
    pub(crate) account: Account,
    pub(crate) http: Arc<Http>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) events: broadcast::Sender<PhoneEvent>,
    pub(crate) prefix: String,
}

impl State {
    pub(crate) fn new(parts: Parts, effects: Effects, heard: mpsc::Sender<Heard>) -> Self {
        let Parts { account, http, lanes, events, prefix } = parts;
        Self {
            account,
            http,
            lanes,
            effects,
            machines: BTreeMap::new(),
            sessions: BTreeMap::new(),
            in_flight: 0,
            prefix,
            sent: 0,
            events,
            heard,
            connected: false,
            listings: Default::default(),
        }
    }

    /// Starts what runs as long as the phone does.
    pub(crate) fn begin(&self) {
        let listening =
            listen(Arc::clone(&self.lanes), Arc::clone(&self.http), self.heard.clone(), self.effects.clone());
        self.effects.run(listening, |_, ()| {});
    }

    pub(crate) fn tick(&self) {
        self.lanes.sweep();
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Tells everybody who listens; nobody may.
    pub(crate) fn tell(&self, event: PhoneEvent) {
        drop(self.events.send(event));
    }

    fn connected(&mut self) {
        self.connected = true;
        self.tell(PhoneEvent::Connected);
        // There is no replay: everything may have changed.
        self.refresh_again(Listing::Machines);
        self.refresh_again(Listing::Sessions);
        for session in self.sessions.keys().cloned().collect::<Vec<_>>() {
            self.catch_up(&session);
            self.write(&session);
        }
    }

    fn disconnected(&mut self, why: Error) {
        self.connected = false;
        self.lose_machines();
        self.lose_sessions();
        self.tell(PhoneEvent::Disconnected(why));
    }

    /// Fetches a list and then does something, with what came of it.
    pub(crate) fn refresh(
        &mut self,
        listing: Listing,
        then: impl FnOnce(&mut Self, Result<(), Error>) + Send + 'static,
    ) {
        let refresh = &mut self.listings[listing as usize];
        refresh.waiting.push(Box::new(then));
        self.fetch(listing);
    }

    /// Fetches a list because something in it changed.
    pub(crate) fn refresh_again(&mut self, listing: Listing) {
        self.listings[listing as usize].again = true;
        self.fetch(listing);
    }

    fn fetch(&mut self, listing: Listing) {
        let refresh = &mut self.listings[listing as usize];
        if refresh.running {
            return;
        }
        refresh.running = true;
        refresh.again = false;
        refresh.served = std::mem::take(&mut refresh.waiting);
        match listing {
            Listing::Machines => self.fetch_machines(),
            Listing::Sessions => self.fetch_sessions(),
        }
    }

    /// A list came, or did not.
    pub(crate) fn listed(&mut self, listing: Listing, answer: &Result<(), Error>) {
        let refresh = &mut self.listings[listing as usize];
        refresh.running = false;
        let again = (refresh.again && answer.is_ok()) || !refresh.waiting.is_empty();
        for waiter in std::mem::take(&mut refresh.served) {
            waiter(self, answer.clone());
        }
        if again {
            self.fetch(listing);
        } else if answer.as_ref().is_err_and(|error| error.retry) && self.connected {
            // Nobody asked for it, so nobody else will ask again.
            self.effects.run(sleep(LIST_AGAIN), move |state, ()| {
                if state.connected {
                    state.refresh_again(listing);
                }
            });
        }
    }

    /// Something the server said.
    pub(crate) fn hear(&mut self, heard: &Heard) {
        match ServerEvent::read(&heard.name, &heard.args) {
            Ok(event) => {
                if let Some(message) = event.new_message() {
                    return self.hear_message(message);
                }
                match event {
                    ServerEvent::Update(update) => self.hear_update(update.body),
                    ServerEvent::Ephemeral(event) => self.hear_ephemeral(event),
                    ServerEvent::Unknown { name, .. } => self.skip(&name),
                    // For providers of methods; a phone is none.
                    _ => {}
                }
            }
            Err(refusal) => {
                // What it told of cannot be read, so it is fetched.
                self.skip(&format!("{}: {refusal}", heard.name));
                if heard.name == "update" || heard.name == "message" {
                    self.refresh_again(Listing::Machines);
                    self.refresh_again(Listing::Sessions);
                    for session in self.sessions.keys().cloned().collect::<Vec<_>>() {
                        self.catch_up(&session);
                    }
                }
            }
        }
    }

    fn skip(&self, what: &str) {
        tracing::debug!(%what, "skipped something the server said");
        self.tell(PhoneEvent::Skipped(what.chars().take(200).collect()));
    }

    fn hear_update(&mut self, body: UpdateBody) {
        match body {
            UpdateBody::NewMessage(message) => self.hear_message(&message),
            UpdateBody::NewSession(_) => self.refresh_again(Listing::Sessions),
            UpdateBody::UpdateSession(change) => self.change_session(&change),
            UpdateBody::DeleteSession(gone) => self.forget_session(&gone.sid),
            UpdateBody::NewMachine(_) => self.refresh_again(Listing::Machines),
            UpdateBody::UpdateMachine(change) => self.change_machine(&change),
            UpdateBody::DeleteMachine(gone) => self.forget_machine(&gone.machine_id),
            UpdateBody::Unknown { kind, .. } => self.skip(&format!("an update of kind {kind}")),
        }
    }

    fn hear_ephemeral(&mut self, event: Ephemeral) {
        let presence = |there| if there { Presence::Online } else { Presence::Offline };
        match event {
            Ephemeral::Activity(activity) => self.session_activity(&activity),
            Ephemeral::MachineActivity(activity) => {
                self.machine_presence(&activity.id, presence(activity.active), activity.active_at);
            }
            Ephemeral::MachineStatus(status) => {
                self.machine_presence(&status.machine_id, presence(status.online), status.timestamp);
            }
            Ephemeral::SessionEvent(event) => self.tell(PhoneEvent::Attention(event)),
            // Hints whose substance comes as a state or is not the phone's to keep.
            Ephemeral::Usage(_) | Ephemeral::PermissionRequest(_) => {}
            Ephemeral::Unknown { kind, .. } => self.skip(&format!("an ephemeral event of kind {kind}")),
        }
    }
}

/// Keeps the listening connection: opens it, watches it, and opens it again.
async fn listen(lanes: Arc<Lanes>, http: Arc<Http>, heard: mpsc::Sender<Heard>, effects: Effects) {
    let mut failures = 0_u32;
    loop {
        match lanes.open(Some(heard.clone())).await {
            Ok(link) => {
                let begun = Instant::now();
                lanes.listen_on(Some(Arc::new(link)));
                effects.tell(State::connected);
                let why = lanes.watch(WATCH, SIGN_OF_LIFE).await;
                lanes.listen_on(None);
                if why.kind == Kind::LoginRefused
                    && let Ok(token) = http.token().await
                {
                    http.forget(&token).await;
                }
                if begun.elapsed() >= STABLE {
                    failures = 0;
                }
                effects.tell(move |state| state.disconnected(why));
            }
            Err(why) => effects.tell(move |state| state.disconnected(why)),
        }
        sleep(jitter(failures)).await;
        failures = failures.saturating_add(1);
    }
}

/// Any time up to the bound of this attempt, so that a server that comes back is not met by everybody at once.
fn jitter(failures: u32) -> Duration {
    let bound = BACKOFF.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_BACKOFF);
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    // Without randomness everybody waits the whole time, which is the safe side.
    let part = fresh::bytes::<8>().map_or(nanos, |bytes| {
        u64::try_from((u128::from(u64::from_le_bytes(bytes)) * u128::from(nanos)) >> 64).unwrap_or(nanos)
    });
    Duration::from_nanos(part)
}
