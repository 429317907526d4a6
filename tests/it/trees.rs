//! Stopping means the whole tree of processes, and proves it.

use std::collections::BTreeSet;
use std::time::Instant;

use delight_proto::api::method::{
    DaemonStop, DaemonStopParams, SessionResume, SessionSpawn, SessionStop, StopParams,
};
use delight_proto::id::SessionId;
use delight_proto::session::{Exit, Phase};
use delight_tests::api::{Client, one, spawn};
use delight_tests::{Sandbox, kernel, until};

fn stop(
    client: &mut Client,
    id: SessionId,
    kill: bool,
    grace_ms: Option<u64>,
) -> delight_proto::session::SessionView {
    client.call::<SessionStop>(&StopParams { session: id.to_string(), kill, grace_ms }).expect("it stops")
}

/// Numbers behind a word in a session's output.
fn numbers(client: &mut Client, id: SessionId, word: &str) -> BTreeSet<u32> {
    let output = String::from_utf8(client.output(id)).unwrap();
    output.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).collect()
}

/// "Stopped the session, and three days later its dev server still had the port" (happy #1693).
#[test]
fn orphan_grandchild_reaped() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("fork 5; daemon; daemon; say all up; hang").id;
    client.until_output(id, "all up");
    let mut tree = numbers(&mut client, id, "forked: ");
    tree.extend(numbers(&mut client, id, "daemon: "));
    assert_eq!(tree.len(), 7);
    assert!(tree.iter().all(|pid| kernel::alive(*pid)));
    let view = stop(&mut client, id, false, None);
    // The answer itself is the proof: no waiting between it and this look.
    assert!(!tree.iter().any(|pid| kernel::alive(*pid)), "stop answered while something lived");
    assert_eq!(view.phase, Phase::Stopped);
    assert_eq!(sandbox.runners(), []);
}

/// "It does not react to stop": politeness ends in force, and the wait is as long as was asked.
#[test]
fn cancel_ignored_escalates_visibly() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("ignore TERM HUP INT; fork 2; daemon; say stubborn; hang").id;
    client.until_output(id, "stubborn");
    let began = Instant::now();
    let mut stopper = sandbox.client();
    let params = StopParams { session: id.to_string(), kill: false, grace_ms: Some(700) };
    let number = stopper.send::<SessionStop>(&params).unwrap();
    let view = client.wait(id, &[Phase::Stopping]);
    assert_eq!(view.phase, Phase::Stopping);
    let view = stopper.answer_to::<SessionStop>(number).unwrap().unwrap();
    assert!(began.elapsed().as_millis() >= 700, "force came before the grace was over");
    assert_eq!((view.phase, view.exit), (Phase::Stopped, Some(Exit::Signal(9))));
    assert_eq!(sandbox.runners(), []);
}

/// A kill during a polite stop does not wait for the grace; both callers are answered.
#[test]
fn kill_during_stop_escalates_at_once() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("ignore TERM HUP INT; say stubborn; hang").id;
    client.until_output(id, "stubborn");
    let mut polite = sandbox.client();
    let params = StopParams { session: id.to_string(), kill: false, grace_ms: Some(600_000) };
    let number = polite.send::<SessionStop>(&params).unwrap();
    client.wait(id, &[Phase::Stopping]);
    stop(&mut client, id, true, None);
    let view = polite.answer_to::<SessionStop>(number).unwrap().unwrap();
    assert_eq!(view.phase, Phase::Stopped);
}

/// An interactive shell ignores SIGTERM; stopping it must not take the whole grace.
#[test]
fn an_interactive_shell_is_stopped_politely() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let mut params = spawn(&["bash", "--norc", "-i"]);
    params.stop_grace_ms = Some(20_000);
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    until("the shell shows its prompt", || !client.output(id).is_empty());
    let began = Instant::now();
    stop(&mut client, id, false, None);
    assert!(began.elapsed().as_millis() < 10_000, "the shell was waited for and then killed");
}

/// A stopped (SIGSTOP) process can be stopped too.
#[test]
fn a_suspended_tree_is_stopped() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let view = client.spawn_script("say up; hang");
    client.until_output(view.id, "up");
    kernel::signal(view.pid.unwrap(), nix::sys::signal::Signal::SIGSTOP);
    until("it is suspended", || kernel::process(view.pid.unwrap()).is_some_and(|p| p.state == 'T'));
    let view = stop(&mut client, view.id, false, None);
    assert_eq!(view.phase, Phase::Stopped);
    assert_eq!(sandbox.runners(), []);
}

/// The runner has gone and a background process of it has not: the session says so and stop still finds it.
#[test]
fn survivors_of_an_exit_are_told_and_can_be_stopped() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("daemon; exit 8").id;
    let view = client.wait(id, &[Phase::Exited]);
    assert_eq!(view.exit, Some(Exit::Code(8)));
    let survivor = numbers(&mut client, id, "daemon: ").pop_first().unwrap();
    assert!(kernel::alive(survivor), "an exit by itself does not end what the user left running");
    until("the survivor is told", || !client.get(id).warnings.is_empty());
    // The next daemon knows them too.
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    assert_eq!(client.get(id).exit, Some(Exit::Code(8)));
    stop(&mut client, id, false, None);
    assert!(!kernel::alive(survivor));
    until("its holder has nothing to hold any more", || sandbox.holders().is_empty());
}

/// A process number that was reused belongs to somebody else.
#[test]
fn pid_reuse_never_signalled() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let view = client.spawn_script("hang");
    let (holder, runner) = (view.holder.unwrap().process.pid, view.pid.unwrap());
    daemon.kill9();
    for pid in [holder, runner] {
        kernel::signal(pid, nix::sys::signal::Signal::SIGKILL);
    }
    until("both are gone", || kernel::process(holder).is_none() && kernel::process(runner).is_none());
    // Innocent bystanders with the very same numbers, where the kernel lets us choose them.
    let Some(mut bystanders) = bystanders(&sandbox, &[holder, runner]) else {
        println!("skipped: this user may not choose process numbers (/proc/sys/kernel/ns_last_pid)");
        return;
    };
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    assert_eq!(client.get(view.id).phase, Phase::Interrupted);
    stop(&mut client, view.id, true, None);
    let resumed = client.call::<SessionResume>(&one(view.id)).unwrap();
    assert_ne!(resumed.pid, Some(runner));
    stop(&mut client, view.id, true, None);
    for bystander in &mut bystanders {
        assert_eq!(bystander.try_wait().unwrap(), None, "an innocent process was signalled");
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}

/// Starts a harmless process under each of these process numbers; `None` where that cannot be done.
fn bystanders(sandbox: &Sandbox, pids: &[u32]) -> Option<Vec<std::process::Child>> {
    let mut found = Vec::new();
    for pid in pids {
        let mut hit = None;
        // Other processes may take the number first; a few tries are enough on any machine that is not a fork storm.
        for _ in 0..50 {
            std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
            let mut child = sandbox.command("sleep").arg("1000").spawn().unwrap();
            if child.id() == *pid {
                hit = Some(child);
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        found.push(hit?);
    }
    Some(found)
}

/// `down --all`: everything ends before the answer.
#[test]
fn stopping_the_daemon_with_its_sessions_leaves_nothing() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    for _ in 0..5 {
        client.spawn_script("daemon; hang");
    }
    let answer = client.call::<DaemonStop>(&DaemonStopParams { stop_sessions: true }).unwrap();
    assert_eq!((answer.left_running, answer.stopped), (0, 5));
    assert_eq!(daemon.ended().code(), Some(0));
    sandbox.ends_empty();
}
