//! What is known to go wrong with Happy's daemon and server, row by row (`facts/happy.md`, part 5); the rows about calls of a
//! phone are in `remote.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use delight_proto::agent::Activity;
use delight_proto::api::method::SessionPrompt;
use delight_proto::sync::record::{Record, SessionEvent};
use delight_proto::sync::rpc::{PermissionDecision, ResumeRequest, SpawnRequest};
use delight_sdk::{Phone, Presence, Spawn, Words};
use delight_tests::{Sandbox, kernel, until, until_some};
use serde_json::{Value, json};

use super::raw::Raw;
use super::rig::{Link, MACHINE, Relay, is_online};
use super::talk::{agent, history, said};

/// A linked machine listens on no port, whatever runs on it: who may ask is decided by its sockets' owner (see
/// `another_user_is_refused_at_both_sockets`). [happy 5.4: a control port that asks nobody who he is]
#[test]
fn row_5_4_a_linked_machine_listens_on_no_port() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    phone.send(id, Words::new("hello")).wait().unwrap();
    until("it is answered", || said(&phone, id).contains(&"got: hello".to_owned()));
    let port: u16 = relay.url().rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(kernel::listens_on(relay.pid()), BTreeSet::from([port]), "it is seen who listens");
    let processes = sandbox.processes();
    assert!(processes.contains_key(&daemon.pid()) && processes.len() >= 3, "{processes:?}");
    for (pid, process) in processes {
        assert_eq!(kernel::listens_on(pid), BTreeSet::new(), "{process:?}");
    }
}

/// Every file below a directory.
fn files(below: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A key in every spelling in which it could be passed on.
fn spellings(key: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let texts = [BASE64_STANDARD.encode(key), BASE64_URL_SAFE_NO_PAD.encode(key), hex];
    texts.into_iter().map(String::into_bytes).chain([key.to_vec()]).collect()
}

fn holds(bytes: &[u8], secrets: &[Vec<u8>]) -> bool {
    secrets.iter().any(|secret| bytes.windows(secret.len()).any(|window| window == secret))
}

/// No key is in an environment, an argument list, a log or a file others can read, also after a resume; what the phone gave
/// its session is in that session and nowhere else. [happy 5.5: keys and tokens in files of mode 0644 and in the agent's
/// environment]
#[test]
fn row_5_5_keys_are_in_no_environment_no_log_and_no_file_others_can_read() {
    const GIVEN: &str = "canary-of-the-phone";
    let sandbox = Sandbox::new();
    std::fs::write(&sandbox.place().config, "[remote]\nenv = [\"API_TOKEN\"]\n").unwrap();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let link = Link::make(&sandbox, &relay.url());
    let phone = link.phone();
    let mut command = sandbox.command(delight_tests::binaries::program("delightd"));
    command.env("DELIGHT_LOG", "trace");
    let daemon = delight_tests::daemon::Daemon::start(command, sandbox.next_daemon_log(), sandbox.place());
    is_online(&sandbox);
    let request: SpawnRequest = serde_json::from_value(json!({
        "directory": sandbox.home(), "agent": "fake", "environmentVariables": { "API_TOKEN": GIVEN },
    }))
    .unwrap();
    let Spawn::Started(id) = phone.spawn(MACHINE, request).wait().unwrap() else { panic!("no session") };
    let resume: ResumeRequest = serde_json::from_value(json!({ "sessionId": id })).unwrap();
    phone.kill(&id).wait().unwrap();
    assert_eq!(phone.resume(MACHINE, resume).wait().unwrap(), Spawn::Started(id.clone()));
    until("the phone may write", || phone.session(&id).wait().is_ok_and(|session| session.can_send));
    phone.send(&id, Words::new("hello")).wait().unwrap();
    until("it is answered", || said(&phone, &id).contains(&"got: hello".to_owned()));

    let raw = Raw::connect(&link, &relay.url());
    let session_key = raw.session_key(&id);
    let keys = [&link.master, &link.machine_key, session_key.expose()].map(|key| spellings(key)).concat();
    let given = [GIVEN.as_bytes().to_vec()];
    let runners: BTreeSet<u32> = sandbox.runners().iter().map(|process| process.pid).collect();
    assert!(!runners.is_empty());
    for (pid, process) in sandbox.processes() {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!holds(&environment, &keys), "a key is in the environment of {process:?}");
        assert_eq!(holds(&environment, &given), runners.contains(&pid), "{process:?}");
        let command = process.command.as_bytes();
        assert!(!holds(command, &keys) && !holds(command, &given), "{process:?}");
    }
    let log = sandbox.daemon_logs().into_bytes();
    assert!(!log.is_empty() && !holds(&log, &keys) && !holds(&log, &given), "the log tells");
    assert!(daemon.terminate().success());
    let place = sandbox.place();
    let mut found = 0;
    for path in files(&place.state).into_iter().chain(files(&place.runtime)) {
        assert_eq!(kernel::mode(&path) & 0o077, 0, "{} is open to others", path.display());
        // Sockets cannot be read.
        if std::fs::read(&path).is_ok_and(|bytes| holds(&bytes, &keys)) {
            found += 1;
            let its_place = path.starts_with(place.account()) || path.starts_with(place.registry());
            assert!(its_place, "a key is in {}", path.display());
        }
    }
    assert!(found >= 1, "a search that finds no key where one is finds none anywhere");
}

/// What was said while the server was away arrives oldest first, each once, however many batches it takes. [happy 5.15: beyond
/// 50 waiting messages the newest batch is sent first]
#[test]
fn row_5_15_what_waits_is_sent_oldest_first() {
    const LINES: usize = 300;
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    let ours = sandbox.client().list()[0].id;
    let address = relay.kill9();
    let prompt = json!({ "session": ours, "text": format!("do lines {LINES}; say the end") });
    sandbox.client().call::<SessionPrompt>(&serde_json::from_value(prompt).unwrap()).unwrap();
    until("the agent has said it all, without a server", || {
        let agent = sandbox.client().get(ours).agent.unwrap();
        agent.queued == 0 && agent.activity.is_some_and(|now| now.activity == Activity::Idle)
    });
    let _relay = Relay::start(&sandbox, &address);
    let heard = until_some("the end is on the phone", || {
        let heard = said(&phone, id);
        heard.iter().any(|words| words == "the end").then_some(heard)
    });
    let lines: Vec<&String> = heard.iter().filter(|words| words.starts_with("00")).collect();
    assert_eq!(lines.len(), LINES, "each once: {lines:?}");
    assert!(lines.is_sorted(), "in order: {lines:?}");
    assert_eq!(heard.last().map(String::as_str), Some(">"), "and the turn's end behind them: {heard:?}");
}

/// What did not change is not said again: neither to a server that comes back nor by the next daemon, and a permission is two
/// states, not six. [happy 5.17: the same state sent three times, a new version of the metadata at every start, `startedAt`
/// rewritten at every connect]
#[test]
fn row_5_17_nothing_is_said_twice() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let link = Link::make(&sandbox, &relay.url());
    let phone = link.phone();
    let daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    let mut raw = Raw::connect(&link, &relay.url());
    phone.send(id, Words::new("do ask touch x; say done")).wait().unwrap();
    let asked = until_some("the agent asks", || {
        let session = phone.session(id).wait().ok()?;
        session.pending().next().map(|(asked, _)| asked.clone())
    });
    let decision: PermissionDecision =
        serde_json::from_value(json!({"id": asked, "approved": true})).unwrap();
    phone.decide(id, decision).wait().unwrap();
    until("the turn has ended", || said(&phone, id).last().is_some_and(|last| last == ">"));
    phone.kill(id).wait().unwrap();
    let key = delight_crypto::SealingKey::data(&raw.session_key(id));
    let open = |sealed: &Value| -> Value {
        serde_json::from_slice(key.open_base64(sealed.as_str().unwrap()).unwrap().json()).unwrap()
    };
    let updates = raw.updates_until(|body| {
        body["t"] == "update-session"
            && body["metadata"]["value"].is_string()
            && open(&body["metadata"]["value"])["lifecycleState"] == "archived"
    });
    for field in ["agentState", "metadata"] {
        let told = updates.iter().filter(|body| body["t"] == "update-session" && body["id"] == id);
        let values: Vec<Value> = told
            .filter(|body| body[field]["value"].is_string())
            .map(|body| open(&body[field]["value"]))
            .collect();
        assert!(!values.is_empty(), "{field} was told");
        assert!(values.windows(2).all(|two| two[0] != two[1]), "{field} was told twice: {values:#?}");
    }

    let before = raw.machine();
    let started = |machine: &Value| raw_state(&raw, machine)["startedAt"].clone();
    let began = started(&before);
    assert!(began.is_u64());
    let (status, address) = relay.terminate();
    assert!(status.success());
    let relay = Relay::start(&sandbox, &address);
    let raw = Raw::connect(&link, &relay.url());
    is_online_after(&phone);
    let again = raw.machine();
    for version in ["metadataVersion", "daemonStateVersion"] {
        assert_eq!(again[version], before[version], "{version} after the server was away");
    }
    assert_eq!(raw_state(&raw, &again)["startedAt"], began);

    assert!(daemon.terminate().success());
    let _daemon = sandbox.start_daemon();
    is_online(&sandbox);
    until("the next daemon has said that it runs", || {
        let state = raw_state(&raw, &raw.machine());
        state["status"] == "running" && state["startedAt"] != began
    });
    assert_eq!(raw.machine()["metadataVersion"], before["metadataVersion"], "the machine is the same");
}

fn raw_state(raw: &Raw, machine: &Value) -> Value {
    raw.open(machine["daemonState"].as_str().unwrap())
}

/// Waits until the machine is back at its server.
fn is_online_after(phone: &Phone) {
    until("the machine is back", || phone.ping(MACHINE).wait().is_ok());
}

/// A server that is asked to end ends, whoever is connected, says goodbye and nothing of what it carried; its machine comes to
/// the next one by itself. [happy 5.19: SIGTERM is ignored, and the log holds what it says it leaves out]
#[test]
fn row_5_19_a_server_ends_when_it_is_asked_to_and_its_log_tells_nothing() {
    let sandbox = Sandbox::new();
    let relay = Relay::logging(&sandbox, "127.0.0.1:0", "", "delight_relay=trace,info");
    let link = Link::make(&sandbox, &relay.url());
    let phone = link.phone();
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    phone.send(id, Words::new("canary")).wait().unwrap();
    until("it is answered", || said(&phone, id).contains(&"got: canary".to_owned()));
    let raw = Raw::connect(&link, &relay.url());
    let sealed = raw.seal(&json!({}));
    assert_eq!(raw.deliver("ping", &sealed)["success"], true);

    let (status, address) = relay.terminate();
    assert!(status.success(), "{status}");
    let log = Relay::log(&sandbox);
    assert!(log.contains("the relay has ended"), "{log}");
    let carried = raw.token.split('.').map(str::to_owned).filter(|part| part.len() > 20).chain([sealed]);
    let secrets = [&link.master, &link.machine_key].map(|key| spellings(key)).concat();
    let secrets: Vec<Vec<u8>> =
        carried.map(String::into_bytes).chain(secrets).chain([b"canary".to_vec()]).collect();
    assert!(!holds(log.as_bytes(), &secrets), "{log}");

    let _relay = Relay::start(&sandbox, &address);
    until("the machine is there again", || {
        let machines = phone.machines().wait().unwrap_or_default();
        machines.iter().any(|machine| machine.presence == Presence::Online)
    });
}

/// A turn that is over before anybody looks has a beginning, words and an end of its own, and the next one another name.
/// [happy 5.2: quick turns lose their end, and the next one goes by the same name]
#[test]
fn row_5_2_every_quick_turn_has_its_own_name_and_end() {
    const TURNS: usize = 20;
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let _daemon = sandbox.start_daemon();
    let session = agent(&sandbox, &phone);
    let id = session.id.as_str();
    let sent: Vec<_> = (0..TURNS).map(|n| phone.send(id, Words::new(format!("{n}")))).collect();
    for ticket in sent {
        ticket.wait().unwrap();
    }
    until("every turn has ended", || said(&phone, id).iter().filter(|word| *word == ">").count() >= TURNS);
    let mut turns: Vec<(String, Vec<String>)> = Vec::new();
    for message in history(&phone, id) {
        let Ok(Record::Session(record)) = &message.body else { continue };
        let name = record.content.turn.as_ref().expect("it belongs to a turn").to_string();
        let what = match &record.content.ev {
            SessionEvent::TurnStart(_) => "<".to_owned(),
            SessionEvent::TurnEnd(_) => ">".to_owned(),
            SessionEvent::Text(text) => text.text.expose().to_string(),
            other => format!("{other:?}"),
        };
        match turns.last_mut().filter(|(last, _)| *last == name) {
            Some((_, whats)) => whats.push(what),
            None => turns.push((name, vec![what])),
        }
    }
    let names: BTreeSet<&String> = turns.iter().map(|(name, _)| name).collect();
    assert_eq!((turns.len(), names.len()), (TURNS, TURNS), "{turns:?}");
    for (n, (name, whats)) in turns.iter().enumerate() {
        assert_eq!(whats[..], ["<", &format!("got: {n}"), ">"], "{name}");
    }
}
