//! The simulated world: one seed decides the order of everything that is not ordered, and every misfortune.

use std::collections::{BTreeMap, BTreeSet};

use delight_proto::id::SessionId;

use super::clients::kinds;
use super::disk::Disk;
use super::kernel::Kernel;
use super::rng::Rng;
use super::shell::Daemon;
use crate::actor::{Stamp, Ticket};
use crate::supervisor::{Boot, Input, Request};

/// Moves with clients and misfortunes, before the world is left to come to rest.
const WILD_MOVES: u32 = 220;
/// The same where everybody wants control: a change of control takes some fifteen moves.
const SWITCHY_MOVES: u32 = 1_000;
/// Moves after which a world that has not come to rest never will.
const CALM_MOVES: u32 = 60_000;
/// Sessions that may live at once: few enough that the limit is met.
const MAX_LIVE: u32 = 5;
/// Lines of what happened that are shown of a failing run.
const LAST: usize = 120;

/// Whether a rule was broken.
pub(super) type Verdict = Result<(), String>;

/// What was asked, as far as the checks of its answer differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Stop,
    Rename,
    Remove,
    Other,
}

/// What happened in a run: a test that never crashes a daemon proves nothing about crashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers given.
    pub answers: u64,
    /// Of those, refusals.
    pub refusals: u64,
    /// Daemons killed.
    pub crashes: u64,
    /// Power cuts.
    pub reboots: u64,
    /// Holders killed.
    pub holder_deaths: u64,
    /// Connections to holders broken.
    pub disconnects: u64,
    /// Times the disk became full.
    pub full_disks: u64,
    /// Messages agents were told.
    pub prompts: u64,
    /// Decisions agents were told.
    pub decisions: u64,
    /// Changes of control that were begun.
    pub switches: u64,
    /// Of those, that came to their end: who asked for control has it, and a runner that serves him.
    pub handed_over: u64,
    /// Of those, and of runners that ended, changes back.
    pub fall_backs: u64,
    /// Permissions that were withdrawn.
    pub withdrawn: u64,
    /// Moves.
    pub moves: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.refusals += other.refusals;
        self.crashes += other.crashes;
        self.reboots += other.reboots;
        self.holder_deaths += other.holder_deaths;
        self.disconnects += other.disconnects;
        self.full_disks += other.full_disks;
        self.prompts += other.prompts;
        self.decisions += other.decisions;
        self.switches += other.switches;
        self.handed_over += other.handed_over;
        self.fall_backs += other.fall_backs;
        self.withdrawn += other.withdrawn;
        self.moves += other.moves;
    }
}

/// A world.
#[derive(Debug)]
pub struct Sim {
    pub(super) rng: Rng,
    pub(super) now: u64,
    wall: u64,
    pub(super) disk: Disk,
    pub(super) kernel: Kernel,
    pub(super) daemon: Option<Daemon>,
    pub(super) last_ticket: u64,
    /// Whether inputs are recorded, to be folded again at each daemon's end. It takes a third of the time, so one world
    /// in four does it.
    pub(super) recorded: bool,
    /// Whether clients mostly want control.
    pub(super) switchy: bool,
    /// Who is owed an answer by the present daemon.
    pub(super) owed: BTreeMap<Ticket, Question>,
    /// Who has left without one; they may still get it.
    pub(super) left: BTreeSet<Ticket>,
    /// What happened, when somebody wants to read it: writing it costs more than everything else.
    trace: Option<Vec<String>>,
    pub(super) counts: Counts,
}

impl Sim {
    /// A world whose every turn this seed decides; `switchy`: its clients mostly want control.
    fn new(seed: u64, switchy: bool) -> Self {
        Self {
            rng: Rng::new(seed),
            now: 1_000,
            wall: 1_700_000_000_000,
            disk: Disk::default(),
            kernel: Kernel::new(switchy),
            daemon: None,
            last_ticket: 0,
            recorded: seed % 8 < 2,
            switchy,
            owed: BTreeMap::new(),
            left: BTreeSet::new(),
            trace: None,
            counts: Counts::default(),
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// The rule that was broken, and the last of what led to it.
    pub fn run(seed: u64, switchy: bool) -> Result<Counts, String> {
        let mut sim = Self::new(seed, switchy);
        if sim.live().is_ok() {
            return Ok(sim.counts);
        }
        // The same again, written down.
        let mut sim = Self { trace: Some(Vec::new()), ..Self::new(seed, switchy) };
        let why = sim
            .live()
            .err()
            .unwrap_or_else(|| "the second run broke no rule: the simulation is at fault".into());
        let trace = sim.trace.unwrap_or_default();
        Err(format!("{}\n\n{why}", trace[trace.len().saturating_sub(LAST)..].join("\n")))
    }

    /// Writes down what happens, if it is to be written down.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>8} {}", what()));
        }
    }

    fn live(&mut self) -> Verdict {
        for _ in 0..if self.switchy { SWITCHY_MOVES } else { WILD_MOVES } {
            self.misfortune()?;
            if self.daemon.is_none() {
                self.boot();
            }
            if self.rng.per_mille(180) {
                self.client_asks();
            }
            for _ in 0..self.rng.below(6) {
                self.one_move(false)?;
            }
        }
        self.disk.full = false;
        self.kernel.calm_down();
        self.rest(false)?;
        self.registry_matches_kernel()?;
        self.conversations_are_whole()?;
        self.nobody_waits()?;
        self.ask(Request::Shutdown { stop_sessions: true });
        self.rest(true)?;
        if let Some(daemon) = &self.daemon {
            return Err(format!("the daemon does not end: {:?}", daemon.supervisor));
        }
        self.nobody_waits()?;
        match self.kernel.holders.first_key_value() {
            Some((id, holder)) => {
                Err(format!("{id}: left behind by a daemon that ended everything: {holder:?}"))
            }
            None => Ok(()),
        }
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp { mono_ms: self.now, wall_ms: self.wall + self.now }
    }

    fn nobody_waits(&self) -> Verdict {
        match self.owed.first_key_value() {
            Some((ticket, question)) => Err(format!("#{} ({question:?}) was never answered", ticket.0)),
            None => Ok(()),
        }
    }

    fn boot(&mut self) {
        let mut daemon = Daemon::new();
        self.disk.sweep();
        let sessions = self.disk.sessions.keys().filter_map(|id| self.disk.stored(*id)).collect();
        let boot = Boot { sessions, quarantined: Vec::new(), kinds: kinds(), max_live: MAX_LIVE };
        daemon.mailbox.push_back(Input::Boot(Box::new(boot)));
        self.daemon = Some(daemon);
        self.note(|| "a daemon starts".into());
    }

    /// The daemon is gone; whoever it owed an answer sees the connection end.
    fn daemon_dies(&mut self, how: &str) -> Verdict {
        self.note(|| format!("the daemon ends: {how}"));
        if let Some(daemon) = self.daemon.take() {
            daemon.actors.values().try_for_each(|actor| actor.replays())?;
        }
        self.kernel.daemon_died(&mut self.rng);
        Ok(())
    }

    fn misfortune(&mut self) -> Verdict {
        match self.rng.below(1_000) {
            0..=9 => {
                self.counts.crashes += 1;
                self.owed.clear();
                self.daemon_dies("kill -9")?;
            }
            10..=11 => {
                self.counts.reboots += 1;
                self.owed.clear();
                self.daemon_dies("power cut")?;
                self.disk.power_cut(&mut self.rng);
                self.kernel.power_cut(&self.disk, &mut self.rng);
                self.now = self.rng.below(1_000);
                self.wall += 200_000;
            }
            12..=15 => {
                self.counts.full_disks += u64::from(!self.disk.full);
                self.disk.full = true;
            }
            16..=35 => self.disk.full = false,
            36..=41 => {
                if let Some(id) = self.some_holder() {
                    self.counts.holder_deaths += 1;
                    self.note(|| format!("{id:.4} its holder is killed"));
                    self.kernel.end_holder(id, "it was killed");
                }
            }
            42..=47 => {
                if let Some(id) = self.some_holder() {
                    self.counts.disconnects += 1;
                    self.kernel.disconnect(id);
                }
            }
            // The machine was slow, or somebody set the clock.
            48..=57 => self.now += self.rng.below(30_000),
            61..=63 => {
                if let Some(id) = self.some_session() {
                    self.policy_changes(id);
                }
            }
            64..=66 => self.somebody_leaves(),
            58..=60 => {
                self.wall = self.wall.wrapping_add(self.rng.below(4_000_000)).saturating_sub(2_000_000);
            }
            _ => {}
        }
        Ok(())
    }

    fn some_session(&mut self) -> Option<SessionId> {
        let ids: Vec<SessionId> =
            self.daemon.iter().flat_map(|daemon| daemon.actors.keys()).copied().collect();
        if ids.is_empty() { None } else { Some(*self.rng.pick(&ids)) }
    }

    fn some_holder(&mut self) -> Option<SessionId> {
        let ids: Vec<SessionId> = self.kernel.holders.keys().copied().collect();
        if ids.is_empty() { None } else { Some(*self.rng.pick(&ids)) }
    }

    /// One thing that can happen happens; time passes when nothing else can. False: nothing ever will.
    fn one_move(&mut self, rest: bool) -> Result<bool, String> {
        self.counts.moves += 1;
        if let Some(broken) = self.kernel.broken.take() {
            return Err(broken);
        }
        let holders: Vec<SessionId> = self.kernel.holders.keys().copied().collect();
        let start = self.rng.below(holders.len() as u64 + 1) as usize;
        if self.rng.per_mille(400) && self.kernel_moves(&holders, start) {
            return Ok(true);
        }
        let busy = self.daemon.as_ref().map(|daemon| daemon.busy(self.now)).unwrap_or_default();
        if !busy.is_empty() && !self.rng.per_mille(150) {
            match *self.rng.pick(&busy) {
                None => self.supervisor_moves()?,
                Some(id) => self.session_moves(id)?,
            }
            return Ok(true);
        }
        if self.deliver() || self.kernel_moves(&holders, start) {
            return Ok(true);
        }
        if !busy.is_empty() {
            return Ok(true);
        }
        if self.daemon.as_ref().is_some_and(|daemon| daemon.exiting) {
            self.daemon_dies("it was asked to")?;
            // Who waits for a phase of a session that goes on is told by the end of the connection.
            self.owed.clear();
            return Ok(true);
        }
        let deadline = self.daemon.as_ref().and_then(Daemon::deadline);
        let next = [deadline, self.kernel.next_at(self.now)].into_iter().flatten().min();
        let Some(at) = next else { return Ok(false) };
        let late = if rest { 0 } else { self.rng.below(20) };
        self.now = self.now.max(at) + late;
        Ok(true)
    }

    fn kernel_moves(&mut self, holders: &[SessionId], start: usize) -> bool {
        let order = holders.iter().cycle().skip(start).take(holders.len());
        order.copied().any(|id| self.kernel.advance(id, self.now, &mut self.rng))
    }

    /// A frame of some holder reaches the daemon.
    fn deliver(&mut self) -> bool {
        let (links, heard) = (&self.kernel.links, &self.kernel.heard);
        let full = links.iter().map(|l| (l, false)).chain(heard.iter().map(|h| (h, true)));
        let waiting: Vec<(SessionId, bool)> =
            full.filter(|((_, queue), _)| !queue.is_empty()).map(|((id, _), heard)| (*id, heard)).collect();
        if waiting.is_empty() || self.daemon.is_none() {
            return false;
        }
        let (id, heard) = *self.rng.pick(&waiting);
        let queues = if heard { &mut self.kernel.heard } else { &mut self.kernel.links };
        if let Some(happening) = queues.get_mut(&id).and_then(std::collections::VecDeque::pop_front) {
            self.post(id, crate::session::Input::Happened(happening));
        }
        true
    }

    /// Lets everything happen that still will; a daemon that ends although nobody wants it to is started again.
    fn rest(&mut self, ending: bool) -> Verdict {
        for _ in 0..CALM_MOVES {
            if self.daemon.is_none() && !ending {
                self.boot();
            }
            if !self.one_move(true)? {
                return Ok(());
            }
        }
        Err("the world does not come to rest".into())
    }
}
