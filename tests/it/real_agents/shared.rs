//! Desktop and phone on one Codex at once: finding 1 of `facts/agents.md`, as promises.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use delight_proto::agent::{Control, Outcome, RecordBody, TurnStatus};
use delight_proto::api::method::{
    SessionResume, SessionStop, SessionSwitch, SessionTerminal, StopParams, SwitchParams,
};
use delight_proto::event::EventBody;
use delight_proto::refusal::Code;
use delight_proto::session::Size;
use delight_tests::api::one;
use delight_tests::terminal::Terminal;
use delight_tests::{binaries, kernel, until};
use nix::sys::signal::Signal;

use super::rig::Rig;

const SIZE: Size = Size { cols: 110, rows: 40 };
/// Ctrl-\, the default detach key.
const DETACH: &[u8] = b"\x1c";
/// What Codex's terminal program offers with a permission.
const DIALOG: &str = "Yes, proceed";

/// A person at the desktop, who attaches.
fn desk(rig: &Rig) -> Terminal {
    let mut command = rig.sandbox.command(binaries::program("delightctl"));
    command.args(["attach", rig.id.as_str()]);
    let terminal = Terminal::open(&command, SIZE);
    terminal.until_shows("Ask Codex");
    terminal
}

/// Types a message and sees that it was taken.
fn types(rig: &mut Rig, desk: &mut Terminal, text: &str) {
    desk.keys(text);
    desk.until_shows(text);
    let mut looks = 0;
    until("the agent takes what was typed", || {
        // An Enter that comes close behind the words is taken for a line break of theirs: it is pressed again.
        if looks % 16 == 15 {
            desk.keys("\r");
        }
        looks += 1;
        typed(rig, text) == 1
    });
}

/// How often a person typed this at the desktop.
fn typed(rig: &mut Rig, words: &str) -> usize {
    let is = |body: &&RecordBody| matches!(body, RecordBody::UserText { text } if text.contains(words));
    rig.records().iter().filter(is).count()
}

/// The processes of Codex: each by its id, and whether it is a terminal program.
fn codexes(rig: &Rig) -> Vec<(u32, bool)> {
    let program = rig.program();
    let runners = rig.sandbox.runners().into_iter().filter(|p| p.command.starts_with(&program));
    runners.map(|p| (p.pid, p.command.contains("--remote"))).collect()
}

fn ends(mut rig: Rig) {
    let params = StopParams { session: rig.id.to_string(), kill: false, grace_ms: None };
    let view = rig.client().call::<SessionStop>(&params).expect("it ends");
    assert!(!view.phase.is_live(), "{view:?}");
    until("nothing of the agent is left", || rig.sandbox.runners().is_empty());
    assert!(!rig.sandbox.place().agent_socket(rig.id).exists(), "its socket is gone");
}

/// Each sees and continues what the other says, in one process that never changes.
pub(super) fn both_drive_at_once(mut rig: Rig) {
    let began = rig.view();
    assert!(began.agent.as_ref().is_some_and(|agent| agent.shared && agent.control == Control::Remote));
    assert!(codexes(&rig).iter().all(|(_, terminal)| !terminal), "{:?}", codexes(&rig));
    let mut desk = desk(&rig);
    rig.prompt("say from the phone");
    rig.until_said("from the phone");
    desk.until_shows("from the phone");
    rig.until_turns(1);
    types(&mut rig, &mut desk, "say from the desk");
    rig.until_said("from the desk");
    assert_eq!(rig.until_turns(2), TurnStatus::Completed);
    rig.prompt("recall");
    let recalled = rig.until_said("recall: ");
    assert!(recalled.contains("from the phone") && recalled.contains("from the desk"), "{recalled}");
    rig.until_turns(3);
    assert_eq!((typed(&mut rig, "from the phone"), typed(&mut rig, "recall")), (0, 0), "that was the phone");
    assert_eq!([rig.said("from the phone"), rig.said("from the desk")], [1, 1]);

    let (before, id) = (codexes(&rig), rig.id.to_string());
    for to in [Control::Local, Control::Remote].into_iter().cycle().take(100) {
        let params = SwitchParams { session: id.clone(), to };
        rig.client().call::<SessionSwitch>(&params).expect("both have it already");
    }
    assert_eq!(codexes(&rig), before, "fifty there and back, and no process came or went");
    let now = rig.view();
    assert_eq!((now.generation, now.pid), (began.generation, began.pid));

    desk.keys(DETACH);
    assert_eq!(desk.ended(), 0);
    assert!(desk.text().contains("still running"), "{}", desk.text());
    // Not those of the beginning: its launcher may not have started the server itself by then.
    let servers: Vec<_> = before.into_iter().filter(|(_, terminal)| !terminal).collect();
    until("the terminal program has gone", || codexes(&rig) == servers);
    let again = self::desk(&rig);
    again.until_shows("from the desk");
    drop(again);
    ends(rig);
}

/// Whoever answers first has answered; the other's prompt goes away.
pub(super) fn either_decides(mut rig: Rig) {
    let (ask, cwd) = (rig.kind.ask, rig.cwd.clone());
    let mut desk = desk(&rig);
    rig.prompt(&format!("{ask} touch there.txt"));
    let asked = rig.asked();
    desk.until_shows(DIALOG);
    let mut looks = 0;
    until("the dialog takes the answer", || {
        // Codex takes no answer that comes close behind the question: nobody has read it by then.
        if looks % 16 == 0 && desk.text().contains(DIALOG) {
            desk.keys("y");
        }
        looks += 1;
        rig.view().agent.unwrap().pending.is_empty()
    });
    assert_eq!(rig.until_turns(1), TurnStatus::Completed);
    assert!(cwd.join("there.txt").exists());
    let ended = rig.events().into_iter().find_map(|event| match event.body {
        EventBody::PermissionEnded { id, outcome, .. } if id == asked.ask.id => Some(outcome),
        _ => None,
    });
    assert_eq!(ended, Some(Outcome::Withdrawn));
    rig.until_idle();
    rig.prompt(&format!("{ask} touch here.txt"));
    let asked = rig.asked();
    desk.until_shows(DIALOG);
    rig.decide(&asked, true);
    assert_eq!(rig.until_turns(2), TurnStatus::Completed);
    assert!(cwd.join("here.txt").exists());
    desk.until("the dialog closes", |screen| !screen.contents().contains(DIALOG));
    ends(rig);
}

/// The terminal program is killed, then the daemon: the turn goes on, and is told once.
pub(super) fn outlives_its_clients(mut rig: Rig) {
    let mut desk = desk(&rig);
    types(&mut rig, &mut desk, "say before ;; gate one ;; say after the gate");
    rig.until_model_waits("one");
    let (runner, all) = (rig.view().pid, codexes(&rig));
    let terminal = all.iter().find(|(_, terminal)| *terminal).expect("a terminal program").0;
    kernel::signal(terminal, Signal::SIGKILL);
    assert_eq!(desk.ended(), 0, "the session goes on");
    assert!(desk.text().contains("the session goes on"), "{}", desk.text());
    rig.daemon_dies();
    rig.model.open_gate("one");
    rig.daemon_comes();
    rig.until_said("after the gate");
    assert_eq!(rig.until_turns(1), TurnStatus::Completed);
    assert_eq!(rig.view().pid, runner, "the same process");
    assert_eq!((rig.said("after the gate"), typed(&mut rig, "gate one")), (1, 1), "once");
    rig.until_idle();
    let mut desk = self::desk(&rig);
    desk.until_shows("after the gate");
    types(&mut rig, &mut desk, "say once more");
    rig.until_said("once more");
    drop(desk);
    ends(rig);
}

/// Gives a command at the desktop that takes the session to another conversation.
fn goes(rig: &mut Rig, desk: &mut Terminal, command: &str) {
    let before = rig.view().agent.unwrap().conversation;
    desk.keys(command);
    let mut looks = 0;
    until("the session is in another conversation", || {
        if looks % 16 == 15 {
            desk.keys("\r");
        }
        looks += 1;
        rig.view().agent.unwrap().conversation != before
    });
}

/// What is begun anew at the desktop is where the phone is, too.
pub(super) fn goes_along_to_a_new_conversation(mut rig: Rig) {
    let mut desk = desk(&rig);
    rig.prompt("say in the first");
    rig.until_said("in the first");
    rig.until_turns(1);
    rig.until_idle();
    goes(&mut rig, &mut desk, "/new");
    rig.prompt("recall");
    let recalled = rig.until_said("recall: ");
    assert!(!recalled.contains("in the first"), "{recalled}");
    desk.until_shows("recall: ");
    types(&mut rig, &mut desk, "say in the second");
    rig.until_said("in the second");
    drop(desk);
    ends(rig);
}

/// What is gone on with at the desktop is where the phone is, too: one the server has still loaded, and one from disk.
pub(super) fn goes_along_to_an_older_conversation(mut rig: Rig) {
    let mut desk = desk(&rig);
    types(&mut rig, &mut desk, "say in the first");
    rig.until_said("in the first");
    rig.until_turns(1);
    rig.until_idle();
    let first = rig.view().agent.unwrap().conversation;
    goes(&mut rig, &mut desk, "/new");
    types(&mut rig, &mut desk, "say in the second");
    rig.until_said("in the second");
    rig.until_turns(2);
    rig.until_idle();
    let second = rig.view().agent.unwrap().conversation;
    chooses(&mut desk, "in the first");
    types(&mut rig, &mut desk, "say back in the first");
    rig.until_said("back in the first");
    rig.until_turns(3);
    rig.until_idle();
    assert_eq!(rig.view().agent.unwrap().conversation, first, "it was loaded: its next turn tells");
    drop(desk);

    // Another server, which knows the first alone.
    let params = StopParams { session: rig.id.to_string(), kill: false, grace_ms: None };
    rig.client().call::<SessionStop>(&params).expect("it ends");
    let id = one(rig.id);
    rig.client().call::<SessionResume>(&id).expect("it goes on");
    let mut desk = self::desk(&rig);
    chooses(&mut desk, "in the second");
    until("the session is in the other conversation", || rig.view().agent.unwrap().conversation == second);
    rig.prompt("recall");
    let recalled = rig.until_said("recall: ");
    assert!(recalled.contains("in the second") && !recalled.contains("in the first"), "{recalled}");
    desk.until_shows("recall: ");
    drop(desk);
    ends(rig);
}

/// Chooses a conversation from Codex's list.
fn chooses(desk: &mut Terminal, words: &str) {
    desk.keys("/resume");
    desk.until_shows("/resume");
    let mut looks = 0;
    until("Codex lists its conversations", || {
        if looks % 16 == 15 {
            desk.keys("\r");
        }
        looks += 1;
        desk.text().contains("Resume a previous session")
    });
    desk.keys(words);
    desk.until_shows(words);
    let mut looks = 0;
    until("a conversation is chosen", || {
        if looks % 16 == 15 {
            desk.keys("\r");
        }
        looks += 1;
        !desk.text().contains("Resume a previous session")
    });
}

/// "A process inside a session cannot approve for itself", not even by Codex's own door.
pub(super) fn lets_no_tool_in(mut rig: Rig) {
    let socket = rig.sandbox.place().agent_socket(rig.id);
    let upgrade = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut visitor = UnixStream::connect(&socket).expect("it is open for its owner");
    visitor.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    visitor.write_all(upgrade).unwrap();
    let mut answer = [0u8; 12];
    visitor.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    assert!(!socket.with_extension("srv").exists(), "the server's own socket has no name");

    let (ask, cwd, program) = (rig.kind.ask, rig.cwd.clone(), rig.program());
    std::fs::write(cwd.join("knock"), upgrade).unwrap();
    let knock = format!("{program} app-server proxy --sock {} < knock > answer.txt; true", socket.display());
    rig.prompt(&format!("{ask} {knock}"));
    let asked = rig.asked();
    rig.decide(&asked, true);
    assert_eq!(rig.until_turns(1), TurnStatus::Completed);
    let answer = std::fs::read_to_string(cwd.join("answer.txt")).unwrap();
    assert!(answer.contains("403") && answer.contains("inside a delight session"), "{answer:?}");
    ends(rig);
}

/// A session that is not there has no terminal program, and says so.
pub(super) fn is_not_joined_when_it_has_ended(mut rig: Rig) {
    let id = rig.id;
    let program = rig.client().call::<SessionTerminal>(&one(id)).expect("it can be joined");
    assert!(program.argv.iter().any(|word| word == "--remote"), "{:?}", program.argv);
    let params = StopParams { session: rig.id.to_string(), kill: false, grace_ms: None };
    rig.client().call::<SessionStop>(&params).expect("it ends");
    let refusal = rig.client().call::<SessionTerminal>(&one(id)).unwrap_err();
    assert_eq!(refusal.code, Code::WrongState, "{refusal:?}");
    let attached = rig.sandbox.ctl(["attach", rig.id.as_str()]);
    attached.ends(Code::NeedsHuman.exit_status().into());
}
