//! Virtual time, a link that loses, doubles and reorders, a daemon that crashes, phones that write; all from one seed.

mod check;
mod daemon;
mod disturb;
mod request;

use std::collections::{BTreeMap, BTreeSet};

use delight_core::actor::Reducer;
use delight_core::testing::rng::Rng;
use delight_core::uplink::{Arrived, Effect, Fault, Input, Prompt, Stored, Uplink, Words};
use delight_proto::api::method::UplinkState;
use delight_proto::id::SessionId;
use delight_proto::sync::Object;
use serde_json::Value;

use super::server::{Row, Server};

/// What went on, over all worlds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) cuts: u64,
    pub(crate) half_open: u64,
    pub(crate) restarts: u64,
    pub(crate) crashes: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) conflicts: u64,
    pub(crate) logins: u64,
    pub(crate) refusals: u64,
    pub(crate) messages: u64,
    pub(crate) posts: u64,
    pub(crate) folded: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.cuts, other.cuts),
            (&mut self.half_open, other.half_open),
            (&mut self.restarts, other.restarts),
            (&mut self.crashes, other.crashes),
            (&mut self.lost, other.lost),
            (&mut self.doubled, other.doubled),
            (&mut self.conflicts, other.conflicts),
            (&mut self.logins, other.logins),
            (&mut self.refusals, other.refusals),
            (&mut self.messages, other.messages),
            (&mut self.posts, other.posts),
            (&mut self.folded, other.folded),
        ] {
            *mine += theirs;
        }
    }
}

/// What will happen.
#[derive(Debug, Clone)]
enum Action {
    /// Reaches the server, if the way is open; then the answer travels back.
    Request(Box<Effect>),
    /// Reaches the daemon, if it still waits for it.
    Answer(Box<Input>),
    /// Reaches the daemon when that session's ear is of this number.
    Push(SessionId, u64, Row),
    /// A half-open connection is found out.
    FoundOut(u64),
}

/// A session on the machine.
#[derive(Debug)]
struct Local {
    events: u64,
    live: bool,
    turn: u64,
    /// Messages it has taken, in order: also its memory against doubles.
    taken: Vec<String>,
    refused: BTreeSet<String>,
    /// Number of its ear; 0: closed.
    ear: u64,
}

/// The world.
pub(crate) struct World {
    rng: Rng,
    now: u64,
    /// Daemon's life: answers to an earlier one are lost.
    life: u64,
    uplink: Option<Uplink>,
    queue: BTreeMap<(u64, u64), (u64, Action)>,
    order: u64,
    server: Server,
    server_up: bool,
    token_good: bool,
    /// Number of the open connection; 0: none.
    connection: u64,
    attempt: u64,
    half_open: bool,
    stored: BTreeMap<SessionId, Stored>,
    locals: BTreeMap<SessionId, Local>,
    in_flight: BTreeSet<SessionId>,
    phone_writes: u64,
    /// Pushes may be lost without anybody noticing. Where they are not, no message may wait for the next look.
    loses_pushes: bool,
    calm: bool,
    ears: u64,
    effects: u64,
    pub(crate) counts: Counts,
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::default(),
    }
}

fn session_id(n: u64) -> SessionId {
    let mut bytes = [7; 10];
    bytes[0] = n as u8;
    SessionId::from_random(bytes)
}

/// Messages with this in their id are not taken by their session.
fn is_unwelcome(local_id: &str) -> bool {
    local_id.ends_with('7')
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let loses_pushes = rng.per_mille(500);
        let sessions = 1 + rng.below(3);
        let locals = (0..sessions)
            .map(|n| {
                let local = Local {
                    events: 1,
                    live: true,
                    turn: 0,
                    taken: Vec::new(),
                    refused: BTreeSet::new(),
                    ear: 0,
                };
                (session_id(n), local)
            })
            .collect();
        Self {
            rng,
            now: 0,
            life: 0,
            uplink: None,
            queue: BTreeMap::new(),
            order: 0,
            server: Server::default(),
            server_up: true,
            token_good: true,
            connection: 0,
            attempt: 0,
            half_open: false,
            stored: BTreeMap::new(),
            locals,
            in_flight: BTreeSet::new(),
            phone_writes: 0,
            loses_pushes,
            calm: false,
            ears: 0,
            effects: 0,
            counts: Counts::default(),
        }
    }

    /// Runs the world, then lets it calm down and checks what came of it.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.start_daemon()?;
        let steps = 40 + self.rng.below(160);
        for _ in 0..steps {
            self.disturb()?;
            let until = self.now + self.rng.below(3_000);
            self.advance(until)?;
        }
        self.server_up = true;
        self.token_good = true;
        if !self.loses_pushes {
            self.write_while_it_comes_back()?;
        }
        self.calm = true;
        if self.half_open {
            self.break_connection("found out")?;
        }
        // Refused for good: somebody pairs again, which is a new link.
        if self.uplink.as_ref().is_some_and(|uplink| uplink.view().state == UplinkState::Refused) {
            self.crash()?;
        }
        let began = self.now;
        if !self.loses_pushes {
            // Shorter than from one look to the next.
            self.advance(began + 240_000)?;
            self.check()?;
        }
        self.advance(began + 600_000)?;
        self.check()?;
        let before = self.effects;
        let until = self.now + 60_000;
        self.advance(until)?;
        let idle = self.effects - before;
        // The machine every 20 s, each session every 10 or 45 s.
        let most = 4 + 7 * self.locals.len() as u64;
        if idle > most { Err(format!("{idle} effects in an idle minute")) } else { Ok(()) }
    }

    /// The last messages are written in the moment in which the connection is made anew: neither pushed nor in a page that is
    /// on its way.
    fn write_while_it_comes_back(&mut self) -> Result<(), String> {
        self.break_connection("the last cut")?;
        let until = self.now + 120_000;
        while self.connection == 0 && self.now < until {
            self.advance(self.now + 10)?;
        }
        for id in self.locals.keys().copied().collect::<Vec<_>>() {
            let after = self.rng.below(400);
            self.advance(self.now + after)?;
            self.phone_message(id);
        }
        Ok(())
    }

    fn break_connection(&mut self, why: &str) -> Result<(), String> {
        self.half_open = false;
        if self.connection == 0 {
            return Ok(());
        }
        self.connection = 0;
        for local in self.locals.values_mut() {
            local.ear = 0;
        }
        let (attempt, random) = (self.attempt, self.rng.number());
        self.give(Input::Down { attempt, fault: Fault::Later, reason: why.to_owned(), random })
    }

    fn schedule(&mut self, after: u64, action: Action) {
        self.order += 1;
        self.queue.insert((self.now + after, self.order), (self.life, action));
    }

    fn advance(&mut self, until: u64) -> Result<(), String> {
        let mut steps = 0_u64;
        loop {
            steps += 1;
            if steps > 200_000 {
                return Err("it spins".to_owned());
            }
            let next = self.queue.keys().next().map(|(at, _)| *at);
            let tick = self.uplink.as_ref().and_then(Reducer::deadline).map(|deadline| deadline.at);
            let Some(at) = [next, tick].into_iter().flatten().min().filter(|at| *at <= until) else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(at);
            if next == Some(at) {
                let Some((_, (life, action))) = self.queue.pop_first() else { continue };
                self.act(life, action)?;
            } else {
                self.give(Uplink::tick())?;
            }
        }
    }

    fn act(&mut self, life: u64, action: Action) -> Result<(), String> {
        match action {
            Action::Answer(input) if life == self.life => {
                if let Input::Posted { id, .. } | Input::PostFailed { id, .. } = &*input {
                    self.in_flight.remove(id);
                }
                if let Input::Up { attempt, .. } = &*input {
                    if *attempt != self.attempt {
                        return Ok(());
                    }
                    self.connection += 1;
                    self.order += 1;
                    self.connection = self.order;
                }
                if let Input::Listening { id } = &*input {
                    if self.connection == 0 {
                        return self.give(Input::Deaf { id: *id, fault: Fault::Later, random: 0 });
                    }
                    self.ears += 1;
                    self.locals.get_mut(id).unwrap().ear = self.ears;
                }
                self.give(*input)
            }
            Action::Answer(_) => Ok(()),
            Action::Push(id, ear, row) => {
                if life != self.life || self.locals[&id].ear != ear {
                    return Ok(());
                }
                self.give(Input::Pushed { id, message: Box::new(arrived(&row)) })
            }
            Action::FoundOut(connection) if connection == self.connection && self.half_open => {
                self.break_connection("no ping")
            }
            Action::FoundOut(_) => Ok(()),
            Action::Request(effect) => {
                let answer = self.request(*effect);
                let Some((mut input, failed)) = answer else { return Ok(()) };
                let mut after = if self.calm { 1 } else { self.rng.below(400) };
                if !self.calm && self.rng.per_mille(60) {
                    // It was done, and nobody hears of it.
                    self.counts.lost += 1;
                    input = failed;
                    after = 5_000;
                }
                if life == self.life {
                    self.schedule(after, Action::Answer(Box::new(input)));
                }
                Ok(())
            }
        }
    }
}

fn arrived(row: &Row) -> Arrived {
    let prompt = row.from_phone.then(|| Prompt {
        local_id: row.local_id.parse().unwrap(),
        text: Words("words".to_owned()),
        mode: Default::default(),
    });
    Arrived { seq: row.seq, prompt }
}
