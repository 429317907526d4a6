//! The fake kernel: holders that outlive daemons, runners and what they leave behind, pids that come round again.

use std::collections::{BTreeMap, VecDeque};

use delight_proto::agent::{AgentOrder, Control};
use delight_proto::id::{ConversationId, ProcessIdentity, SessionId};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::HolderIdentity;

use super::agent::{Line, Taken};
use super::disk::Disk;
use super::process::Process;
use super::rng::Rng;
use crate::session::{Ended, Found, Happening, Runner};

/// Pids come round after so many: reuse is the rule here, not the exception.
const PIDS: u32 = 40;

/// What a daemon sends a holder.
#[derive(Debug, Clone)]
pub(super) enum ToHolder {
    Start {
        generation: u64,
        keep: bool,
        control: Option<Control>,
    },
    Signal(i32),
    Close,
    /// Input for the runner.
    Write(u64),
    Resize(u64),
    Tell(u64, Box<AgentOrder>),
}

#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) identity: HolderIdentity,
    /// Until it is up: when, and whether it will be.
    pub(super) launching: Option<(u64, bool)>,
    /// Until when it answers nobody.
    pub(super) hung_until: u64,
    pub(super) inbox: VecDeque<ToHolder>,
    /// Whether the present daemon is connected.
    pub(super) connected: bool,
    pub(super) runner: Option<Process>,
    pub(super) survivors: u32,
    pub(super) survivors_end: Option<u64>,
    pub(super) survivors_stubborn: bool,
    pub(super) last: Option<Ended>,
    pub(super) started: bool,
    pub(super) keep: bool,
    pub(super) leaves_at: Option<u64>,
}

impl Holder {
    pub(super) fn tree_is_alive(&self) -> bool {
        self.runner.is_some() || self.survivors > 0
    }
}

/// The machine under the daemon.
#[derive(Debug, Clone, Default)]
pub(super) struct Kernel {
    pub(super) boot: u32,
    next_pid: u32,
    ticks: u64,
    /// By session: the lock allows one each.
    pub(super) holders: BTreeMap<SessionId, Holder>,
    /// The boot in which each session's newest holder was started.
    boots: BTreeMap<SessionId, u32>,
    /// What the journals' last `Exited` marks say.
    pub(super) journals: BTreeMap<SessionId, Ended>,
    /// What holders have sent the present daemon and it has not read, in order.
    pub(super) links: BTreeMap<SessionId, VecDeque<Happening>>,
    /// What readers of agents' output have sent the present daemon and it has not read.
    pub(super) heard: BTreeMap<SessionId, VecDeque<Happening>>,
    /// What agents wrote: it stays in journals and transcripts.
    pub(super) lines: BTreeMap<SessionId, Vec<Line>>,
    /// The conversations agents are in.
    pub(super) talks: BTreeMap<SessionId, ConversationId>,
    /// Names given to what agents do.
    pub(super) names: u64,
    /// What a reducer did that no holder and no agent may ever see.
    pub(super) broken: Option<String>,
    /// Whether runners seldom end by themselves.
    pub(super) steady: bool,
    /// Whether nothing odd happens by itself any more.
    pub(super) calm: bool,
}

impl Kernel {
    /// One on which nothing runs; `steady`: whose runners seldom end by themselves.
    pub(super) fn new(steady: bool) -> Self {
        Self { steady, ..Self::default() }
    }

    pub(super) fn pid(&mut self) -> u32 {
        self.next_pid = self.next_pid % PIDS + 1;
        self.ticks += 1;
        self.next_pid
    }

    pub(super) fn tell(&mut self, id: SessionId, what: Happening) {
        if self.holders.get(&id).is_some_and(|holder| holder.connected) {
            self.links.entry(id).or_default().push_back(what);
        }
    }

    /// A holder that was started ahead and is up, for a session that is about to be made.
    pub(super) fn spare(&mut self, id: SessionId, rng: &mut Rng) -> Result<HolderIdentity, String> {
        self.launch(id, 0, rng)?;
        let holder = self.holders.get_mut(&id).ok_or("it was launched just now")?;
        holder.launching = None;
        Ok(holder.identity.clone())
    }

    /// Starts a holder. A second one for a session is what must never be asked for.
    pub(super) fn launch(&mut self, id: SessionId, now: u64, rng: &mut Rng) -> Result<(), String> {
        if self.holders.contains_key(&id) {
            return Err(format!("{id}: a second holder was launched beside a living one"));
        }
        let pid = self.pid();
        let delay = match rng.below(20) {
            0 if !self.calm => 20_000,
            1..=4 => rng.below(3_000),
            _ => rng.below(20),
        };
        let comes_up = self.calm || !rng.per_mille(100);
        let process = ProcessIdentity { pid, start_time: self.ticks, boot_id: self.boot.to_string() };
        let holder = Holder {
            identity: HolderIdentity { socket: format!("/h/{id}"), process },
            launching: Some((now + delay, comes_up)),
            hung_until: 0,
            inbox: VecDeque::new(),
            connected: true,
            runner: None,
            survivors: 0,
            survivors_end: None,
            survivors_stubborn: false,
            last: None,
            started: false,
            keep: false,
            leaves_at: None,
        };
        self.holders.insert(id, holder);
        self.boots.insert(id, self.boot);
        Ok(())
    }

    /// What the daemon sends to the session's holder; lost when there is none or it is not connected.
    pub(super) fn send(&mut self, id: SessionId, what: ToHolder) {
        if let Some(holder) = self.holders.get_mut(&id)
            && holder.connected
        {
            holder.inbox.push_back(what);
        }
    }

    /// The answer to looking for a session's holder.
    pub(super) fn adopt(&mut self, id: SessionId, now: u64, taken: &Taken) {
        let journal_end = self.journal_end(id);
        let answer = match self.holders.get_mut(&id) {
            None => self.gone(id, "no holder was found"),
            Some(holder) if holder.hung_until > now => {
                Happening::HolderUnreachable { reason: "it does not answer".into() }
            }
            // Nothing was started in it and whoever launched it is dead: it ends.
            Some(holder) if !holder.started => {
                self.holders.remove(&id);
                self.gone(id, "it had started nothing")
            }
            Some(holder) => {
                holder.connected = true;
                let runner = holder.runner.as_ref().map(|r| Runner { generation: r.generation, pid: r.pid });
                // As the real one says it: the survivors of the time of the exit.
                let ended = holder.last;
                Happening::Adopted(Box::new(Found {
                    identity: holder.identity.clone(),
                    ended: if runner.is_some() { None } else { ended },
                    runner,
                    offset: journal_end,
                    troubles: Vec::new(),
                }))
            }
        };
        let unread = self.reads_again(id, taken);
        self.heard.remove(&id);
        match &answer {
            Happening::Adopted(found) if found.runner.is_some() => {
                self.heard.entry(id).or_default().extend(unread);
                self.links.entry(id).or_default().push_back(answer);
            }
            Happening::HolderUnreachable { .. } => self.links.entry(id).or_default().push_back(answer),
            _ => {
                let link = self.links.entry(id).or_default();
                link.extend(unread);
                link.push_back(answer);
            }
        }
    }

    fn gone(&self, id: SessionId, reason: &str) -> Happening {
        let ended = self.journals.get(&id).copied();
        Happening::HolderGone {
            ended,
            reason: reason.into(),
            same_boot: self.boots.get(&id).is_none_or(|boot| *boot == self.boot),
        }
    }

    /// The holder ends, and with it whatever it holds.
    pub(super) fn end_holder(&mut self, id: SessionId, reason: &str) {
        if let Some(holder) = self.holders.remove(&id)
            && holder.connected
        {
            let gone = self.gone(id, reason);
            self.heard_first(id);
            self.links.entry(id).or_default().push_back(gone);
        }
    }

    /// The connection to a holder breaks; the daemon hears of it.
    pub(super) fn disconnect(&mut self, id: SessionId) {
        if let Some(holder) = self.holders.get_mut(&id)
            && holder.connected
            && holder.launching.is_none()
            && holder.started
        {
            holder.connected = false;
            holder.inbox.clear();
            self.heard.remove(&id);
            let link = self.links.entry(id).or_default();
            link.clear();
            link.push_back(Happening::HolderUnreachable { reason: "the connection broke".into() });
        }
    }

    /// The daemon died: what it had sent may or may not have arrived.
    pub(super) fn daemon_died(&mut self, rng: &mut Rng) {
        self.links.clear();
        self.heard.clear();
        for holder in self.holders.values_mut() {
            holder.connected = false;
            let kept = rng.below(holder.inbox.len() as u64 + 1) as usize;
            holder.inbox.truncate(kept);
        }
    }

    /// The power goes: nothing lives, and of what holders had written the newest may be lost.
    pub(super) fn power_cut(&mut self, disk: &Disk, rng: &mut Rng) {
        self.holders.clear();
        self.links.clear();
        self.tear(disk, rng);
        self.boot += 1;
    }

    /// Something that is due in or for this holder is done; whether there was anything.
    pub(super) fn advance(&mut self, id: SessionId, now: u64, rng: &mut Rng) -> bool {
        let Some(holder) = self.holders.get_mut(&id) else { return false };
        if let Some((at, comes_up)) = holder.launching {
            let given_up = matches!(holder.inbox.front(), Some(ToHolder::Close)) || !holder.connected;
            if given_up {
                self.end_holder(id, "its launch was given up");
            } else if at > now {
                return false;
            } else if comes_up {
                holder.launching = None;
                let identity = holder.identity.clone();
                self.tell(id, Happening::HolderUp { identity });
            } else {
                let refusal = Refusal::new(Code::StartFailed, "no holder", "by the luck of the seed");
                self.tell(id, Happening::HolderFailed { refusal });
                self.holders.remove(&id);
            }
            return true;
        }
        if !holder.connected && !holder.started && holder.inbox.is_empty() {
            self.holders.remove(&id);
            return true;
        }
        if holder.hung_until > now {
            return false;
        }
        if rng.per_mille(500) && self.speaks(id, now, rng) {
            return true;
        }
        self.processes_end(id, now)
            || self.reads(id, now, rng)
            || self.leaves(id, now)
            || self.speaks(id, now, rng)
    }

    pub(super) fn idle_since(&mut self, id: SessionId, now: u64) {
        if let Some(holder) = self.holders.get_mut(&id)
            && !holder.tree_is_alive()
            && !holder.keep
        {
            holder.leaves_at = Some(now + 3);
        }
    }

    fn leaves(&mut self, id: SessionId, now: u64) -> bool {
        let due = self
            .holders
            .get(&id)
            .is_some_and(|h| !h.tree_is_alive() && h.leaves_at.is_some_and(|at| at <= now));
        if due {
            self.end_holder(id, "its session ended");
        }
        due
    }

    fn reads(&mut self, id: SessionId, now: u64, rng: &mut Rng) -> bool {
        let Some(holder) = self.holders.get_mut(&id) else { return false };
        let Some(command) = holder.inbox.pop_front() else { return false };
        match command.clone() {
            ToHolder::Start { generation, keep, control } => {
                self.start(id, generation, keep, now, rng);
                self.wakes(id, control, now, rng);
            }
            ToHolder::Signal(signal) => self.signal(id, signal, now, rng),
            ToHolder::Close if !holder.tree_is_alive() => self.end_holder(id, "it was closed"),
            ToHolder::Close => {}
            ToHolder::Tell(tag, order) => self.obeys(id, tag, *order, now, rng),
            ToHolder::Write(tag) | ToHolder::Resize(tag) => {
                let up = holder.runner.is_some();
                let remote = holder.runner.as_ref().is_some_and(|r| r.mind.control == Some(Control::Remote));
                if remote && matches!(command, ToHolder::Write(_)) {
                    self.broken = Some(format!("{id}: raw input for an agent that the phone drives"));
                }
                let refusal = Refusal::new(Code::WrongState, "not written", "no runner");
                let answer =
                    if up { Happening::TagDone { tag } } else { Happening::TagFailed { tag, refusal } };
                self.tell(id, answer);
            }
        }
        true
    }

    /// When something in the kernel is due next, later than `now`.
    pub(super) fn next_at(&self, now: u64) -> Option<u64> {
        let of = |h: &Holder| {
            [
                h.launching.map(|(at, _)| at),
                (h.hung_until > 0).then_some(h.hung_until),
                h.runner.as_ref().and_then(|r| r.ends_at).map(|(at, _)| at),
                h.runner.as_ref().and_then(|r| r.mind.next_at()),
                h.survivors_end.filter(|_| h.survivors > 0),
                h.leaves_at,
            ]
        };
        self.holders.values().flat_map(of).flatten().filter(|at| *at > now).min()
    }

    /// From here on nothing odd happens by itself.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        for holder in self.holders.values_mut() {
            holder.hung_until = 0;
        }
    }
}
