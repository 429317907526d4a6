//! Clients that ask anything at any time, often the same thing twice.

use std::collections::BTreeMap;

use delight_proto::agent::{Activity, AgentOptions, Control, Decision, Message, Mode, OnNoAnswer, Scope};
use delight_proto::api::method::SpawnParams;
use delight_proto::id::{SessionId, SessionName};
use delight_proto::policy::{Effect, Policy, Reach, Rule};
use delight_proto::session::{Origin, Phase, PhoneMessages, RestartPolicy, Size};

use super::sim::{Question, Sim};
use crate::actor::Ticket;
use crate::session::{self, Capabilities, Command, Controls, Survivors};
use crate::supervisor::{Input, Request};

/// The kinds there are, and what they can do: every combination that matters.
pub(super) fn kinds() -> BTreeMap<String, Capabilities> {
    let of = |survivors, keep_holder, resume| Capabilities {
        survivors,
        keep_holder,
        resume,
        controls: Controls::default(),
    };
    let driven = |local, remote| Capabilities {
        controls: Controls { local, remote, shared: false },
        ..of(Survivors::End, false, true)
    };
    BTreeMap::from([
        ("pty".to_owned(), of(Survivors::Leave, false, false)),
        ("agent".to_owned(), of(Survivors::End, true, true)),
        ("tool".to_owned(), of(Survivors::End, false, false)),
        ("both".to_owned(), driven(true, true)),
        ("remote".to_owned(), driven(false, true)),
        ("local".to_owned(), driven(true, false)),
        (
            "shared".to_owned(),
            Capabilities {
                controls: Controls { local: true, remote: true, shared: true },
                ..driven(true, true)
            },
        ),
        ("loose".to_owned(), Capabilities { resume: false, ..driven(true, true) }),
    ])
}

impl Sim {
    /// Somebody asks for something.
    pub(super) fn client_asks(&mut self) {
        let request = match self.rng.below(26) {
            _ if self.switchy => self.wants_control(),
            0..=5 => self.spawn(),
            6 => Request::Get { selector: self.selector() },
            7 => Request::List,
            8 => Request::Status,
            9 if self.rng.per_mille(100) => Request::Shutdown { stop_sessions: self.rng.per_mille(500) },
            _ => Request::To { selector: self.selector(), command: self.command() },
        };
        self.ask(request);
    }

    /// Asks, and remembers that an answer is owed.
    pub(super) fn ask(&mut self, request: Request) {
        if self.daemon.is_none() {
            return;
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let question = match &request {
            Request::To { command: Command::Stop { .. }, .. } => Question::Stop,
            Request::To { command: Command::Rename { .. }, .. } => Question::Rename,
            Request::To { command: Command::Remove, .. } => Question::Remove,
            _ => Question::Other,
        };
        self.owed.insert(ticket, question);
        let desktop = self.rng.per_mille(500);
        let phone = Origin::Phone { device: "pocket".into() };
        let origin = if desktop { Origin::Desktop { pid: Some(1) } } else { phone };
        self.note(|| format!("#{} {request:?}", ticket.0));
        if let Some(daemon) = &mut self.daemon {
            daemon.mailbox.push_back(Input::Asked { ticket, origin, request });
        }
    }

    /// What is asked where everybody wants control: of few sessions, mostly that.
    fn wants_control(&mut self) -> Request {
        if self.disk.sessions.len() < 2 || self.rng.per_mille(20) {
            return self.spawn();
        }
        let ids: Vec<SessionId> = self.disk.sessions.keys().copied().collect();
        let selector = self.rng.pick(&ids).to_string();
        let command = match self.rng.below(16) {
            0..=9 => Command::Switch { to: *self.rng.pick(&[Control::Local, Control::Remote]) },
            10 => Command::Stop { kill: self.rng.per_mille(300), grace_ms: None },
            11..=13 => Command::Resume,
            _ => self.agent_command(),
        };
        Request::To { selector, command }
    }

    fn spawn(&mut self) -> Request {
        let mut random = [0u8; 10];
        random[..8].copy_from_slice(&self.rng.number().to_le_bytes());
        let keyed = self.rng.per_mille(300);
        let key = self.rng.below(4);
        let request_id = keyed.then(|| format!("key-{key}").parse().ok()).flatten();
        // A keyed request mostly says the same as the one before it with that key.
        let choice = if keyed && self.rng.per_mille(900) { key } else { self.rng.number() };
        let all = ["pty", "agent", "tool", "both", "both", "both", "remote", "local", "loose"];
        let kind = *self.rng_choice(choice, if self.switchy { &all[3..6] } else { &all });
        let restart = *self.rng_choice(choice >> 8, &[RestartPolicy::Never, RestartPolicy::OnFailure]);
        Request::Spawn {
            fresh_id: SessionId::from_random(random),
            params: Box::new(SpawnParams {
                request_id,
                name: self.name(),
                kind: kind.to_owned(),
                command: vec!["run".into()],
                cwd: "/".into(),
                create_cwd: false,
                env: BTreeMap::new(),
                size: Size::default(),
                restart,
                stop_grace_ms: Some([0, 100, 5_000][(choice >> 16) as usize % 3]),
                retain_bytes: None,
                agent: AgentOptions {
                    control: [None, Some(Control::Local), Some(Control::Remote)][(choice >> 20) as usize % 3],
                    phone_messages: [None, Some(PhoneMessages::Takeover)][(choice >> 24) as usize % 2],
                    ..AgentOptions::default()
                },
            }),
        }
    }

    fn rng_choice<'a, T>(&self, choice: u64, of: &'a [T]) -> &'a T {
        &of[choice as usize % of.len()]
    }

    fn name(&mut self) -> Option<SessionName> {
        if self.rng.per_mille(600) {
            return None;
        }
        format!("name-{}", self.rng.below(4)).parse().ok()
    }

    fn selector(&mut self) -> String {
        let ids: Vec<SessionId> = self.disk.sessions.keys().copied().collect();
        match self.rng.below(8) {
            0 => "@last".to_owned(),
            1 => format!("name-{}", self.rng.below(4)),
            2 => "nothing".to_owned(),
            _ if ids.is_empty() => "@last".to_owned(),
            3 => self.rng.pick(&ids).as_str()[..6].to_owned(),
            _ => self.rng.pick(&ids).to_string(),
        }
    }

    fn command(&mut self) -> Command {
        match self.rng.below(32) {
            16..=31 => self.agent_command(),
            0..=2 => {
                let grace_ms = self.rng.per_mille(300).then(|| self.rng.below(3_000));
                Command::Stop { kill: self.rng.per_mille(300), grace_ms }
            }
            3..=6 => Command::Resume,
            7 | 8 => Command::Rename { name: self.name() },
            9 | 10 => {
                let too_large = self.rng.per_mille(5);
                let length = if too_large { 2_000_000 } else { *self.rng.pick(&[0, 10, 10, 10, 40_000]) };
                Command::Send { bytes: vec![b'x'; length] }
            }
            11 => Command::Resize { size: Size { cols: 100, rows: 30 } },
            12 | 13 => {
                let phase = *self.rng.pick(&[Phase::Running, Phase::Exited, Phase::Stopped, Phase::Failed]);
                let phases = if self.rng.per_mille(500) { Vec::new() } else { vec![phase] };
                let activity = if self.rng.per_mille(300) { vec![Activity::Idle] } else { Vec::new() };
                Command::Wait { phases, activity, timeout_ms: Some(self.rng.below(100_000)) }
            }
            14 => Command::Start,
            _ => Command::Remove,
        }
    }

    fn agent_command(&mut self) -> Command {
        match self.rng.below(16) {
            0..=5 => {
                let old = self.rng.per_mille(300);
                let n = if old { self.rng.below(4) } else { 100 + self.rng.below(1_000_000) };
                let id = format!("message-{n}");
                let empty = self.rng.per_mille(30);
                Command::Prompt {
                    message: Message {
                        local_id: id.parse().unwrap_or_else(|_| unreachable!("{id} is a message id")),
                        text: if empty { " \n".into() } else { "do it".into() },
                        origin: Origin::Daemon,
                    },
                }
            }
            6 => Command::Abort,
            7..=10 => {
                Command::Switch { to: *self.rng.pick(&[Control::Local, Control::Remote, Control::Remote]) }
            }
            11..=13 => {
                let permission = match self.rng.below(4) {
                    0 => Some(format!("ask-{}", self.rng.below(30))),
                    1 => Some("nothing".into()),
                    _ => None,
                };
                let scope = *self.rng.pick(&[Scope::Once, Scope::Session]);
                let allow = self.rng.per_mille(600);
                let decision = Decision { allow, scope, reason: None, answers: None, permission_mode: None };
                Command::Decide { permission, decision }
            }
            14 => Command::SetMode(Mode { model: Some("small".into()), ..Mode::default() }),
            _ => {
                let for_ms = self.rng.per_mille(500).then(|| self.rng.below(20_000));
                Command::Bypass { for_ms }
            }
        }
    }

    /// The owner's policy of a session changes, or is told for the first time.
    pub(super) fn policy_changes(&mut self, id: SessionId) {
        let rule = |effect, tool: &str| Rule {
            id: 1,
            effect,
            reach: Reach::Machine,
            tool: Some(tool.to_owned()),
            command: None,
            path: None,
            expires_ms: None,
        };
        let rules = match self.rng.below(3) {
            0 => Vec::new(),
            1 => vec![rule(Effect::Allow, "read")],
            _ => vec![rule(Effect::Allow, "read"), rule(Effect::Deny, "rm")],
        };
        let on_no_answer = *self.rng.pick(&[OnNoAnswer::Wait, OnNoAnswer::Deny, OnNoAnswer::AllowReadOnly]);
        let policy = Policy { rules, on_no_answer, no_answer_ms: 1_000 + self.rng.below(10_000) };
        self.post(id, session::Input::Happened(session::Happening::Policy(Box::new(policy))));
    }

    /// Somebody who waits for an answer hangs up.
    pub(super) fn somebody_leaves(&mut self) {
        let waiting: Vec<Ticket> = self.owed.keys().copied().collect();
        if waiting.is_empty() || self.daemon.is_none() {
            return;
        }
        let ticket = *self.rng.pick(&waiting);
        self.owed.remove(&ticket);
        self.left.insert(ticket);
        let ids: Vec<SessionId> = self.daemon.iter().flat_map(|d| d.actors.keys()).copied().collect();
        for id in ids {
            self.post(id, session::Input::Abandoned { ticket });
        }
    }
}
