//! How Claude and Codex are started: which conversation, which mode, on which streams.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use delight_proto::agent::{AgentMemory, Control};
use delight_proto::holder::Stdio;
use delight_proto::id::SessionId;
use delight_proto::session::StartSpec;

use super::agents_config::{AgentSettings, AgentsConfig};
use super::{Adapter, Adapters, Environment, Launch, Machine, RunnerPlan, claude, codex, derived_id};

/// A machine on which both are installed.
struct Rig {
    base: tempfile::TempDir,
    machine: Machine,
}

impl Rig {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("project")).unwrap();
        for name in ["claude", "codex"] {
            let path = base.path().join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let machine = Machine {
            environment: Environment::inherit(std::iter::empty()),
            login_shell: None,
            fake_agent: None,
            daemon: PathBuf::from("/d/delightd"),
            private: Vec::new(),
            place: crate::testing::nowhere(),
        };
        Self { base, machine }
    }

    fn plan(
        &self,
        adapter: &dyn Adapter,
        control: Control,
        asked: &serde_json::Value,
        memory: &AgentMemory,
    ) -> Result<RunnerPlan, delight_proto::refusal::Refusal> {
        let cwd = self.base.path().join("project");
        let spec = serde_json::json!({"kind": adapter.kind(), "cwd": cwd, "agent": asked});
        let spec: StartSpec = serde_json::from_value(spec).unwrap();
        let env = [("PATH", self.base.path()), ("HOME", self.base.path())];
        let env = env.map(|(name, path)| (name.to_owned(), path.to_str().unwrap().to_owned()));
        let launch = Launch { id: session(), spec: &spec, control: Some(control), memory };
        adapter.plan(&launch, &self.machine, env.to_vec())
    }

    /// The arguments behind the program.
    fn words(&self, adapter: &dyn Adapter, control: Control, memory: &AgentMemory) -> Vec<String> {
        self.plan(adapter, control, &serde_json::json!({}), memory).unwrap().argv.split_off(1)
    }
}

fn session() -> SessionId {
    SessionId::from_random([7; 10])
}

fn in_conversation(id: &str) -> AgentMemory {
    AgentMemory { conversation: Some(id.parse().unwrap()), ..AgentMemory::default() }
}

#[test]
fn claude_is_given_an_id_first_and_resumed_by_it_once_there_is_a_transcript() {
    let rig = Rig::new();
    let claude = claude::Claude::new(AgentsConfig::default().claude);
    let id = derived_id::conversation(session());
    let words = |memory: &AgentMemory| rig.words(&claude, Control::Remote, memory).split_off(8);
    assert_eq!(words(&AgentMemory::default()), ["--session-id", &id]);
    let project = rig.base.path().join(".claude/projects/p");
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join(format!("{id}.jsonl")), "").unwrap();
    assert_eq!(words(&AgentMemory::default()), ["--resume", &id]);
    // After `/clear` there is another id, and no transcript of it yet.
    assert_eq!(words(&in_conversation("u-2")), ["--session-id", "u-2"]);
    let local = rig.words(&claude, Control::Local, &AgentMemory::default());
    assert_eq!(local[..3], ["--resume", &id, "--settings"], "with a hook that writes down where it goes");
    assert_eq!(local.len(), 4);
}

#[test]
fn settings_the_owner_gives_claude_are_left_alone() {
    let rig = Rig::new();
    for own in ["--settings", "--settings={}"] {
        let command = ["claude", own].map(str::to_owned).to_vec();
        let claude = claude::Claude::new(AgentSettings { command, ..AgentSettings::default() });
        let words = rig.words(&claude, Control::Local, &AgentMemory::default());
        assert_eq!(words.iter().filter(|word| word.starts_with("--settings")).count(), 1, "{words:?}");
    }
}

/// What is remembered of an agent that works like that.
fn works(mode: serde_json::Value) -> AgentMemory {
    AgentMemory { mode: serde_json::from_value(mode).unwrap(), ..AgentMemory::default() }
}

#[test]
fn claude_speaks_its_protocol_on_pipes_when_the_phone_drives() {
    let rig = Rig::new();
    let claude = claude::Claude::new(AgentsConfig::default().claude);
    let memory = works(serde_json::json!({"model": "-opus", "permission_mode": "plan"}));
    let plan = rig.plan(&claude, Control::Remote, &serde_json::json!({}), &memory).unwrap();
    assert_eq!(plan.stdio, Stdio::Pipes);
    let words = plan.argv.join(" ");
    assert!(
        words.contains(" -p --input-format stream-json --output-format stream-json --verbose"),
        "{words}"
    );
    assert!(words.contains("--permission-prompt-tool stdio"), "{words}");
    // As one word: a value that begins with a dash is no flag.
    assert!(words.ends_with("--permission-mode=plan --model=-opus"), "{words}");
    assert!(plan.env.contains(&("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS".into(), "1".into())));
    let local = rig.plan(&claude, Control::Local, &serde_json::json!({}), &memory).unwrap();
    assert_eq!(local.stdio, Stdio::Pty);
    assert!(!local.argv.contains(&"-p".to_owned()));
}

/// [happy 3.5: `effortLevel`]
#[test]
fn an_effort_is_given_to_whoever_drives_and_refused_where_nobody_knows_it() {
    let rig = Rig::new();
    let config = AgentsConfig::default();
    let memory = works(serde_json::json!({"effort": "high"}));
    let claude = claude::Claude::new(config.claude);
    let codex = codex::Codex::new(AgentSettings { share: Some(false), ..AgentSettings::default() });
    for control in [Control::Local, Control::Remote] {
        let plan = rig.plan(&claude, control, &serde_json::json!({}), &memory).unwrap();
        assert!(plan.argv.contains(&"--effort=high".to_owned()), "{plan:?}");
        let plan = rig.plan(&codex, control, &serde_json::json!({}), &memory).unwrap();
        assert_eq!(plan.argv[1], "--config=model_reasoning_effort=high", "before the subcommand: {plan:?}");
    }
    let adapters = Adapters::new(rig.machine, AgentsConfig::default());
    for (kind, effort, why) in [
        ("file-editor", "high", "knows no efforts"),
        ("claude", "high\" -c x", "1 to 32 letters"),
        ("claude", "", "1 to 32 letters"),
    ] {
        let spec: StartSpec = serde_json::from_value(serde_json::json!({"kind": kind, "cwd": "/"})).unwrap();
        let memory = works(serde_json::json!({"effort": effort}));
        let launch = Launch { id: session(), spec: &spec, control: Some(Control::Remote), memory: &memory };
        let refusal = adapters.plan(&launch).unwrap_err();
        assert!(refusal.reason.contains(why) && !refusal.fix.is_empty(), "{refusal:?}");
    }
}

#[test]
fn a_conversation_that_was_asked_for_and_is_not_there_is_refused() {
    let rig = Rig::new();
    let config = AgentsConfig::default();
    let asked = serde_json::json!({"conversation": "01a1fd18-828f-7b32-afb2-c6e05e414e1d"});
    let memory = in_conversation("01a1fd18-828f-7b32-afb2-c6e05e414e1d");
    let both: [Box<dyn Adapter>; 2] =
        [Box::new(claude::Claude::new(config.claude)), Box::new(codex::Codex::new(config.codex))];
    for adapter in both {
        let refusal = rig.plan(&*adapter, Control::Remote, &asked, &memory).unwrap_err();
        assert!(refusal.reason.contains("01a1fd18") && !refusal.fix.is_empty(), "{refusal:?}");
    }
}

#[test]
fn codex_is_shared_whoever_is_to_drive_unless_its_owner_says_no() {
    let rig = Rig::new();
    let codex = codex::Codex::new(AgentsConfig::default().codex);
    let id = session();
    let plan = rig.plan(&codex, Control::Remote, &serde_json::json!({}), &AgentMemory::default()).unwrap();
    let program = rig.base.path().join("codex").to_string_lossy().into_owned();
    let socket = format!("/r/h/{id}.tui");
    assert_eq!(plan.argv, ["/d/delightd", "codex-host", "--socket", &*socket, &*program, "app-server"]);
    assert_eq!(plan.stdio, Stdio::Pipes);
    assert!(codex.capabilities().controls.shared);
    let alone = codex::Codex::new(AgentSettings { share: Some(false), ..AgentSettings::default() });
    assert!(!alone.capabilities().controls.shared);
    assert_eq!(rig.words(&alone, Control::Remote, &AgentMemory::default()), ["app-server"]);
}

#[test]
fn codex_leaves_no_daemon_behind_and_resumes_what_was_written() {
    let rig = Rig::new();
    let codex = codex::Codex::new(AgentsConfig::default().codex);
    let id = "01a1fd18-828f-7b32-afb2-c6e05e414e1d";
    assert_eq!(rig.words(&codex, Control::Local, &AgentMemory::default()), ["--no-daemon"]);
    assert_eq!(rig.words(&codex, Control::Local, &in_conversation(id)), ["--no-daemon"]);
    let day = rig.base.path().join(".codex/sessions/2026/11/21");
    fs::create_dir_all(&day).unwrap();
    fs::write(day.join(format!("rollout-2026-11-21T07-53-24-{id}.jsonl")), "").unwrap();
    assert_eq!(rig.words(&codex, Control::Local, &in_conversation(id)), ["--no-daemon", "resume", id]);
    let memory = works(serde_json::json!({"permission_mode": "read-only"}));
    let expected = ["--no-daemon", "--ask-for-approval=on-request", "--sandbox=read-only"];
    assert_eq!(rig.words(&codex, Control::Local, &memory), expected);
    let memory = works(serde_json::json!({"permission_mode": "acceptEdits"}));
    let refusal = rig.plan(&codex, Control::Local, &serde_json::json!({}), &memory).unwrap_err();
    assert!(refusal.fix.contains("read-only"), "{refusal:?}");
}
