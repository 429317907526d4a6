//! `fake`: the scripted agent that ships with delight, for trying things out and for tests. It is honest about it.

use std::collections::VecDeque;
use std::path::PathBuf;

use delight_core::session::{Capabilities, Controls};
use delight_proto::agent::{AgentEvent, AgentOrder, Control, Mode};
use delight_proto::holder::Stdio;
use delight_proto::id::{ConversationId, LocalId, PermissionId};
use delight_proto::refusal::{Code, Refusal};
use serde::Deserialize;
use serde_json::json;

use super::codec::{Codec, Understood};
use super::{Adapter, Launch, Machine, RunnerPlan};

/// See the module.
#[derive(Debug)]
pub(super) struct Fake;

impl Adapter for Fake {
    fn kind(&self) -> &str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        // Like real agents: tools it started are not to outlive it, and its holder hosts one generation after another.
        Capabilities::agent(Controls { local: true, remote: true, shared: false })
    }

    fn detect(&self, machine: &Machine) -> Result<PathBuf, Refusal> {
        machine.fake_agent.clone().filter(|path| path.to_str().is_some()).ok_or_else(|| {
            Refusal::new(
                Code::StartFailed,
                "the fake agent cannot be started",
                "delight-fake-agent lies neither beside delightd nor in PATH",
            )
            .fix("install delight-fake-agent, or spawn another kind")
        })
    }

    fn has_efforts(&self) -> bool {
        true
    }

    fn plan(
        &self,
        launch: &Launch<'_>,
        machine: &Machine,
        env: Vec<(String, String)>,
    ) -> Result<RunnerPlan, Refusal> {
        let program = self.detect(machine)?.to_string_lossy().into_owned();
        let remote = launch.control == Some(Control::Remote);
        let mut argv = vec![program, "--conversation".to_owned(), conversation(launch).to_string()];
        argv.extend(remote.then(|| "--remote".to_owned()));
        let Mode { model, permission_mode, effort } = &launch.memory.mode;
        for (flag, value) in
            [("--model", model), ("--permission-mode", permission_mode), ("--effort", effort)]
        {
            argv.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
        }
        // What its owner says comes last.
        argv.extend(launch.spec.command.iter().cloned());
        Ok(RunnerPlan { argv, env, stdio: if remote { Stdio::Pipes } else { Stdio::Pty } })
    }

    fn codec(&self, launch: &Launch<'_>) -> Option<Box<dyn Codec>> {
        (launch.control == Some(Control::Remote)).then(|| {
            Box::new(Words { conversation: conversation(launch), given: VecDeque::new() }) as Box<dyn Codec>
        })
    }
}

/// The conversation it goes on with; the first one has the session's own name.
fn conversation(launch: &Launch<'_>) -> ConversationId {
    launch.memory.conversation.clone().unwrap_or_else(|| launch.id.into())
}

/// Messages and decisions that are remembered as given. The agent itself remembers as many.
const GIVEN: usize = 1_000;

/// The fake agent's protocol: after two lines of greeting it is delight's own language, a JSON document a line.
#[derive(Debug)]
struct Words {
    conversation: ConversationId,
    /// Messages and decisions the agent has, oldest first.
    given: VecDeque<Given>,
}

#[derive(Debug, PartialEq, Eq)]
enum Given {
    Message(LocalId),
    Decision(PermissionId),
}

impl Given {
    fn of(order: &AgentOrder) -> Option<Self> {
        match order {
            AgentOrder::Prompt { message } => Some(Self::Message(message.local_id.clone())),
            AgentOrder::Decide { ask, .. } => Some(Self::Decision(ask.id.clone())),
            AgentOrder::Abort | AgentOrder::SetMode(_) | AgentOrder::End => None,
        }
    }
}

/// What it says of itself first.
#[derive(Deserialize)]
struct Header {
    fake: String,
}

fn document(value: &impl serde::Serialize) -> Vec<u8> {
    // Plain structs: serialising them cannot fail.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

impl Codec for Words {
    fn greeting(&mut self) -> Vec<u8> {
        document(&json!({ "hello": "delight" }))
    }

    fn line(&mut self, line: &[u8]) -> Understood {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Understood::default();
        }
        match serde_json::from_slice::<AgentEvent>(line) {
            Ok(event) => Understood { events: vec![event], reply: Vec::new() },
            Err(_) if serde_json::from_slice::<Header>(line).is_ok_and(|h| !h.fake.is_empty()) => {
                let begin = json!({ "begin": { "conversation": self.conversation } });
                Understood { events: Vec::new(), reply: document(&begin) }
            }
            Err(e) => {
                let what = format!("a line of the fake agent is not understood: {:?}", e.classify());
                let skipped = AgentEvent::Skipped { bytes: line.len() as u64 + 1, what };
                Understood { events: vec![skipped], reply: Vec::new() }
            }
        }
    }

    fn wrote(&mut self, line: &[u8]) {
        if let Some(given) = serde_json::from_slice(line).ok().as_ref().and_then(Given::of)
            && !self.given.contains(&given)
        {
            self.given.push_back(given);
            if self.given.len() > GIVEN {
                self.given.pop_front();
            }
        }
    }

    fn order(&mut self, order: &AgentOrder) -> Result<Vec<u8>, Refusal> {
        let has_it = Given::of(order).is_some_and(|given| self.given.contains(&given));
        Ok(if has_it { Vec::new() } else { document(order) })
    }
}
