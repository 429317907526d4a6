//! Attaching: what reaches whom, and that the terminal is always put back.

use std::os::unix::net::UnixListener;

use delight_proto::holder::message::ControlChange;
use delight_proto::holder::{Exited, FromHolder, ToHolder};
use delight_proto::session::{Exit, Phase, SessionView, Size};
use nix::sys::signal::Signal;

use crate::scripted::{Holder, Place, accept, daemon_with, session};
use crate::terminal::{Terminal, eventually};

/// A client attached to a scripted session.
struct Attached {
    terminal: Terminal,
    holder: Holder,
    listener: UnixListener,
    session: SessionView,
    _place: Place,
}

fn attach(arguments: &[&str], control: bool) -> Attached {
    let place = Place::new();
    let session = session(&place, Phase::Running);
    daemon_with(&place, &session);
    let listener = UnixListener::bind(place.holder_socket(session.id)).unwrap();
    let terminal = Terminal::run(&place, &[&["attach", "web"], arguments].concat());
    let mut holder = accept(&listener, &session, control);
    let bytes = b"the screen".to_vec();
    holder.say(&FromHolder::Screen { offset: 0, size: Size::default(), more: false, bytes });
    terminal.wait_for("the screen");
    assert!(terminal.is_raw());
    Attached { terminal, holder, listener, session, _place: place }
}

#[test]
fn keys_go_in_output_comes_out_and_detaching_restores_the_terminal() {
    let mut a = attach(&[], true);
    a.terminal.type_keys(b"ls\r\x03\x1a");
    a.holder.typed(b"ls\r\x03\x1a");
    a.holder.output(b"file\r\n");
    a.terminal.wait_for("file\r\n");
    a.terminal.type_keys(b"x\x1c");
    a.holder.typed(b"x");
    let all = a.terminal.wait_for("detached; it is still running: delightctl attach web");
    assert!(all.contains("\x1b[?1049l") && all.contains("\x1b[?2004l"), "modes are not reset: {all:?}");
    assert_eq!(a.terminal.ended(), 0);
    assert!(a.terminal.is_restored());
}

#[test]
fn a_size_change_is_told_before_the_keys_after_it() {
    let mut a = attach(&[], true);
    a.terminal.resize(40, 100);
    a.terminal.type_keys(b"k");
    let want = Size { cols: 100, rows: 40 };
    assert_eq!(a.holder.next(), Some(ToHolder::Resize(want)));
    a.holder.typed(b"k");
}

#[test]
fn raw_mode_restored_on_any_exit() {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129), (Signal::SIGINT, 130)] {
        let mut a = attach(&[], true);
        a.terminal.signal(signal);
        assert_eq!(a.terminal.ended(), status, "{signal}");
        assert!(a.terminal.is_restored(), "{signal}");
    }
    let mut a = attach(&[], true);
    a.terminal.signal(Signal::SIGKILL);
    a.terminal.ended();
    eventually("the guard restores the terminal", || a.terminal.is_restored());
    a.terminal.wait_for("\x1b[23;0t");
    let mut a = attach(&[], true);
    drop(a.holder);
    assert_eq!(a.terminal.ended(), 1);
    assert!(a.terminal.is_restored());
}

#[test]
fn the_end_of_the_command_is_told_after_its_last_output() {
    for (arguments, status) in [(&[][..], 0), (&["--exit-status"][..], 3)] {
        let mut a = attach(arguments, true);
        a.holder.output(b"last words\r\n");
        let exited =
            Exited { generation: 1, exit: Exit::Code(3), at_ms: 0, offset: 0, survivors: 0, unwritten: 0 };
        a.holder.say(&FromHolder::Exited(exited));
        assert_eq!(a.terminal.ended(), status);
        let all = a.terminal.wait_for("ended: exit status 3");
        assert!(all.find("last words") < all.find("ended: exit status 3"));
        assert!(a.terminal.is_restored());
    }
}

#[test]
fn a_watcher_sends_no_keys_and_is_told_so() {
    let mut a = attach(&["--view"], false);
    a.terminal.type_keys(b"typed\x1c");
    a.terminal.wait_for("what you typed was not sent");
    assert_eq!(a.terminal.ended(), 0);
    assert_eq!(a.holder.next(), None);
}

#[test]
fn control_is_taken_when_it_becomes_free_and_the_size_goes_with_it() {
    let mut a = attach(&[], false);
    a.holder.say(&FromHolder::Control(ControlChange { you: false, by: None }));
    assert_eq!(a.holder.next(), Some(ToHolder::TakeControl));
    a.holder.say(&FromHolder::Control(ControlChange { you: true, by: Some("me".to_owned()) }));
    assert_eq!(a.holder.next(), Some(ToHolder::Resize(Size { cols: 80, rows: 24 })));
    a.terminal.type_keys(b"k");
    a.holder.typed(b"k");
}

#[test]
#[cfg(target_os = "linux")]
fn stopped_and_continued_the_terminal_is_lent_and_taken_back() {
    let mut a = attach(&[], true);
    a.terminal.signal(Signal::SIGTSTP);
    eventually("the terminal is lent", || a.terminal.is_restored());
    assert_eq!(a.holder.next(), None);
    eventually("the client stops", || a.terminal.is_stopped());
    a.terminal.signal(Signal::SIGCONT);
    let mut again = accept(&a.listener, &a.session, true);
    again.output(b"fresh picture");
    a.terminal.wait_for("fresh picture");
    assert!(a.terminal.is_raw());
    a.terminal.type_keys(b"\x1c");
    assert_eq!(a.terminal.ended(), 0);
    assert!(a.terminal.is_restored());
}

#[test]
#[cfg(target_os = "linux")]
fn asked_to_end_while_stopped_it_ends_when_continued() {
    let mut a = attach(&[], true);
    a.terminal.signal(Signal::SIGTSTP);
    eventually("the client stops", || a.terminal.is_stopped());
    a.terminal.signal(Signal::SIGTERM);
    a.terminal.signal(Signal::SIGCONT);
    assert_eq!(a.terminal.ended(), 128 + Signal::SIGTERM as u32);
    assert!(a.terminal.is_restored());
}

#[test]
fn another_detach_key_and_none() {
    let mut a = attach(&["--detach-key", "ctrl-q"], true);
    a.terminal.type_keys(b"\x1c\x11");
    a.holder.typed(b"\x1c");
    assert_eq!(a.terminal.ended(), 0);
    let mut a = attach(&["--detach-key", "none"], true);
    a.terminal.type_keys(b"\x1c\x11");
    a.holder.typed(b"\x1c\x11");
    a.terminal.signal(Signal::SIGTERM);
    a.terminal.ended();
}

#[test]
fn without_a_daemon_the_holder_is_attached_to_directly() {
    let place = Place::new();
    let session = session(&place, Phase::Running);
    let listener = UnixListener::bind(place.holder_socket(session.id)).unwrap();
    let mut terminal = Terminal::run(&place, &["attach", session.id.short()]);
    let mut holder = accept(&listener, &session, true);
    holder.output(b"hello");
    terminal.wait_for("hello");
    terminal.type_keys(b"\x1c");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn large_output_arrives_whole() {
    let mut a = attach(&[], true);
    let mut sum = 0;
    for n in 0..200 {
        let bytes = format!("{n:05} {}\r\n", "x".repeat(60_000));
        sum += bytes.len();
        a.holder.output(bytes.as_bytes());
    }
    a.holder.output(b"the end");
    let all = a.terminal.wait_for("the end");
    let begin = all.find("00000 x").unwrap();
    assert_eq!(all[begin..].find("the end").unwrap(), sum);
}
