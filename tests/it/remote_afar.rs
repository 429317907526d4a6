//! One machine of an account from another: `delightctl --machine` on a real daemon, by a real relay, to a real daemon.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use delight_proto::api::method::{
    AccountExport, AccountImport, AccountImportParams, DaemonStatus, DaemonStop, Empty, Method, OutputFrom,
    OutputResult, PolicyAdd, SendParams, SessionBypass, SessionOutput, SessionPrompt, SessionSend,
    SessionSpawn,
};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Size;
use delight_proto::sync::bounded::{Hidden, Name};
use delight_proto::sync::bounds;
use delight_proto::sync::rpc::{ApiAnswer, ApiOutcome, ApiRequest};
use delight_sdk::{Phone, Presence};
use delight_tests::api::{Client, output_of};
use delight_tests::client::Ctl;
use delight_tests::daemon::Daemon;
use delight_tests::proxy::Proxy;
use delight_tests::terminal::Terminal;
use delight_tests::{Sandbox, until_some};
use serde_json::{Value, json};

use crate::uplink::rig::{Link, MACHINE, Relay};

const SIZE: Size = Size { cols: 80, rows: 24 };

/// Two machines of one account.
struct World {
    relay: Option<Relay>,
    way: Proxy,
    far: Sandbox,
    _far_daemon: Daemon,
    here: Sandbox,
    _here_daemon: Daemon,
    phone: Phone,
}

impl World {
    /// The far machine's owner lets his other machines run commands there.
    fn new() -> Self {
        Self::with("[remote]\nshell = true\n")
    }

    fn with(settings: &str) -> Self {
        let far = Sandbox::new();
        fs::write(&far.place().config, settings).unwrap();
        let relay = Relay::start(&far, "127.0.0.1:0");
        let link = Link::make(&far, &relay.url());
        let far_daemon = far.start_daemon();
        let way = Proxy::to(relay.url().strip_prefix("http://").unwrap().parse().unwrap(), 7);
        let (here, here_daemon) = Sandbox::with_daemon();
        // The account is brought here as a person would; this machine's way to the server is the one that breaks.
        let import = AccountImportParams {
            backup: Hidden::new(BASE64_STANDARD.encode(link.master)),
            server: Some(way.base()),
        };
        here.client().call::<AccountImport>(&import).unwrap();
        let phone = link.phone();
        until_some("the far machine is online", || {
            let machines = phone.machines().wait().ok()?;
            let online =
                |id: &str| machines.iter().any(|m| m.id.as_str() == id && m.presence == Presence::Online);
            online(MACHINE).then_some(())
        });
        Self { relay: Some(relay), way, far, _far_daemon: far_daemon, here, _here_daemon: here_daemon, phone }
    }

    fn ctl(&self, arguments: &[&str]) -> Ctl {
        self.here.ctl([&["--machine", MACHINE], arguments].concat())
    }

    fn attach(&self, session: SessionId) -> Terminal {
        let mut command: Command = self.here.command(delight_tests::binaries::program("delightctl"));
        command.args(["--machine", MACHINE, "attach", session.as_str()]);
        Terminal::open(&command, SIZE)
    }

    /// One call from afar, as any program could make it.
    fn ask(&self, method: &str, params: Value, daemon: Option<u64>) -> ApiAnswer {
        let request = ApiRequest { method: Name::cut(method), params: Some(params), daemon };
        self.phone.api(MACHINE, request, false, Duration::from_secs(40)).wait().unwrap()
    }

    fn refused(&self, method: &str, params: Value) -> Refusal {
        match self.ask(method, params, None).outcome {
            ApiOutcome::Refused(refusal) => refusal,
            ApiOutcome::Result(_) => panic!("{method} was done from afar"),
        }
    }
}

fn typed(client: &mut Client, id: SessionId, text: &str) {
    let data = BASE64_STANDARD.encode(text);
    client.call::<SessionSend>(&SendParams { session: id.to_string(), data, request_id: None }).unwrap();
}

/// The same commands with the same words: nothing to learn, and nothing of it happens here.
#[test]
fn the_commands_of_one_machine_reach_another() {
    let world = World::new();
    let listed = world.here.ctl(["machines", "--json"]).json();
    let far = listed["devices"].as_array().unwrap().iter().find(|device| device["id"] == MACHINE).unwrap();
    assert_eq!(far["online"], true, "{listed}");

    let spawned = world.ctl(&["spawn", "--no-attach", "--name", "there", "--json", "--", "cat"]).json();
    assert_eq!(
        spawned["session"]["cwd"],
        world.far.home().to_str().unwrap(),
        "a home directory is its own machine's"
    );
    world.ctl(&["send", "there", "hello", "--enter"]).ok();
    let id: SessionId = spawned["session"]["id"].as_str().unwrap().parse().unwrap();
    world.far.client().until_output(id, "hello");
    assert!(world.ctl(&["logs", "there"]).ok().stdout.contains("hello"));
    let list = world.ctl(&["list", "--json"]).json();
    assert_eq!(list["sessions"][0]["name"], "there");
    assert_eq!(world.ctl(&["status", "--json"]).json()["running"], true);
    let next = world.ctl(&["show", "there"]).ok().stdout;
    assert!(next.contains(&format!("next: delightctl --machine {MACHINE} attach there")), "{next}");
    let fix = world.ctl(&["resume", "there"]).run().stderr;
    assert!(!fix.contains("fix: delightctl attach"), "a hint without the machine asks this one: {fix}");
    assert_eq!(world.ctl(&["stop", "there", "--json"]).run().status, Some(0));
    assert!(!world.far.client().list()[0].phase.is_live());
    assert!(world.here.client().list().is_empty(), "it was all done there");

    let wrong = world.here.ctl(["--machine", "nowhere", "list"]).ends(3);
    assert!(wrong.stderr.contains("delightctl machines"), "{}", wrong.stderr);
    world.ctl(&["up"]).ends(2);
    let relative = world.ctl(&["spawn", "--no-attach", "--cwd", "some/where", "--", "cat"]).ends(2);
    assert!(relative.stderr.contains("another machine"), "{}", relative.stderr);
}

/// A link that breaks is told where one looks; what was missed is shown, and every key arrives once and in order.
#[test]
fn a_terminal_from_afar_outlives_its_link() {
    let mut world = World::new();
    let mut client = world.far.client();
    let id = client.spawn(&["sh", "-c", "stty -echo; echo ready; exec cat"]).id;
    let mut terminal = world.attach(id);
    terminal.until_shows("ready");
    for number in 0..12 {
        terminal.keys(format!("line {number};\r"));
        if number % 3 == 2 {
            world.way.cut();
        }
    }
    terminal.until_shows("line 11;");

    let address = world.relay.take().unwrap().kill9();
    terminal.until_shows("is broken");
    typed(&mut client, id, "meanwhile\n");
    client.until_output(id, "meanwhile");
    world.relay = Some(Relay::start(&world.far, &address));
    terminal.until("what was missed is shown", |screen| {
        let shown = screen.contents();
        shown.contains("meanwhile") && !shown.contains("is broken")
    });
    terminal.keys("after\r");
    terminal.until_shows("after");

    let all = String::from_utf8(client.output(id)).unwrap();
    let lines: Vec<&str> = all.lines().filter(|line| line.starts_with("line ")).collect();
    let wanted: Vec<String> = (0..12).map(|number| format!("line {number};")).collect();
    assert_eq!(lines, wanted, "each key once and in order");
    terminal.keys(b"\x1c");
    assert_eq!(terminal.ended(), 0);
    assert!(client.get(id).phase.is_live(), "detaching ends nothing");
}

/// The end of a session is told from afar as at the machine.
#[test]
fn a_session_that_ends_ends_the_attachment() {
    let world = World::new();
    let id = world.far.client().spawn(&["sh", "-c", "echo ready; read line; exit 3"]).id;
    let mut terminal = world.attach(id);
    terminal.until_shows("ready");
    terminal.keys("go\r");
    assert_eq!(terminal.ended(), 0);
    terminal.until_shows("exit status 3");
}

/// Whoever has the account may use the machine, not take it over: what is its owner's at the machine stays there.
#[test]
fn what_belongs_to_the_machine_is_not_done_from_afar() {
    let world = World::new();
    for method in
        [AccountExport::NAME, PolicyAdd::NAME, DaemonStop::NAME, SessionBypass::NAME, "hello", "subscribe"]
    {
        let refusal = world.refused(method, json!({}));
        assert_eq!(refusal.code, Code::Forbidden, "{method}: {refusal}");
    }
    assert_eq!(world.refused("no.such", json!({})).code, Code::UnknownMethod);
    assert_eq!(world.refused(SessionOutput::NAME, json!({ "session": 7 })).code, Code::BadParams);
    let answer = world.ask(DaemonStatus::NAME, json!({}), None);
    let ApiOutcome::Result(status) = answer.outcome else { panic!("no status") };
    assert_eq!(status["started_ms"], answer.daemon);
    let stale = world.ask(DaemonStatus::NAME, json!({}), Some(answer.daemon - 1));
    let ApiOutcome::Refused(refusal) = stale.outcome else { panic!("another daemon was meant") };
    assert_eq!(refusal.code, Code::Conflict);
    assert!(world.far.client().call::<DaemonStatus>(&Empty {}).is_ok(), "it goes on");
}

/// What does not fit one call comes in several; nothing is too long to be had.
#[test]
fn large_output_comes_in_pieces_that_fit() {
    let world = World::new();
    let mut client = world.far.client();
    let id =
        client.spawn(&["sh", "-c", "head -c 1500000 /dev/zero | tr '\\0' x; echo; echo done; exec cat"]).id;
    client.until_output_tail(id, "done");
    let mut from = OutputFrom::Offset(0);
    let mut got = Vec::new();
    let mut calls = 0;
    loop {
        let params = json!({ "session": id, "from": from, "max_bytes": 512 << 10 });
        let answer = world.ask(SessionOutput::NAME, params, None);
        let ApiOutcome::Result(value) = answer.outcome else { panic!("{:?}", answer.outcome) };
        assert!(value.to_string().len() < bounds::RPC_ANSWER / 4 * 3);
        let found: OutputResult = serde_json::from_value(value).unwrap();
        got.extend(output_of(found.records));
        from = found.next;
        calls += 1;
        if found.at_end {
            break;
        }
    }
    assert_eq!(got.iter().filter(|byte| **byte == b'x').count(), 1_500_000);
    assert!(calls >= 4, "{calls} calls");
}

/// With commands off nobody runs one by another way; everything else can be done.
#[test]
fn without_shell_no_command_is_run_from_afar() {
    let world = World::with("");
    let home = world.far.home().to_str().unwrap().to_owned();
    let shell = |params: Value| world.refused(SessionSpawn::NAME, params);
    for params in [
        json!({ "cwd": home, "command": ["touch", "x"] }),
        json!({ "cwd": home, "kind": "fake", "command": ["touch", "x"] }),
        json!({ "cwd": home, "env": { "LD_PRELOAD": "/tmp/x.so" } }),
        json!({ "cwd": home, "env": { "PATH": "/tmp" } }),
        json!({ "cwd": "/" }),
    ] {
        let refusal = shell(params.clone());
        assert_eq!(refusal.code, Code::Forbidden, "{params}: {refusal}");
        assert!(refusal.fix.contains("remote."), "{refusal}");
    }
    assert!(world.far.client().list().is_empty());

    let mut client = world.far.client();
    let id = client.spawn(&["sh", "-c", "echo ready; exec cat"]).id;
    client.until_output(id, "ready");
    let data = BASE64_STANDARD.encode("touch x\n");
    let refusal = world.refused(SessionSend::NAME, json!({ "session": id, "data": data }));
    assert_eq!(refusal.code, Code::Forbidden, "{refusal}");
    world.ctl(&["send", id.as_str(), "touch x", "--enter"]).ends(5);
    // It may be watched; what is typed is refused where one looks.
    let mut terminal = world.attach(id);
    terminal.until_shows("ready");
    terminal.keys("touch x\r");
    terminal.until_shows("was not sent");
    terminal.keys(b"\x1c");
    assert_eq!(terminal.ended(), 0);
    let journal = format!("{:?}", client.journal(id));
    assert!(!journal.contains(&data), "{journal}");
    // An agent may be started and spoken to: it asks before it acts.
    let spawned = world.ctl(&["spawn", "--no-attach", "--json", "fake"]).json();
    assert_eq!(spawned["session"]["kind"], "fake");
    assert_eq!(world.ctl(&["stop", id.as_str(), "--json"]).run().status, Some(0));
}

/// "800-session accounts never find theirs": a list that does not fit one call comes in pages, each session once.
#[test]
fn many_sessions_are_listed_from_afar() {
    const MANY: usize = 110;
    let world = World::with("");
    let mut client = world.far.client();
    // Each with words enough that half of them would fill a call.
    let words = "x".repeat(6_000);
    let made: BTreeSet<String> = (0..MANY)
        .map(|_| {
            let params = json!({ "cwd": world.far.home(), "command": ["true", words] });
            let view = client.call::<SessionSpawn>(&serde_json::from_value(params).unwrap()).unwrap();
            view.id.to_string()
        })
        .collect();
    let whole = world.refused("session.list", json!({}));
    assert_eq!(whole.code, Code::TooLarge, "there are more than fit one call: {whole}");
    let listed = world.ctl(&["list", "--json"]).json();
    let found: Vec<&str> =
        listed["sessions"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(found.len(), MANY);
    assert_eq!(found.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), made);

    let page = |params: Value| world.ask("session.page", params, None).outcome;
    let ApiOutcome::Result(first) = page(json!({ "limit": 2 })) else { panic!("no page") };
    assert_eq!((first["sessions"].as_array().unwrap().len(), &first["more"]), (2, &json!(true)));
    for wrong in [json!({ "limit": 0 }), json!({ "limit": 1_001 })] {
        assert!(matches!(page(wrong), ApiOutcome::Refused(refusal) if refusal.code == Code::BadParams));
    }
    let gone = page(json!({ "after": SessionId::from_random([0; 10]) }));
    assert!(matches!(gone, ApiOutcome::Refused(refusal) if refusal.code == Code::NotFound), "it says so");
}

/// Who drives is seen from afar, and changes hands there as at the machine.
#[test]
fn an_attachment_from_afar_shows_who_drives() {
    let world = World::new();
    let params = json!({ "kind": "fake", "cwd": world.far.home(), "agent": { "control": "remote" } });
    let mut client = world.far.client();
    let id = client.call::<SessionSpawn>(&serde_json::from_value(params).unwrap()).unwrap().id;
    let mut terminal = world.attach(id);
    terminal.until_shows("the phone drives");
    let prompt = json!({ "session": id, "text": "do ask touch it; say done", "local_id": "m1" });
    client.call::<SessionPrompt>(&serde_json::from_value(prompt).unwrap()).unwrap();
    terminal.until_shows(&format!("delightctl --machine {MACHINE}"));
    let asked = client.get(id).agent.unwrap().pending[0].ask.id.to_string();
    world.ctl(&["allow", id.as_str(), &asked]).ok();
    terminal.until_shows("done");
    terminal.keys(b"\x1c");
    assert_eq!(terminal.ended(), 0);
}
