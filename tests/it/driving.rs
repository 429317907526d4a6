//! A person at a terminal while control of an agent changes hands.

use std::process::Command;

use delight_proto::agent::Control;
use delight_proto::api::method::{SessionSpawn, SpawnParams};
use delight_proto::id::SessionId;
use delight_proto::session::Size;
use delight_tests::api::{Client, spawn};
use delight_tests::terminal::Terminal;
use delight_tests::{Sandbox, binaries, until};

const SIZE: Size = Size { cols: 100, rows: 30 };

/// Ctrl-\, the default detach key.
const DETACH: &[u8] = b"\x1c";

fn delightctl(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = sandbox.command(binaries::program("delightctl"));
    command.args(arguments);
    command
}

fn fake(client: &mut Client, control: Control) -> SessionId {
    let mut params = SpawnParams { kind: "fake".to_owned(), ..spawn(&[]) };
    params.agent.control = Some(control);
    client.call::<SessionSpawn>(&params).unwrap().id
}

/// [happy #301, #422–424] The terminal follows whoever drives: transcript, permission, space twice, the agent's own
/// program, and the phone again.
#[test]
fn space_space_first_try_no_eaten_bytes() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = fake(&mut client, Control::Remote);
    let mut terminal = Terminal::open(&delightctl(&sandbox, &["attach", id.as_str()]), SIZE);
    terminal.until_shows("the phone drives");
    terminal.until_shows("space twice takes back");
    until("the terminal is raw while attached", || terminal.is_raw());

    sandbox.ctl(["send", id.as_str(), "do tool bash ls; say hello there"]).ok();
    terminal.until_shows("> do tool bash ls");
    terminal.until_shows("• bash");
    terminal.until_shows("hello there");

    sandbox.ctl(["send", id.as_str(), "do ask rm -rf x; say went on"]).ok();
    terminal.until_shows("? permission");
    terminal.until_shows("needs you");
    sandbox.ctl(["wait", id.as_str(), "--until", "permission", "--timeout", "30s"]).ok();
    let next = sandbox.ctl(["next"]).ok().stdout;
    assert!(next.contains("needs you: permission") && next.contains("delightctl allow"), "{next}");
    sandbox.ctl(["allow"]).ok();
    terminal.until_shows("allowed by");
    terminal.until_shows("went on");
    sandbox.ctl(["allow"]).ends(3);
    sandbox.ctl(["wait", id.as_str(), "--until", "idle", "--timeout", "30s"]).ok();

    terminal.keys("x");
    terminal.until_shows("keys are ignored");
    terminal.keys(" ");
    terminal.until_shows("press space again");
    terminal.until_shows("space twice takes back");
    terminal.keys("  ");
    terminal.until_shows("fake agent ready");
    assert!(terminal.is_raw(), "it stayed raw all the time");
    terminal.keys("a  b\r");
    terminal.until_shows("got: a  b");
    assert!(!terminal.text().contains("the phone drives"), "the transcript has gone");

    sandbox.ctl(["switch", id.as_str(), "remote"]).ok();
    terminal.until_shows("[");
    terminal.until_shows("the phone drives");
    sandbox.ctl(["send", id.as_str(), "again"]).ok();
    terminal.until_shows("got: again");
    let why = sandbox.ctl(["why", id.as_str()]).ok().stdout;
    assert!(why.contains("the phone drives"), "{why}");
    terminal.keys(DETACH);
    assert_eq!(terminal.ended(), 0);
    until("the terminal is as it was", || !terminal.is_raw());
}

/// A daemon that restarts disturbs nobody: the transcript goes on, each line once.
#[test]
fn the_transcript_goes_on_when_the_daemon_is_killed() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let id = fake(&mut sandbox.client(), Control::Remote);
    let mut terminal = Terminal::open(&delightctl(&sandbox, &["attach", id.as_str()]), SIZE);
    terminal.until_shows("space twice takes back");
    sandbox.ctl(["send", id.as_str(), "before"]).ok();
    terminal.until_shows("got: before");
    daemon.kill9();
    terminal.until_shows("the daemon is away");
    terminal.keys("  ");
    terminal.until_shows("control was not taken back");
    let _daemon = sandbox.start_daemon();
    sandbox.ctl(["send", id.as_str(), "after"]).ok();
    terminal.until_shows("got: after");
    assert_eq!(terminal.text().matches("got: before").count(), 1);
    terminal.keys("  ");
    terminal.until_shows("fake agent ready");
    // The end of the session is the end of the attachment, with the terminal as it was.
    sandbox.ctl(["stop", id.as_str()]).ok();
    assert_eq!(terminal.ended(), 0);
    until("the terminal is as it was", || !terminal.is_raw());
}
