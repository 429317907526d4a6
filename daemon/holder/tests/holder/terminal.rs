//! What a client that attaches sees, and what a program that asks is told.

use delight_proto::holder::journal::Mark;
use delight_proto::holder::{Attach, FromHolder, Hello, Start, ToHolder};
use delight_proto::session::Size;

use crate::rig::{Peer, Rig, hello, sh};

fn screen(peer: &mut Peer) -> (u64, Size, Vec<u8>) {
    let mut all = Vec::new();
    peer.find("Screen", |f| match f {
        FromHolder::Screen { offset, size, more, bytes } => {
            all.extend_from_slice(bytes);
            (!more).then_some((*offset, *size, all.clone()))
        }
        _ => None,
    })
}

fn rows(size: Size, bytes: &[u8]) -> Vec<String> {
    let side = |n: u16| std::num::NonZeroU16::new(n).unwrap();
    let mut parser = vt100::Parser::new(side(size.rows), side(size.cols), 0);
    parser.process(bytes);
    parser.screen().rows(0, size.cols).collect()
}

#[test]
fn a_screen_shows_what_is_to_be_seen_however_much_came_before() {
    let (rig, _) = Rig::started(sh("seq 1 50000; printf '\\033[31mred\\033[0m prompt> '; read x"));
    let (mut watcher, _) = rig.attach(Attach::Offset(0));
    watcher.see_at_end("prompt> ");
    let (mut viewer, welcome) = rig.attach(Attach::Screen);
    let (offset, size, bytes) = screen(&mut viewer);
    assert_eq!(offset, welcome.end_offset);
    assert_eq!(size, Size { cols: 80, rows: 24 });
    assert!(bytes.len() < 4_000, "the cost is that of the screen: {} bytes", bytes.len());
    let rows = rows(size, &bytes);
    assert_eq!(rows[0], "49978");
    assert_eq!(rows[22], "50000");
    assert_eq!(rows[23].trim_end(), "red prompt>");
}

#[test]
fn a_client_sees_what_follows_its_screen_and_no_byte_twice() {
    let (mut rig, _) = Rig::started(sh("stty -echo; echo before; read x; echo after; read x"));
    let (mut first, _) = rig.attach(Attach::Offset(0));
    first.see("before");
    let (mut second, _) = rig.attach(Attach::Screen);
    let (offset, ..) = screen(&mut second);
    rig.daemon.type_in("\n");
    second.see("after\r\n");
    assert_eq!(second.from, Some(offset));
    assert_eq!(second.text(), "after\r\n");
}

#[test]
fn the_welcome_comes_first_and_the_journal_knows_the_size_at_a_start() {
    let (mut rig, _) = Rig::started(Start { size: Size { cols: 120, rows: 40 }, ..sh("read x") });
    let mut peer = rig.connect();
    peer.send(&ToHolder::Hello(Hello { control: true, take: true, ..hello(Attach::Screen) }));
    assert!(matches!(peer.next(), Some(FromHolder::Welcome(welcome)) if welcome.control));
    let mut reader = delight_journal::Reader::open(rig.dir.path().join("journal"));
    let Some(delight_journal::Item::Record(first)) = reader.next_item().unwrap() else { panic!() };
    let mark = serde_json::from_slice(first.payload).unwrap();
    assert_eq!(Mark::Resized { size: Size { cols: 120, rows: 40 } }, mark);
    rig.daemon.type_in("\n");
    rig.exited();
}

#[test]
fn the_size_is_the_controllers() {
    let (rig, _) = Rig::started(sh("stty -echo; echo up; read x; stty size; read x"));
    let mut desk = rig.connect();
    let size = Size { cols: 132, rows: 40 };
    let welcome = desk.greet(Hello { control: true, size: Some(size), ..hello(Attach::Screen) });
    assert_eq!(welcome.size, size);
    let mut phone = rig.connect();
    let small = Size { cols: 40, rows: 10 };
    let welcome = phone.greet(Hello { size: Some(small), ..hello(Attach::Screen) });
    assert_eq!(welcome.size, size, "a viewer does not shrink it");
    desk.type_in("\n");
    desk.see("40 132");
}

/// Prints a question in two halves (`|` is the seam), and what comes back to it.
fn ask(question: &str) -> String {
    let (first, second) = question.split_once('|').unwrap();
    format!(
        "stty raw -echo; printf '{first}'; sleep 0.1; printf '{second}'; timeout --foreground 1 cat | od -An -c; \
         stty sane; echo; echo asked; read x"
    )
}

#[test]
fn questions_are_answered_while_no_terminal_is_attached() {
    for (question, answer) in [
        ("\\033|[c", "033   [   ?   6   2   ;   2   2   c"),
        ("\\033[|5n", "033   [   0   n"),
        ("\\033[6;9Hxy\\033[|6n", "033   [   6   ;   1   1   R"),
        ("\\033]1|1;?\\007", "r   g   b   :   0   0   0   0"),
        ("\\033[?2004|$p", "033   [   ?   2   0   0   4   ;   2   $   y"),
    ] {
        let (rig, _) = Rig::started(sh(&ask(question)));
        let (mut viewer, _) = rig.attach(Attach::Offset(0));
        viewer.see("asked");
        let text: Vec<String> = viewer.text().lines().map(|line| line.trim().to_owned()).collect();
        let text = text.join("   ");
        assert!(text.contains(answer), "{question}: {text}");
    }
}

#[test]
fn a_terminal_that_controls_answers_for_itself() {
    let (mut rig, _) = Rig::started(sh(
        "stty raw -echo; read -r x; printf '\\033[c'; timeout --foreground 1 cat | od -An -c; stty sane; echo; echo asked; read x",
    ));
    let mut terminal = rig.controller(Attach::Screen);
    terminal.type_in("\n");
    terminal.see("\x1b[c");
    terminal.send(&ToHolder::Input { tag: 0, bytes: b"MINE".to_vec() });
    terminal.see("asked");
    let text = terminal.text();
    assert!(text.contains("M   I   N   E"), "{text}");
    assert!(!text.contains("033   ["), "nobody else has answered: {text}");
    drop(terminal);
    rig.daemon.type_in("\n");
    rig.exited();
}

#[test]
fn a_new_generation_gets_a_clean_terminal_and_clients_see_it() {
    let keep = |script: &str, generation| Start { generation, keep: true, ..sh(script) };
    let (mut rig, _) = Rig::started(keep("printf 'left\\033[?1049h\\033[?1000h\\033[?25linside'; read x", 1));
    let (mut watcher, _) = rig.attach(Attach::Offset(0));
    watcher.see("inside");
    let (mut viewer, _) = rig.attach(Attach::Screen);
    screen(&mut viewer);
    rig.daemon.type_in("\n");
    rig.exited();
    rig.start(keep("echo second; read x", 2));
    let (_, size, bytes) = screen(&mut viewer);
    let mut parser = vt100::Parser::default();
    parser.process(&bytes);
    assert!(!parser.screen().alternate_screen() && !parser.screen().hide_cursor());
    assert_eq!(parser.screen().mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    assert_eq!(rows(size, &bytes)[0].trim_end(), "left");
    viewer.see("second");
}
