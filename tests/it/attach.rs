//! A person at a terminal: what is seen, typed and left behind.

use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::api::method::{SendParams, SessionSend, SessionSpawn, SessionStop, StopParams};
use delight_proto::holder::{Attach, FromHolder, ToHolder};
use delight_proto::id::SessionId;
use delight_proto::session::{Exit, Phase, Size};
use delight_tests::api::{Client, spawn};
use delight_tests::attached::{controller, viewer};
use delight_tests::terminal::{Terminal, emulator};
use delight_tests::{Sandbox, kernel, until};

const SIZE: Size = Size { cols: 80, rows: 24 };

/// Ctrl-\, the default detach key.
const DETACH: &[u8] = b"\x1c";

fn delightctl(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = sandbox.command(delight_tests::binaries::program("delightctl"));
    command.args(arguments);
    command
}

fn attach(sandbox: &Sandbox, id: SessionId, more: &[&str]) -> Terminal {
    Terminal::open(&delightctl(sandbox, &[&["attach", id.as_str()], more].concat()), SIZE)
}

/// A shell in a terminal, from which `delightctl` is run: what it leaves behind can be looked at afterwards.
fn shell(sandbox: &Sandbox) -> Terminal {
    let mut command = sandbox.command("bash");
    command.args(["--norc", "-i"]);
    let terminal = Terminal::open(&command, SIZE);
    terminal.until_shows("$");
    terminal
}

fn send(client: &mut Client, id: SessionId, text: &str) {
    let data = BASE64_STANDARD.encode(text);
    client.call::<SessionSend>(&SendParams { session: id.to_string(), data, request_id: None }).unwrap();
}

/// The first five minutes: spawn from nothing, type, detach, come back, and it is all there.
#[test]
fn spawn_detach_and_attach_again() {
    let sandbox = Sandbox::new();
    let agent = delight_tests::binaries::program("delight-fake-agent");
    let script = "say hello; read; repeat";
    let command =
        delightctl(&sandbox, &["spawn", "--name", "work", "--", agent.to_str().unwrap(), "--script", script]);
    let mut terminal = Terminal::open(&command, SIZE);
    terminal.until_shows("hello");
    until("the terminal is raw while attached", || terminal.is_raw());
    terminal.keys("first\r");
    terminal.until_shows("got: first");
    terminal.keys(DETACH);
    assert_eq!(terminal.ended(), 0);
    terminal.until_shows("delightctl attach");
    assert!(!terminal.is_raw());
    let view = sandbox.client().list().remove(0);
    assert_eq!(view.phase, Phase::Running);

    let mut terminal = attach(&sandbox, view.id, &[]);
    terminal.until_shows("got: first");
    terminal.keys("second\r");
    terminal.until_shows("got: second");
    terminal.keys(DETACH);
    assert_eq!(terminal.ended(), 0);
}

/// Looking is not acting: attaching starts, resumes and changes nothing (Dispatch trap 7).
#[test]
fn attach_has_no_side_effects() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let ended = client.spawn_script("say bye; exit 0").id;
    client.wait(ended, &[]);
    until("its holder has gone", || client.get(ended).holder.is_none());
    let before = client.get(ended);
    let mut terminal = attach(&sandbox, ended, &[]);
    assert_ne!(terminal.ended(), 0, "there is nothing to attach to");
    assert_eq!(client.get(ended), before);
    let live = client.spawn_script("say up; hang").id;
    client.until_output(live, "up");
    let before = client.get(live);
    let mut terminal = attach(&sandbox, live, &["--view"]);
    terminal.until_shows("up");
    terminal.keys(DETACH);
    assert_eq!(terminal.ended(), 0);
    assert_eq!(client.get(live), before);
}

/// The screen on attach is what the program drew: compared with an emulator that saw every byte.
#[test]
fn resume_renders_alt_screen_exactly() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    for (name, drawing) in DRAWINGS {
        // To the script, a semicolon ends a statement.
        let drawing = drawing.replace(';', r"\;");
        let id = client.spawn_script(&format!("raw; print {drawing}; hang")).id;
        let mut reader = sandbox.attach(id);
        reader.hello(viewer(Attach::Offset(0)));
        let bytes = reader.output_until("~end");
        let mut reference = emulator(SIZE);
        reference.process(&bytes);
        let wanted = reference.screen();

        let mut terminal = attach(&sandbox, id, &["--view"]);
        terminal.until(&format!("{name}: the screen is drawn"), |screen| screen.contents().contains("~end"));
        until(&format!("{name}: the attached screen is the reference's"), || {
            let screen = terminal.screen();
            picture(&screen) == picture(wanted)
                && screen.cursor_position() == wanted.cursor_position()
                && screen.alternate_screen() == wanted.alternate_screen()
                && screen.hide_cursor() == wanted.hide_cursor()
                && screen.application_cursor() == wanted.application_cursor()
        });
        // And it is put back afterwards: no mode of the session stays in the user's shell.
        terminal.keys(DETACH);
        terminal.ended();
        until("no mode of the session is left behind", || {
            let screen = terminal.screen();
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && !screen.application_cursor()
                && !screen.bracketed_paste()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
                && !screen.bold()
        });
    }
}

/// Every cell as a person sees it: one never written and one with a blank look the same.
fn picture(screen: &vt100::Screen) -> Vec<String> {
    let cell = |row, col| {
        let cell = screen.cell(row, col).unwrap();
        let text = if cell.has_contents() { cell.contents() } else { " " };
        let style = [cell.bold(), cell.dim(), cell.italic(), cell.underline(), cell.inverse()];
        format!("{text}{:?}{:?}{style:?}", cell.fgcolor(), cell.bgcolor())
    };
    (0..SIZE.rows)
        .flat_map(|row| (0..SIZE.cols).map(move |col| (row, col)))
        .map(|(r, c)| cell(r, c))
        .collect()
}

/// What sessions draw, each ending with `~end` on the screen.
const DRAWINGS: &[(&str, &str)] = &[
    (
        "colours",
        r"\e[1;31mbold red\e[0m \e[4;48;5;22mgreen ground\e[0m \e[38;2;10;200;30mtrue colour\e[0m ~end",
    ),
    (
        "a full-screen program",
        r"main line\r\n\e[?1049h\e[2J\e[1;1Htop\e[24;1Hbottom\e[?25l\e[?1h\e[12;30H~end",
    ),
    ("one that has ended", r"before\r\n\e[?1049h\e[2Jinside\e[?1049lafter ~end"),
    ("wide and combining", "日本語 e\u{301}a\u{308} 🙂 ~end"),
    ("a scroll region", r"\e[5;10r\e[10;1Hx\r\n\r\n\r\n\r\ny\e[20;5H~end"),
    ("mouse and paste", r"\e[?1000h\e[?1006h\e[?2004h\e[1m~end"),
    (
        "wrapped lines",
        r"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890 ~end",
    ),
    ("tabs and erasure", r"a\tb\tc\r\n\e[1;5Hzz\e[K\e[3;3Hlow\e[1J\e[4;1H~end"),
];

/// Attaching costs the screen and not the history, and the screen is right after a flood.
#[test]
fn the_screen_after_a_flood_is_its_last_lines() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("lines 300000; print ~end; hang").id;
    client.until_output_tail(id, "~end");
    let mut quick = sandbox.attach(id);
    quick.hello(viewer(Attach::Screen));
    let mut drawn = Vec::new();
    loop {
        let FromHolder::Screen { bytes, more, .. } = quick.frame().unwrap() else { continue };
        drawn.extend(bytes);
        if !more {
            break;
        }
    }
    assert!(drawn.len() < 64 << 10, "{} bytes for a screen of 80x24", drawn.len());
    let mut shown = emulator(SIZE);
    shown.process(&drawn);
    let lines: Vec<String> = (299_978..=300_000).map(|n| format!("{n:010}")).collect();
    assert_eq!(shown.screen().contents(), format!("{}\n~end", lines.join("\n")));
}

/// "Somebody looked at my session from a phone and my window shrank to 40 columns."
#[test]
fn phone_attach_does_not_shrink_desktop() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("size; read; repeat").id;
    let mut desktop = attach(&sandbox, id, &[]);
    desktop.until_shows("size: 80x24");
    let mut phone = Terminal::open(
        &delightctl(&sandbox, &["attach", "--view", id.as_str()]),
        Size { cols: 40, rows: 12 },
    );
    phone.until("the phone shows something", |screen| screen.contents().contains("size"));
    desktop.keys("\r");
    until("the size is still the desktop's", || {
        String::from_utf8_lossy(&client.output(id)).matches("size: 80x24").count() >= 2
    });
    desktop.resize(Size { cols: 100, rows: 30 });
    until("the controller's size is the session's", || {
        desktop.keys("\r");
        String::from_utf8_lossy(&client.output(id)).contains("size: 100x30")
    });
    assert!(!String::from_utf8_lossy(&client.output(id)).contains("size: 40x12"));
    phone.keys(DETACH);
    assert_eq!(phone.ended(), 0);
    // Only a client that controls sets the size; one that takes control does.
    let mut taker = Terminal::open(
        &delightctl(&sandbox, &["attach", "--take", id.as_str()]),
        Size { cols: 50, rows: 20 },
    );
    until("the taker's size is the session's", || {
        taker.keys("\r");
        String::from_utf8_lossy(&client.output(id)).contains("size: 50x20")
    });
}

/// Several viewers see the same; only one types.
#[test]
fn viewers_see_everything_and_type_nothing() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("say ready; read; repeat").id;
    let mut owner = attach(&sandbox, id, &[]);
    owner.until_shows("ready");
    let mut viewers: Vec<Terminal> = (0..3).map(|_| attach(&sandbox, id, &["--view"])).collect();
    for viewer in &mut viewers {
        viewer.until_shows("ready");
        viewer.keys("intruder\r");
    }
    owner.keys("owner\r");
    for viewer in &viewers {
        viewer.until_shows("got: owner");
    }
    send(&mut client, id, "the end\n");
    owner.until_shows("got: the end");
    assert!(!String::from_utf8_lossy(&client.output(id)).contains("intruder"));
}

/// "My shell was unusable after it crashed" (happy #301, #422, happy-cli #143): every way out restores the terminal.
#[test]
fn raw_mode_restored_on_any_exit() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let signals = [nix::libc::SIGTERM, nix::libc::SIGHUP, nix::libc::SIGINT, nix::libc::SIGKILL];
    for signal in signals {
        let id = client.spawn_script(r"print \e[?1049h\e[?25l\e[?1000h\e[?2004hdrawn; hang").id;
        let mut terminal = shell(&sandbox);
        let ctl = delight_tests::binaries::program("delightctl");
        terminal.keys(format!("{} attach {id}; echo left=$?\r", ctl.display()));
        terminal.until_shows("drawn");
        until("raw while attached", || terminal.is_raw());
        let clients: Vec<u32> = kernel::descendants(terminal.pid())
            .into_iter()
            .filter(|pid| kernel::process(*pid).is_some_and(|p| p.command.contains("delightctl attach")))
            .collect();
        // The client itself is the shell's child; a guard of it, if it has one, must survive to restore the terminal.
        let client_pid = clients
            .iter()
            .copied()
            .find(|pid| kernel::process(*pid).is_some_and(|p| p.parent == terminal.pid()))
            .unwrap();
        kernel::signal(client_pid, nix::sys::signal::Signal::try_from(signal).unwrap());
        until(&format!("the terminal is usable after signal {signal}"), || {
            let screen = terminal.screen();
            // bash edits its line without echo and switches bracketed paste on: those two say nothing here.
            terminal.makes_signals()
                && !screen.alternate_screen()
                && !screen.hide_cursor()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
        });
        terminal.keys("echo usable-$((40+2))\r");
        terminal.until_shows("usable-42");
        assert_eq!(client.get(id).phase, Phase::Running, "the session lives on");
        client
            .call::<SessionStop>(&StopParams { session: id.to_string(), kill: true, grace_ms: None })
            .unwrap();
    }
}

/// The end of the program is told at the terminal, and the terminal is left well.
#[test]
fn the_end_of_the_program_ends_the_attachment() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("say ready; read; say last words; exit 3").id;
    let mut terminal = attach(&sandbox, id, &[]);
    terminal.until_shows("ready");
    terminal.keys("\r");
    assert_eq!(terminal.ended(), 0);
    terminal.until_shows("3");
    let shown = String::from_utf8(terminal.bytes()).unwrap();
    assert!(shown.contains("last words"), "the tail is shown: {shown}");
    assert_eq!(client.wait(id, &[]).exit, Some(Exit::Code(3)));
}

/// Keys are the session's: ctrl-c interrupts it and not the client; ctrl-z, a space, UTF-8 cut in the middle arrive whole.
#[test]
fn every_key_but_the_detach_key_belongs_to_the_session() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("raw; say ready; echo").id;
    let mut terminal = attach(&sandbox, id, &["--detach-key", "ctrl-]"]);
    terminal.until_shows("ready");
    let keys =
        [b"\x03", &b"\x1a"[..], b" ", b"\x1c", b"\xc3", b"\xa9", b"\xf0\x9f", b"\x99\x82", b"\x1b[A", b"."];
    for key in keys {
        terminal.keys(key);
    }
    let wanted = keys.concat();
    until("every byte came back", || client.output(id).ends_with(&wanted));
    terminal.keys(b"\x1d");
    assert_eq!(terminal.ended(), 0);
    assert_eq!(client.get(id).phase, Phase::Running);
}

/// Programs ask their terminal things; with nobody attached the holder answers, with somebody the terminal does. Never both.
#[test]
fn utf8_split_and_osc_query_answered_detached() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client
        .spawn_script(r"query da1; print \e[5\;7H; query cpr; query osc10; query osc11; say asked; hang")
        .id;
    client.until_output(id, "asked");
    let output = String::from_utf8_lossy(&client.output(id)).into_owned();
    assert!(!output.contains("no answer"), "{output}");
    assert_eq!(output.matches("answer: ").count(), 4, "{output}");
    assert!(output.contains(r"answer: \x1b[5;7R"), "{output}");
    assert!(output.contains(r"answer: \x1b]11;rgb:"), "{output}");

    // With a controller attached its terminal answers, and the holder keeps quiet.
    let id = client.spawn_script("say ready; read; query da1; say asked; hang").id;
    let mut person = sandbox.attach(id);
    person.hello(controller(Attach::Screen, SIZE));
    person.output_until("ready");
    person.input(b"\n");
    person.output_until("\x1b[c");
    person.input(b"\x1b[?999c");
    client.until_output(id, "asked");
    let output = String::from_utf8_lossy(&client.output(id)).into_owned();
    assert!(output.contains(r"answer: \x1b[?999c"), "{output}");
}

/// Control changes hands as asked, told to both.
#[test]
fn control_is_given_taken_and_told() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn_script("say ready; read; repeat").id;
    let mut first = sandbox.attach(id);
    assert!(first.hello(controller(Attach::Nothing, SIZE)).control);
    let mut second = sandbox.attach(id);
    let mut hello = controller(Attach::Nothing, SIZE);
    hello.take = true;
    assert!(second.hello(hello).control, "take takes");
    first.expect("the loss is told", |frame| {
        matches!(frame, FromHolder::Control(change) if !change.you).then_some(())
    });
    second.send(&ToHolder::ReleaseControl).unwrap();
    first.send(&ToHolder::TakeControl).unwrap();
    first.expect("the gain is told", |frame| {
        matches!(frame, FromHolder::Control(change) if change.you).then_some(())
    });
    first.input(b"back\n");
    let mut viewer_of_all = sandbox.attach(id);
    viewer_of_all.hello(viewer(Attach::Offset(0)));
    viewer_of_all.output_until("got: back");
}

/// Two messages quickly, 2,000 times: order is kept and nothing is doubled. Without echo: the kernel may put the echo of
/// one line into the middle of another that is being written.
#[test]
fn two_messages_quickly() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id =
        client.call::<SessionSpawn>(&spawn(&["sh", "-c", "stty -echo; echo ready; exec cat"])).unwrap().id;
    until("cat is there", || client.output(id).starts_with(b"ready"));
    let mut typist = sandbox.attach(id);
    typist.hello(controller(Attach::Nothing, SIZE));
    for n in 0..2_000 {
        typist.input(format!("a{n}\n").as_bytes());
        typist.input(format!("b{n}\n").as_bytes());
    }
    let wanted: Vec<String> = (0..2_000).flat_map(|n| [format!("a{n}"), format!("b{n}")]).collect();
    until("every line came", || client.output(id).ends_with(b"b1999\r\n"));
    let output = String::from_utf8(client.output(id)).unwrap();
    assert!(output.lines().skip(1).eq(wanted.iter().map(String::as_str)), "each once, in order");
}
