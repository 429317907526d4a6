//! The daemon dies, in every way; its sessions do not, and the next daemon knows everything.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::api::method::{
    DaemonStatus, DaemonStop, DaemonStopParams, Empty, SendParams, SessionSend, SessionStop, StopParams,
};
use delight_proto::holder::{Attach, FromHolder};
use delight_proto::session::{Exit, Phase, Size};
use delight_tests::attached::{controller, viewer};
use delight_tests::{Sandbox, kernel, until};
use nix::sys::signal::Signal;

/// "An upgrade killed my sessions": the same processes, before and after.
#[test]
fn sessions_outlive_every_end_of_the_daemon() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let before = client.spawn_script("say one; read; say two; read; exit 9");
    let id = before.id;
    let ends: [fn(&Sandbox, delight_tests::daemon::Daemon); 4] = [
        |_, daemon| daemon.kill9(),
        |_, daemon| assert_eq!(daemon.terminate().code(), Some(0), "a polite end is a success"),
        |sandbox, daemon| {
            let answer =
                sandbox.client().call::<DaemonStop>(&DaemonStopParams { stop_sessions: false }).unwrap();
            assert_eq!((answer.left_running, answer.stopped), (1, 0));
            assert_eq!(daemon.ended().code(), Some(0));
        },
        |_, daemon| {
            kernel::signal(daemon.pid(), Signal::SIGABRT);
            daemon.ended();
        },
    ];
    let mut daemon = daemon;
    for end in ends {
        end(&sandbox, daemon);
        daemon = sandbox.start_daemon();
        let mut client = sandbox.client();
        let now = client.get(id);
        assert_eq!((now.phase, now.pid, now.generation), (Phase::Running, before.pid, 1));
        assert_eq!(now.holder, before.holder);
        assert_eq!(client.call::<DaemonStatus>(&Empty {}).unwrap().adopted, 1);
    }
    let mut client = sandbox.client();
    for _ in 0..2 {
        let data = BASE64_STANDARD.encode("go\n");
        client.call::<SessionSend>(&SendParams { session: id.to_string(), data, request_id: None }).unwrap();
    }
    let ended = client.wait(id, &[]);
    assert_eq!((ended.phase, ended.exit), (Phase::Exited, Some(Exit::Code(9))));
}

/// "It ended while the daemon was being upgraded and nobody knows how": the holder keeps the real status.
#[test]
fn an_exit_while_no_daemon_runs_is_known_afterwards() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let coded = client.spawn_script("read; lines 1000; exit 33").id;
    let crashed = client.spawn_script("read; crash ABRT").id;
    let mut terminals: Vec<_> = [coded, crashed].map(|id| sandbox.attach(id)).into_iter().collect();
    for terminal in &mut terminals {
        terminal.hello(controller(Attach::Screen, Size::default()));
    }
    daemon.kill9();
    for terminal in &mut terminals {
        terminal.input(b"\n");
        terminal.until_closed();
    }
    until("both holders have gone", || sandbox.holders().is_empty());
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let view = client.get(coded);
    assert_eq!((view.phase, view.exit), (Phase::Exited, Some(Exit::Code(33))));
    assert!(String::from_utf8(client.output(coded)).unwrap().ends_with("0000001000\r\n"));
    let view = client.get(crashed);
    assert_eq!((view.phase, view.exit), (Phase::Exited, Some(Exit::Signal(6))));
}

/// Attached people notice nothing of a daemon's restart.
#[test]
fn an_attached_client_keeps_typing_through_a_daemon_crash() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn_script("say ready; read; repeat").id;
    let mut terminal = sandbox.attach(id);
    terminal.hello(controller(Attach::Screen, Size::default()));
    terminal.output_until("ready");
    daemon.kill9();
    terminal.input(b"alone\n");
    terminal.output_until("got: alone");
    let _daemon = sandbox.start_daemon();
    terminal.input(b"again\n");
    terminal.output_until("got: again");
    let output = String::from_utf8(sandbox.client().output(id)).unwrap();
    assert_eq!(output.matches("got: alone").count(), 1);
}

/// "The health check kicked me out of my terminal": probes and viewers displace nobody.
#[test]
fn liveness_probe_does_not_displace_anyone() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn_script("say ready; read; repeat").id;
    let mut terminal = sandbox.attach(id);
    assert!(terminal.hello(controller(Attach::Screen, Size::default())).control);
    terminal.output_until("ready");
    for attach in [Attach::Nothing, Attach::Screen, Attach::Offset(0)] {
        let mut probe = sandbox.attach(id);
        assert!(!probe.hello(viewer(attach)).control);
    }
    let mut second = sandbox.attach(id);
    assert!(!second.hello(controller(Attach::Screen, Size::default())).control, "control is not stolen");
    terminal.input(b"mine\n");
    terminal.output_until("got: mine");
    second.input(b"not mine\n");
    second.expect("a refusal", |frame| matches!(frame, FromHolder::Refused(_)).then_some(()));
    assert!(!String::from_utf8(sandbox.client().output(id)).unwrap().contains("not mine"));
}

/// A holder that was killed takes its session along: told as what it is, never as "running".
#[test]
fn a_killed_holder_is_an_interrupted_session() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let seen = client.spawn_script("hang");
    let unseen = client.spawn_script("hang");
    let holder = |view: &delight_proto::session::SessionView| view.holder.as_ref().unwrap().process.pid;
    kernel::signal(holder(&seen), Signal::SIGKILL);
    let view = client.wait(seen.id, &[]);
    assert_eq!((view.phase, view.exit), (Phase::Interrupted, None), "nobody saw an exit status: {view:?}");
    assert!(!view.reason.is_empty());
    daemon.kill9();
    kernel::signal(holder(&unseen), Signal::SIGKILL);
    until("the holder is gone", || !kernel::alive(holder(&unseen)));
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let view = client.get(unseen.id);
    assert_eq!((view.phase, view.exit), (Phase::Interrupted, None), "{view:?}");
    assert!(!view.reason.is_empty());
}

/// A cleaner of /tmp or a log-out removed the runtime directory: the session is alive and must stay reachable.
#[test]
fn a_vanished_socket_is_made_again() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let before = sandbox.client().spawn_script("say ready; read; exit 6");
    daemon.kill9();
    std::fs::remove_dir_all(&sandbox.place().runtime).unwrap();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let now = client.get(before.id);
    assert_eq!((now.phase, now.pid), (Phase::Running, before.pid));
    let mut terminal = sandbox.attach(before.id);
    terminal.hello(controller(Attach::Screen, Size::default()));
    terminal.input(b"\n");
    assert_eq!(client.wait(before.id, &[]).exit, Some(Exit::Code(6)));
}

/// The file of the program is replaced while it runs: package managers do that (claude-code #84827).
#[test]
fn binary_replaced_under_daemon() {
    let sandbox = Sandbox::new();
    let programs = sandbox.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    for name in ["delightd", "delight-holder", "delight-fake-agent"] {
        std::fs::copy(delight_tests::binaries::program(name), programs.join(name)).unwrap();
    }
    let start = || {
        let command = sandbox.command(programs.join("delightd"));
        delight_tests::daemon::Daemon::start(command, sandbox.next_daemon_log(), sandbox.place())
    };
    let daemon = start();
    let old = sandbox.client().spawn_script("hang");
    for name in ["delightd", "delight-holder"] {
        let fresh = programs.join("fresh");
        std::fs::copy(delight_tests::binaries::program(name), &fresh).unwrap();
        std::fs::rename(&fresh, programs.join(name)).unwrap();
    }
    let mut client = sandbox.client();
    assert_eq!(client.get(old.id).phase, Phase::Running);
    let new = client.spawn_script("hang");
    daemon.terminate();
    let _daemon = start();
    let mut client = sandbox.client();
    for view in [old, new] {
        let now = client.get(view.id);
        assert_eq!((now.phase, now.pid), (Phase::Running, view.pid));
    }
}

/// Pids of another boot mean nothing: nobody is signalled, and the session says what happened to it.
#[test]
fn after_a_reboot_sessions_are_interrupted_and_nobody_is_signalled() {
    if !can_mount() {
        return;
    }
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let view = client.spawn_script("lines 100; hang");
    client.until_output(view.id, "0000000100");
    daemon.kill9();
    let holder = view.holder.as_ref().unwrap().process.pid;
    for pid in [holder, view.pid.unwrap()] {
        kernel::signal(pid, Signal::SIGKILL);
    }
    until("everything of the old boot is gone", || !kernel::alive(holder));
    // A daemon that sees another boot id: a private mount over the kernel's file, for it alone.
    let fake = sandbox.path().join("boot_id");
    std::fs::write(&fake, "11111111-2222-3333-4444-555555555555\n").unwrap();
    let mut command = sandbox.command("unshare");
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c"]);
    command.arg("mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"").arg(&fake);
    command.arg(delight_tests::binaries::program("delightd"));
    let _daemon = delight_tests::daemon::Daemon::start(command, sandbox.next_daemon_log(), sandbox.place());
    let mut client = sandbox.client();
    let now = client.get(view.id);
    assert_eq!(now.phase, Phase::Interrupted);
    assert!(now.reason.contains("reboot"), "{:?}", now.reason);
    assert!(String::from_utf8(client.output(view.id)).unwrap().contains("0000000100"), "its history is kept");
    client
        .call::<SessionStop>(&StopParams { session: view.id.to_string(), kill: true, grace_ms: None })
        .unwrap();
}

/// Whether this user may mount in a namespace of its own; says so when not.
fn can_mount() -> bool {
    let tried = std::process::Command::new("unshare").args(["--mount", "true"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: this user may not make a mount namespace (unshare --mount)");
    }
    can
}
