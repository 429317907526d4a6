//! What a phone asks of a machine and its sessions, through a server: the real daemon, the relay inside it, and the sdk as
//! the phone. Tests that name a row are of what is known to go wrong with others (`facts/happy.md`, part 5).

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use delight_crypto::Dialect;
use delight_proto::api::method::{
    AccountCreate, AccountCreateParams, AccountExport, DaemonStatus, Empty, SessionGet, SessionRef,
};
use delight_proto::id::SessionId;
use delight_proto::session::{Origin, Phase};
use delight_proto::sync::bounded::{Id, Name, Path};
use delight_proto::sync::rpc::{
    CommandOutcome, DirectoryListing, FileContent, FileRequest, PathOnly, PermissionDecision, ResumeRequest,
    RunBash, RunTool, SpawnRequest,
};
use delight_sdk::{Account, Control, Driver, Machine, Phone, Presence, Server, Spawn, Words};
use delight_tests::daemon::Daemon;
use delight_tests::{Sandbox, until_some};
use serde_json::json;

/// A machine with a relay inside and an account on it, and a phone of that account.
struct World {
    sandbox: Sandbox,
    daemon: Option<Daemon>,
    phone: Phone,
    machine: Machine,
}

impl World {
    fn new(settings: &str) -> Self {
        let sandbox = Sandbox::new();
        // A port of its own, so that the relay is where it was when the daemon comes back.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!("[relay]\nlisten = \"{address}\"\n{settings}");
        fs::write(&sandbox.place().config, config).unwrap();
        let daemon = sandbox.start_daemon();
        let mut client = sandbox.client();
        let relay = client.call::<DaemonStatus>(&Empty {}).unwrap().relay.unwrap();
        let made = client.call::<AccountCreate>(&AccountCreateParams { server: None }).unwrap();
        let backup = client.call::<AccountExport>(&Empty {}).unwrap().backup;
        let account = Account::import(backup.expose(), Dialect::Happy).unwrap();
        let phone = Phone::connect(Server::new(&relay.url.unwrap()).unwrap(), account).unwrap();
        let machine = until_some("the machine is online", || online(&phone));
        assert_eq!(machine.id.as_str(), made.machine);
        Self { sandbox, daemon: Some(daemon), phone, machine }
    }

    fn spawn(&self, request: SpawnRequest) -> Result<Spawn, delight_sdk::Error> {
        self.phone.spawn(&self.machine.id, request).wait()
    }

    /// The server's id of a session that runs.
    fn started(&self, request: SpawnRequest) -> Id {
        match self.spawn(request) {
            Ok(Spawn::Started(id)) => id,
            other => panic!("no session: {other:?}"),
        }
    }

    /// Ours.
    fn local(&self, id: &Id) -> SessionId {
        let listed = self.phone.machine_sessions(&self.machine.id).wait().unwrap();
        let one = listed.sessions.iter().find(|one| one.session_id.as_ref() == Some(id));
        one.unwrap_or_else(|| panic!("{id} is not listed: {listed:?}")).id.parse().unwrap()
    }

    fn phase(&self, id: SessionId) -> Phase {
        let session = SessionRef { session: id.to_string() };
        self.sandbox.client().call::<SessionGet>(&session).unwrap().phase
    }

    /// `kill -9`, and the next one.
    fn restart(&mut self) {
        self.daemon.take().unwrap().kill9();
        self.daemon = Some(self.sandbox.start_daemon());
        until_some("the machine is back", || self.phone.ping(&self.machine.id).wait().ok());
    }
}

fn online(phone: &Phone) -> Option<Machine> {
    let machine = phone.machines().wait().ok()?.into_iter().next()?;
    (machine.presence == Presence::Online).then_some(machine)
}

fn request(directory: &str, agent: &str) -> SpawnRequest {
    let directory = Path::new(directory).unwrap();
    SpawnRequest { agent: Some(Name::new(agent).unwrap()), ..SpawnRequest::in_directory(directory) }
}

fn at(path: &str) -> PathOnly {
    PathOnly { path: Path::new(path).unwrap() }
}

fn bash(command: &str) -> FileRequest {
    let request = serde_json::from_value::<RunBash>(json!({ "command": command })).unwrap();
    FileRequest::Bash(request)
}

#[test]
fn a_phone_spawns_into_a_new_directory_after_its_owner_agrees() {
    let world = World::new("");
    let Ok(Spawn::NeedsApproval { directory, request }) = world.spawn(request("~/new", "terminal")) else {
        panic!("nobody asked for the directory")
    };
    let new = world.sandbox.home().join("new");
    assert_eq!(directory.as_str(), new.to_str().unwrap());
    assert!(!new.exists());
    let id = world.started((*request).clone());
    assert!(new.is_dir());
    // The same request again (its answer was lost): the same session.
    assert_eq!(world.started(*request), id);
    let local = world.local(&id);
    assert_eq!(world.phase(local), Phase::Running);
    let events = world.sandbox.ctl(["events", &local.to_string(), "--json"]).ok().stdout;
    let phone = serde_json::to_value(Origin::Phone { device: String::new() }).unwrap();
    let word = phone.as_object().unwrap().keys().next().unwrap();
    assert!(events.contains(&format!("\"{word}\"")), "who made it is in its events: {events}");
    world.phone.stop(&world.machine.id, &id).wait().unwrap();
    assert_eq!(world.phase(local), Phase::Stopped);
}

/// "After any daemon restart running sessions cannot be listed, stopped or resumed."
#[test]
fn row_5_1_sessions_are_the_machines_own_after_its_daemon_was_killed() {
    let mut world = World::new("");
    let id = world.started(request("~", "terminal"));
    let local = world.local(&id);
    world.restart();
    assert_eq!(world.local(&id), local);
    let listing: DirectoryListing = until_some("its calls are answered again", || {
        world.phone.session_files(&id, FileRequest::ListDirectory(at("."))).wait().ok()
    });
    assert!(listing.entries.iter().all(|entry| !entry.name.is_empty()));
    world.phone.stop(&world.machine.id, &id).wait().unwrap();
    assert_eq!(world.phase(local), Phase::Stopped);
    world.restart();
    // An ended one is not made known to the server again: its name there is remembered.
    assert_eq!(world.local(&id), local);
    // Stopped a second time, by its own id: done, and said to be.
    world.phone.stop(&world.machine.id, local.as_str()).wait().unwrap();
    let resume =
        ResumeRequest { session_id: id.clone(), model: None, permission_mode: None, client_request_id: None };
    let resumed = world.phone.resume(&world.machine.id, resume).wait().unwrap();
    assert_eq!(resumed, Spawn::Started(id), "the same session at the server, too");
    assert_eq!(world.phase(local), Phase::Running);
}

/// "A headless session flips to local and ends": `switch` sets who drives, however often it is asked.
#[test]
fn row_5_3_switch_sets_and_never_toggles() {
    let world = World::new("");
    let id = world.started(request("~", "fake"));
    let local = world.local(&id);
    let drives = || world.sandbox.client().get(local).agent.unwrap().control.word();
    assert_eq!(drives(), "remote", "a phone's session is the phone's to drive");
    for (to, word) in [
        (Driver::Remote, "remote"),
        (Driver::Remote, "remote"),
        (Driver::Local, "local"),
        (Driver::Local, "local"),
        (Driver::Remote, "remote"),
    ] {
        assert!(world.phone.switch(&id, to).wait().unwrap());
        assert_eq!(drives(), word);
        assert_eq!(world.phase(local), Phase::Running);
    }
    until_some("the phone sees who drives", || {
        (world.phone.session(&id).wait().ok()?.control == Control::Remote).then_some(())
    });
}

/// "`stop` only says that it ended: the process stays, and a minute later the session is active again."
#[test]
fn row_5_6_a_stopped_sessions_processes_are_gone() {
    let world = World::new("");
    let id = world.started(request("~", "terminal"));
    assert!(!world.sandbox.runners().is_empty());
    world.phone.stop(&world.machine.id, &id).wait().unwrap();
    assert!(world.sandbox.runners().is_empty(), "{:?}", world.sandbox.runners());
}

/// "Resumed within a minute of its end, a session is shown offline although it works": servers swallow signs of life then.
#[test]
fn row_5_7_a_session_resumed_at_once_is_shown_alive() {
    let world = World::new("");
    let id = world.started(request("~", "fake"));
    let shown = |presence: Presence| {
        let session = world.phone.session(&id).wait().ok()?;
        (session.presence == presence).then_some(())
    };
    until_some("it is alive", || shown(Presence::Online));
    world.phone.kill(&id).wait().unwrap();
    until_some("it has ended", || shown(Presence::Offline));
    let resume =
        ResumeRequest { session_id: id.clone(), model: None, permission_mode: None, client_request_id: None };
    assert_eq!(world.phone.resume(&world.machine.id, resume).wait().unwrap(), Spawn::Started(id.clone()));
    until_some("it is alive again", || shown(Presence::Online));
    until_some("and can be written to", || world.phone.session(&id).wait().ok()?.can_send.then_some(()));
}

/// "A restart during a request cancels it": the same request waits after the restart, and its decision reaches the agent.
#[test]
fn row_5_12_a_request_outlives_the_daemon_it_was_made_under() {
    let mut world = World::new("");
    let id = world.started(request("~", "fake"));
    let pending = |world: &World| {
        let session = world.phone.session(&id).wait().ok()?;
        session.pending().next().map(|(request, _)| request.clone())
    };
    world.phone.send(&id, Words::new("do ask touch it; say done")).wait().unwrap();
    let asked = until_some("the agent asks", || pending(&world));
    world.restart();
    assert_eq!(until_some("it still asks", || pending(&world)), asked);
    let decision: PermissionDecision =
        serde_json::from_value(json!({ "id": asked, "approved": true })).unwrap();
    until_some("it is decided", || world.phone.decide(&id, decision.clone()).wait().ok());
    until_some("and remembered", || {
        let state = world.phone.session(&id).wait().ok()?.agent_state?;
        let status = state.completed_requests?.get(&asked)?.status.clone()?;
        (status.as_str() == "approved").then_some(())
    });
}

/// "An answer of more than 1 MB drops the machine's connection": it is cut or refused, and nothing is dropped.
#[test]
fn row_5_8_large_answers_arrive_cut_or_are_refused() {
    let world = World::new("[remote]\nshell = true\n");
    let id = world.started(request("~", "terminal"));
    let home = world.sandbox.home();
    fs::write(home.join("fits"), vec![0xff; 374_000]).unwrap();
    fs::write(home.join("large"), vec![0xff; 800_000]).unwrap();
    let file =
        |name: &str| world.phone.session_files::<FileContent>(&id, FileRequest::ReadFile(at(name))).wait();
    assert_eq!(file("fits").unwrap().content.expose().len(), 374_000_usize.div_ceil(3) * 4);
    assert!(file("large").unwrap_err().reason.contains("File too large"));
    let flood: CommandOutcome = world.phone.session_files(&id, bash("yes | head -c 2000000")).wait().unwrap();
    assert!(flood.stdout.expose().contains("bytes are left out"));
    assert!(online(&world.phone).is_some(), "and it stays online");
}

/// "`ripgrep` without a path waits on stdin until the 30 s limit."
#[test]
fn row_5_9_no_call_waits_for_input() {
    let world = World::new("[remote]\nshell = true\n");
    let id = world.started(request("~", "terminal"));
    let began = Instant::now();
    let args = serde_json::from_value::<RunTool>(json!({"args": ["x"]})).unwrap();
    // Where it is not installed that is said; either way it is said at once.
    let _ = world.phone.session_files::<CommandOutcome>(&id, FileRequest::Ripgrep(args)).wait();
    let done: CommandOutcome = world.phone.session_files(&id, bash("cat; echo over")).wait().unwrap();
    assert_eq!(done.stdout.expose().as_str(), "over\n");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

/// "The reply comes before the session's socket is connected": whoever is told of a session can use it at once.
#[test]
fn row_5_13_a_session_answers_from_the_moment_its_id_is_told() {
    let world = World::new("");
    for _ in 0..5 {
        let mut request = request("~", "terminal");
        request.client_request_id = Some(Id::cut(format!("{:?}", Instant::now())));
        let id = world.started(request);
        let began = Instant::now();
        let listed = world.phone.session_files::<DirectoryListing>(&id, FileRequest::ListDirectory(at(".")));
        listed.wait().unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

/// "A spawn in an impossible place never answers."
#[test]
fn row_5_16_a_spawn_in_an_impossible_place_is_refused() {
    let world = World::new("[remote]\nroots = [\"/\"]\n");
    for directory in ["/proc/nope/x", "/dev/null/x"] {
        let mut request = request(directory, "terminal");
        request.approved_new_directory_creation = Some(true);
        let error = world.spawn(request).unwrap_err();
        assert!(error.to_string().contains("cannot"), "{error}");
    }
}

/// "`killSession` archives and ends twice", "`stop` leaves the process": one end, and nothing is alive.
#[test]
fn row_5_17_killing_a_session_ends_it_once_and_whole() {
    let world = World::new("");
    let id = world.started(request("~", "terminal"));
    let local = world.local(&id);
    assert!(!world.sandbox.runners().is_empty());
    world.phone.kill(&id).wait().unwrap();
    assert_eq!(world.phase(local), Phase::Stopped);
    assert!(world.sandbox.runners().is_empty(), "{:?}", world.sandbox.runners());
    let events = world.sandbox.ctl(["events", &local.to_string(), "--json"]).ok().stdout;
    assert_eq!(events.matches("stop-requested").count(), 1, "{events}");
    until_some("the server knows its end", || {
        let sessions = world.phone.sessions().wait().ok()?;
        let one = sessions.into_iter().find(|one| one.id == id)?;
        (one.presence == Presence::Offline).then_some(())
    });
}

#[test]
fn a_daemon_stopped_from_afar_answers_first_and_its_sessions_go_on() {
    let mut world = World::new("");
    let id = world.started(request("~", "terminal"));
    let local = world.local(&id);
    let runners = world.sandbox.runners().len();
    world.phone.stop_daemon(&world.machine.id).wait().unwrap();
    assert!(world.daemon.take().unwrap().ended().success());
    assert_eq!(world.sandbox.runners().len(), runners);
    world.daemon = Some(world.sandbox.start_daemon());
    assert_eq!(world.phase(local), Phase::Running);
}
