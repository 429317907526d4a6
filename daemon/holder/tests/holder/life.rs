//! Starting, ending, generations.

use std::collections::HashSet;

use delight_proto::holder::{Attach, FromHolder, Hello, Start, Stdio, ToHolder};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Exit;

use crate::rig::{Rig, hello, sh, until};

fn start_failure(start: Start) -> Refusal {
    let mut rig = Rig::new();
    rig.daemon.send(&ToHolder::Start(Box::new(start)));
    let refusal = rig.daemon.find("StartFailed", |f| match f {
        FromHolder::StartFailed(failed) => Some(failed.refusal.clone()),
        FromHolder::Started(started) => panic!("{started:?}"),
        _ => None,
    });
    // A failed start leaves a holder that can start something else.
    rig.start(sh("true"));
    assert_eq!(rig.exited().exit, Exit::Code(0));
    refusal
}

#[test]
fn what_is_typed_arrives_and_the_exit_status_is_real() {
    let (mut rig, started) = Rig::started(sh("read line; echo \"got $line\"; exit 7"));
    assert_eq!(started.generation, 1);
    let mut terminal = rig.controller(Attach::Offset(0));
    terminal.send(&ToHolder::Input { tag: 5, bytes: b"hello\n".to_vec() });
    terminal.find("InputDone", |f| matches!(f, FromHolder::InputDone { tag: 5 }).then_some(()));
    terminal.see("got hello\r\n");
    let exited = terminal.exited();
    assert_eq!((exited.exit, exited.survivors), (Exit::Code(7), 0));
    assert_eq!(exited.offset, terminal.seen.len() as u64, "the end comes after the last byte");
    assert_eq!(rig.exited(), exited);
    rig.wait_for_end();
    assert!(!rig.socket().exists(), "it takes its socket with it");
    let last = delight_journal::find_last(&rig.dir.path().join("journal"), |r| {
        r.kind == delight_proto::holder::journal::kind::MARK
    });
    let mark: delight_proto::holder::journal::Mark =
        serde_json::from_slice(&last.unwrap().unwrap().payload).unwrap();
    assert_eq!(mark, delight_proto::holder::journal::Mark::Exited(exited));
}

#[test]
fn a_runner_ended_by_a_signal_says_so() {
    let (mut rig, _) = Rig::started(sh("kill -SEGV $$"));
    assert_eq!(rig.exited().exit, Exit::Signal(11));
}

#[test]
fn the_environment_is_what_was_asked_for_and_signals_are_default() {
    let mut start = sh(
        "env | sort; trap; stty -a | head -1; tty; ls /proc/self/fd | tr '\\n' ' '; grep -E 'Sig(Blk|Ign)' /proc/self/status",
    );
    start.env.push(("DELIGHT_X".into(), "a=b c".into()));
    start.cwd = "/usr".into();
    let (mut rig, _) = Rig::started(start);
    let (mut viewer, _) = rig.attach(Attach::Offset(0));
    rig.exited();
    viewer.exited();
    let text = viewer.text();
    for want in [
        "DELIGHT_X=a=b c\r\n",
        "PWD=/usr\r\n",
        "rows 24; columns 80",
        "/dev/pts/",
        "SigBlk:\t0000000000000000",
    ] {
        assert!(text.contains(want), "{want:?} in {text}");
    }
    // 32 and 33 are the C library's own: it lets nobody touch them, and these tests may have been started with them.
    let ignored = text.split("SigIgn:\t").nth(1).and_then(|rest| u64::from_str_radix(&rest[..16], 16).ok());
    assert_eq!(ignored.map(|set| set & !0x1_8000_0000), Some(0), "{text}");
    assert!(text.contains("0 1 2 3 \r\n") || text.contains("0 1 2 3 Sig"), "no descriptor leaks: {text}");
    assert!(!text.contains("CARGO"), "nothing is inherited: {text}");
}

#[test]
fn a_start_that_fails_says_what_why_and_how_to_fix_it() {
    let named = |program: &str| Start { argv: vec![program.into()], ..sh("") };
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "x").unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::process::Command::new("chmod").arg("+x").arg(&script).status().unwrap();
    for (start, why) in [
        (named("no-such-program-anywhere"), "none of the directories of PATH"),
        (named("/no/such/program"), "no such file"),
        (named(plain.to_str().unwrap()), "not executable"),
        (named(script.to_str().unwrap()), "interpreter"),
        (named("/usr"), "is a directory"),
        (named(""), "no program"),
        (Start { argv: vec![], ..sh("") }, "no program"),
        (Start { cwd: "/no/such/dir".into(), ..sh("true") }, "does not exist"),
        (Start { cwd: "/etc/passwd".into(), ..sh("true") }, "not a directory"),
        (Start { cwd: "relative".into(), ..sh("true") }, "not an absolute path"),
        (Start { argv: vec!["true".into(), "a\0b".into()], ..sh("") }, "NUL"),
    ] {
        let refusal = start_failure(start);
        assert_eq!(refusal.code, Code::StartFailed);
        assert!(refusal.reason.contains(why), "{why}: {refusal:?}");
        assert!(!refusal.fix.is_empty(), "{refusal:?}");
    }
}

#[test]
fn pipes_keep_errors_apart() {
    let (mut rig, _) =
        Rig::started(Start { stdio: Stdio::Pipes, ..sh("cat; echo out; echo err >&2; exec >&-; exit 3") });
    let mut peer = rig.controller(Attach::Offset(0));
    // Nobody but the daemon may write into an agent's protocol.
    peer.type_in("not mine\n");
    assert_eq!(peer.refused().code, Code::Forbidden);
    // Standard input stays open, so `cat` ends by a signal from outside only.
    rig.daemon.type_in("in\n");
    peer.see("in\n");
    let cat = descendant_named(rig.holder.id(), "cat");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(cat as i32), nix::sys::signal::SIGKILL).unwrap();
    assert_eq!(peer.exited().exit, Exit::Code(3));
    assert_eq!(peer.text(), "in\nout\n");
    rig.wait_for_end();
    let journal = rig.dir.path().join("journal");
    let kind = delight_proto::holder::journal::kind::STDERR;
    assert!(
        delight_journal::find_last(&journal, |r| r.kind == kind && r.payload.ends_with(b"err\n"))
            .unwrap()
            .is_some()
    );
}

fn descendant_named(root: u32, name: &str) -> u32 {
    let mut found = None;
    until(name, || {
        let mut todo = vec![root];
        let mut seen = HashSet::new();
        while let Some(pid) = todo.pop() {
            if seen.insert(pid)
                && std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == name)
            {
                found = Some(pid);
            }
            let children =
                std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            todo.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn generations_follow_one_another_and_clients_stay() {
    let (mut rig, _) = Rig::started(Start { keep: true, ..sh("echo one") });
    let mut peer = rig.controller(Attach::Offset(0));
    assert_eq!(peer.exited().generation, 1);
    rig.exited();
    peer.type_in("nobody there");
    assert_eq!(peer.refused().code, Code::WrongState);
    rig.daemon.send(&ToHolder::Start(Box::new(sh("echo again"))));
    let failed = rig.daemon.find("StartFailed", |f| match f {
        FromHolder::StartFailed(failed) => Some(failed.refusal.code),
        _ => None,
    });
    assert_eq!(failed, Code::Conflict, "a generation is not used twice");
    let second = rig.start(Start { generation: 2, keep: true, ..sh("echo two; sleep 600") });
    assert_eq!(second.offset, 5);
    peer.see("one\r\ntwo\r\n");
    rig.daemon.send(&ToHolder::Close);
    assert_eq!(rig.daemon.refused().code, Code::WrongState, "something is alive");
    rig.daemon.send(&ToHolder::SignalTree { signal: 9 });
    let exited = rig.exited();
    assert_eq!((exited.generation, exited.exit), (2, Exit::Signal(9)));
    rig.daemon.tree_gone();
    rig.daemon.send(&ToHolder::Close);
    rig.wait_for_end();
}

#[test]
fn a_holder_nobody_wants_ends() {
    let mut rig = Rig::new();
    rig.daemon = crate::rig::Peer::new(std::os::unix::net::UnixStream::pair().unwrap().0);
    rig.wait_for_end();
    assert!(!rig.socket().exists());
}

#[test]
fn the_daemon_may_die_and_another_takes_over() {
    let (mut rig, started) = Rig::started(sh("echo up; read x; exit 4"));
    let (mut viewer, _) = rig.attach(Attach::Offset(0));
    viewer.see("up");
    let welcome = rig.another_daemon();
    assert_eq!(welcome.runner, Some(started));
    rig.daemon.type_in("\n");
    assert_eq!(rig.exited().exit, Exit::Code(4));
    rig.wait_for_end();
}

#[test]
fn sigterm_takes_no_session_with_it() {
    let (mut rig, _) = Rig::started(Start { keep: true, ..sh("read x; exit 2") });
    let holder = nix::unistd::Pid::from_raw(rig.holder.id() as i32);
    for signal in [nix::sys::signal::SIGTERM, nix::sys::signal::SIGHUP, nix::sys::signal::SIGINT] {
        nix::sys::signal::kill(holder, signal).unwrap();
    }
    rig.daemon.type_in("\n");
    assert_eq!(rig.exited().exit, Exit::Code(2));
    nix::sys::signal::kill(holder, nix::sys::signal::SIGTERM).unwrap();
    rig.wait_for_end();
}

#[test]
fn a_lost_socket_is_bound_again_and_a_taken_one_left_alone() {
    let (rig, _) = Rig::started(sh("sleep 600"));
    std::fs::remove_file(rig.socket()).unwrap();
    let holder = nix::unistd::Pid::from_raw(rig.holder.id() as i32);
    nix::sys::signal::kill(holder, nix::sys::signal::SIGUSR1).unwrap();
    until("the socket is back", || std::os::unix::net::UnixStream::connect(rig.socket()).is_ok());
    assert_eq!(rig.attach(Attach::Nothing).1.generation, 1);
    std::fs::remove_file(rig.socket()).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(rig.socket()).unwrap();
    nix::sys::signal::kill(holder, nix::sys::signal::SIGUSR1).unwrap();
    until("the refusal is logged", || rig.log().contains("another process listens there"));
}

#[test]
fn viewers_view_and_one_controls() {
    let (mut rig, _) = Rig::started(sh("stty -echo; echo ready; while read line; do stty size; done"));
    let mut first = rig.controller(Attach::Offset(0));
    first.see("ready");
    let (mut second, welcome) = rig.attach(Attach::Offset(0));
    assert!(!welcome.control);
    second.see("ready");
    second.type_in("not this");
    assert_eq!(second.refused().code, Code::Forbidden);
    second.send(&ToHolder::Resize(delight_proto::session::Size { cols: 20, rows: 5 }));
    assert_eq!(second.refused().code, Code::Forbidden);
    first.send(&ToHolder::Resize(delight_proto::session::Size { cols: 100, rows: 30 }));
    first.type_in("\n");
    first.see("30 100");
    second.find("Resized", |f| matches!(f, FromHolder::Resized(size) if size.cols == 100).then_some(()));
    second.send(&ToHolder::TakeControl);
    let by = first.find("Control", |f| match f {
        FromHolder::Control(change) => Some(change.clone()),
        _ => None,
    });
    assert_eq!((by.you, by.by.as_deref()), (false, Some("test")));
    second.type_in("\n");
    second.see("30 100\r\n30 100");
    first.send(&ToHolder::Input { tag: 3, bytes: b"x".to_vec() });
    first.find("InputFailed", |f| matches!(f, FromHolder::InputFailed { tag: 3, .. }).then_some(()));
    // The daemon sets the size only while nobody controls.
    rig.daemon.send(&ToHolder::Resize(delight_proto::session::Size { cols: 90, rows: 20 }));
    assert_eq!(rig.daemon.refused().code, Code::Forbidden);
    let mut third = rig.connect();
    assert!(
        !third.greet(Hello { control: true, ..hello(Attach::Nothing) }).control,
        "control is not displaced"
    );
    drop(second);
    third.find("Control", |f| matches!(f, FromHolder::Control(c) if c.by.is_none()).then_some(()));
    rig.daemon.send(&ToHolder::Resize(delight_proto::session::Size { cols: 90, rows: 20 }));
    first.find("Resized", |f| matches!(f, FromHolder::Resized(size) if size.cols == 90).then_some(()));
}

#[test]
fn only_the_daemon_starts_signals_and_closes() {
    let (rig, _) = Rig::started(sh("sleep 600"));
    let (mut peer, _) = rig.attach(Attach::Nothing);
    let start = Box::new(sh("true"));
    for frame in [
        ToHolder::Start(start.clone()),
        ToHolder::Prepare(start),
        ToHolder::SignalTree { signal: 9 },
        ToHolder::Close,
    ] {
        peer.send(&frame);
        assert_eq!(peer.refused().code, Code::Forbidden);
    }
}
