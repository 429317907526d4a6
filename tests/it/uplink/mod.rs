//! The link to the sync server: the real daemon, the real relay, and the sdk as the phone.

mod calls;
mod mode;
mod raw;
pub(crate) mod rig;
mod rows;
pub(crate) mod talk;
mod torn;

use delight_proto::api::method::{SessionSpawn, SessionStop};
use delight_sdk::{Machine, Phone, Presence, Session};
use delight_tests::{Sandbox, until_some};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use self::rig::{Link, MACHINE, Relay};

fn machine(phone: &Phone) -> Option<Machine> {
    phone.machines().wait().ok()?.into_iter().next()
}

fn session(phone: &Phone) -> Option<Session> {
    phone.sessions().wait().ok()?.into_iter().next()
}

fn lifecycle(session: &Session) -> String {
    let state = session.metadata.as_ref().and_then(|metadata| metadata.lifecycle_state.clone());
    state.map(|state| state.to_string()).unwrap_or_default()
}

/// The machine and plain terminals are on the phone, and each end is told. [happy #548: shown online when it is not]
#[test]
fn a_phone_sees_the_machine_and_its_terminal_and_their_ends() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let daemon = sandbox.start_daemon();
    let found = until_some("the machine is online", || {
        machine(&phone).filter(|machine| machine.presence == Presence::Online)
    });
    assert_eq!(found.id.as_str(), MACHINE);
    let metadata = found.metadata.expect("the machine's metadata can be read");
    assert!(metadata.host.is_some() && metadata.happy_cli_version.is_some());
    assert_eq!(found.daemon_state.unwrap().status.as_deref(), Some("running"));

    let mut client = sandbox.client();
    let home = sandbox.home().to_str().unwrap().to_owned();
    let spawned = client
        .call::<SessionSpawn>(&serde_json::from_value(json!({"kind": "pty", "cwd": home})).unwrap())
        .unwrap();
    let shown = until_some("the terminal is on the phone", || {
        session(&phone).filter(|session| session.presence == Presence::Online)
    });
    let metadata = shown.metadata.expect("the session's metadata can be read");
    assert_eq!(metadata.flavor.as_deref(), Some("terminal"));
    assert_eq!(metadata.path.as_deref(), Some(home.as_str()));
    assert_eq!(metadata.machine_id.as_deref(), Some(MACHINE));
    assert_eq!(metadata.rest["delightSessionId"], spawned.id.as_str());

    let stop = json!({"session": spawned.id, "kill": true});
    client.call::<SessionStop>(&serde_json::from_value(stop).unwrap()).unwrap();
    until_some("its end is on the phone", || {
        session(&phone).filter(|s| s.presence == Presence::Offline && lifecycle(s) == "archived")
    });

    assert!(daemon.terminate().success());
    let ended = until_some("the machine is offline", || {
        machine(&phone).filter(|machine| machine.presence == Presence::Offline)
    });
    assert_eq!(ended.daemon_state.unwrap().status.as_deref(), Some("shutting-down"), "it was announced");
}

/// Nothing local waits for the server, and what happened meanwhile arrives. [happy #1232: one 502 and silent for ever]
#[test]
fn a_server_that_was_away_hears_what_happened_meanwhile() {
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let phone = Link::make(&sandbox, &relay.url()).phone();
    let address = relay.kill9();
    let daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let home = sandbox.home().to_str().unwrap().to_owned();
    for _ in 0..3 {
        let spawn = json!({"kind": "pty", "cwd": home});
        client.call::<SessionSpawn>(&serde_json::from_value(spawn).unwrap()).unwrap();
    }
    let relay = Relay::start(&sandbox, &address);
    let online = |phone: &Phone| {
        let sessions = phone.sessions().wait().ok()?;
        (sessions.iter().filter(|session| session.presence == Presence::Online).count() == 3).then_some(())
    };
    until_some("all sessions are on the phone", || online(&phone));

    let address = relay.kill9();
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let _relay = Relay::start(&sandbox, &address);
    until_some("all sessions are back, each once", || online(&phone));
    assert_eq!(phone.sessions().wait().unwrap().len(), 3);
    let known = until_some("the machine is back", || {
        machine(&phone).filter(|machine| machine.presence == Presence::Online)
    });
    assert_eq!(known.daemon_state.unwrap().status.as_deref(), Some("running"));
    for process in sandbox.runners() {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(process.pid.cast_signed()), Signal::SIGKILL);
    }
}
