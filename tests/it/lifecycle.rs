//! One session's life through the control API.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::api::method::{
    Change, DaemonStatus, Empty, EventsParams, RenameParams, SendParams, SessionEvents, SessionRef,
    SessionRemove, SessionRename, SessionResume, SessionSend, SessionSpawn, SessionStop, SessionWait,
    StopParams, Subscribe, SubscribeParams, WaitParams,
};
use delight_proto::event::EventBody;
use delight_proto::id::{RequestId, SessionId, SessionName};
use delight_proto::refusal::Code;
use delight_proto::session::{Desired, Exit, Phase, RestartPolicy};
use delight_tests::api::{Client, Line, one, spawn};
use delight_tests::{Sandbox, kernel, until, until_some};

fn stop(id: SessionId, kill: bool) -> StopParams {
    StopParams { session: id.to_string(), kill, grace_ms: None }
}

fn send(id: SessionId, bytes: &[u8]) -> SendParams {
    SendParams { session: id.to_string(), data: BASE64_STANDARD.encode(bytes), request_id: None }
}

/// "It lies: shown running when it is not": the status must be the child's own.
#[test]
fn exit_updates_registry() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 42", Exit::Code(42)),
        ("crash KILL", Exit::Signal(9)),
        ("crash SEGV", Exit::Signal(11)),
    ] {
        let id = client.spawn_script(&format!("pause 50; {script}")).id;
        let ended = client.wait(id, &[]);
        assert_eq!((ended.phase, ended.exit), (Phase::Exited, Some(exit)), "{script}");
        assert_eq!(ended.pid, None, "{script}");
    }
    until("ended sessions leave no process", || sandbox.holders().is_empty() && sandbox.runners().is_empty());
}

/// "`spawn` printed an id and nothing was running": the answer comes when the program has been executed, or says why not.
#[test]
fn spawn_failure_returns_no_id() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let file = sandbox.path().join("not-executable");
    std::fs::write(&file, "text").unwrap();
    let path = file.to_str().unwrap();
    for (command, cwd, says) in [
        (vec!["no-such-program-anywhere"], "/", "no-such-program-anywhere"),
        (vec!["/no/such/program"], "/", "/no/such/program"),
        (vec![path], "/", "not-executable"),
        (vec!["true"], "/no/such/directory", "/no/such/directory"),
        (vec!["true"], path, "not-executable"),
        (vec!["true"], "relative", "absolute"),
    ] {
        let mut params = spawn(&command);
        params.cwd = cwd.to_owned();
        let refusal = client.call::<SessionSpawn>(&params).expect_err("nothing can have started");
        let all = format!("{refusal} {}", refusal.fix);
        assert!(all.contains(says), "{command:?} in {cwd}: {refusal:?}");
        assert!(!refusal.reason.is_empty() && !refusal.fix.is_empty(), "what, why, fix: {refusal:?}");
    }
    for view in client.list() {
        assert!(!view.phase.is_live(), "{view:?}");
    }
    until("failed spawns leave no process", || sandbox.holders().is_empty());
}

/// "Retried the request after a timeout and got two agents" (happy #1399).
#[test]
fn a_spawn_with_the_same_request_id_is_the_same_session() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut params = spawn(&["sleep", "1000"]);
    params.request_id = Some("order-66".parse::<RequestId>().unwrap());
    let mut clients: Vec<Client> = (0..8).map(|_| sandbox.client()).collect();
    let numbers: Vec<u64> = clients.iter_mut().map(|c| c.send::<SessionSpawn>(&params).unwrap()).collect();
    let mut ids: Vec<_> = clients
        .iter_mut()
        .zip(numbers)
        .map(|(client, number)| client.answer_to::<SessionSpawn>(number).unwrap().unwrap().id)
        .collect();
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    ids.push(client.call::<SessionSpawn>(&params).unwrap().id);
    ids.dedup();
    assert_eq!(ids.len(), 1, "one request, one session, also after a crash");
    assert_eq!(client.list().len(), 1);
    assert_eq!(sandbox.holders().len(), 1);
    assert_eq!(sandbox.runners().len(), 1);
}

#[test]
fn two_concurrent_resumes_one_process() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn(&["sleep", "1000"]).id;
    client.call::<SessionStop>(&stop(id, true)).unwrap();
    let mut clients: Vec<Client> = (0..6).map(|_| sandbox.client()).collect();
    let numbers: Vec<u64> = clients.iter_mut().map(|c| c.send::<SessionResume>(&one(id)).unwrap()).collect();
    for (client, number) in clients.iter_mut().zip(numbers) {
        match client.answer_to::<SessionResume>(number).unwrap() {
            Ok(view) => assert_eq!((view.phase, view.generation), (Phase::Running, 2)),
            // One that came after the session ran again.
            Err(refusal) => assert_eq!(refusal.code, Code::WrongState),
        }
    }
    assert_eq!(sandbox.runners().len(), 1);
    assert_eq!(sandbox.holders().len(), 1);
}

/// "Resume restarted it in the wrong directory with the wrong command" (Dispatch trap 6).
#[test]
fn resume_uses_stored_spec() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let agent = delight_tests::binaries::program("delight-fake-agent");
    let mut params = spawn(&[agent.to_str().unwrap(), "--script", "cwd; env COLOUR; size; read"]);
    params.cwd = sandbox.home().to_str().unwrap().to_owned();
    params.env.insert("COLOUR".to_owned(), "blue".to_owned());
    params.size = delight_proto::session::Size { cols: 101, rows: 37 };
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    client.until_output(id, "size: 101x37");
    client.call::<SessionStop>(&stop(id, false)).unwrap();
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let resumed = until_some("it is resumed", || match client.call::<SessionResume>(&one(id)) {
        Ok(view) => Some(view),
        // Its old holder may be about to end: then the answer is to try again.
        Err(refusal) if refusal.retry => None,
        Err(refusal) => panic!("{refusal:?}"),
    });
    assert_eq!(resumed.generation, 2);
    let wanted = [&format!("cwd: {}", sandbox.home().display()), "COLOUR=blue", "size: 101x37"];
    until("both generations printed the same", || {
        let output = String::from_utf8(client.output(id)).unwrap();
        wanted.iter().all(|line| output.matches(*line).count() == 2)
    });
}

#[test]
fn wait_returns_when_child_crashed() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let view = client.spawn_script("hang");
    let mut waiter = sandbox.client();
    let wait =
        WaitParams { session: view.id.to_string(), phases: vec![], activity: Vec::new(), timeout_ms: None };
    let number = waiter.send::<SessionWait>(&wait).unwrap();
    kernel::signal(view.pid.unwrap(), nix::sys::signal::Signal::SIGABRT);
    let ended = waiter.answer_to::<SessionWait>(number).unwrap().unwrap();
    assert_eq!((ended.phase, ended.exit), (Phase::Exited, Some(Exit::Signal(6))));
}

#[test]
fn wait_gives_up_when_told_to() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn(&["sleep", "1000"]).id;
    let wait =
        WaitParams { session: id.to_string(), phases: vec![], activity: Vec::new(), timeout_ms: Some(50) };
    assert_eq!(client.call::<SessionWait>(&wait).unwrap_err().code, Code::Timeout);
    assert_eq!(client.get(id).phase, Phase::Running);
}

/// "The last lines before the crash were missing" (Dispatch trap 9).
#[test]
fn tail_after_close_is_kept() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    for _ in 0..5 {
        let id = client.spawn_script("lines 5000; say the very last words; exit 3").id;
        client.wait(id, &[]);
        let output = String::from_utf8(client.output(id)).unwrap();
        assert_eq!(output.lines().count(), 5001);
        assert!(output.ends_with("the very last words\r\n"), "{:?}", &output[output.len() - 80..]);
    }
}

/// "Asking for the logs gave a number instead of my text" (Dispatch trap 5).
#[test]
fn bytes_that_look_like_json_roundtrip() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script(r#"print true\n5\n{"exit":0}\n\x00\xff\xfe"#).id;
    client.wait(id, &[]);
    assert_eq!(client.output(id), b"true\r\n5\r\n{\"exit\":0}\r\n\x00\xff\xfe");
}

#[test]
fn events_are_numbered_from_one_without_a_gap_also_across_restarts() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("read; exit 5").id;
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    client.call::<SessionSend>(&send(id, b"go\n")).unwrap();
    client.wait(id, &[]);
    let params = EventsParams { session: id.to_string(), after: 0, limit: 1000 };
    let told = client.call::<SessionEvents>(&params).unwrap();
    let numbers: Vec<u64> = told.events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=told.last).collect::<Vec<_>>());
    assert_eq!(told.first, 1);
    assert!(matches!(told.events[0].body, EventBody::Spawned { .. }), "first_event_is_replayed");
    let has = |wanted: fn(&EventBody) -> bool| told.events.iter().any(|event| wanted(&event.body));
    assert!(has(|e| matches!(e, EventBody::Started { generation: 1, .. })));
    assert!(has(|e| matches!(e, EventBody::Adopted { generation: 1 })));
    assert!(has(|e| matches!(e, EventBody::InputSent { bytes: 3, .. })));
    assert!(has(|e| matches!(e, EventBody::Exited { generation: 1, exit: Exit::Code(5) })));
    assert_eq!(client.get(id).last_seq, told.last);
}

#[test]
fn sent_text_arrives_once_and_in_order() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    // Raw, so that the terminal's echo does not come between the lines.
    let id = client.spawn_script("raw; say ready; read; repeat").id;
    client.until_output(id, "ready");
    // As many at once as a session is willing to remember, and then some more.
    for wave in 0..10 {
        let words = (wave * 20..).take(20).map(|n| send(id, format!("word-{n:03}\n").as_bytes()));
        let numbers: Vec<u64> = words.map(|word| client.send::<SessionSend>(&word).unwrap()).collect();
        for number in numbers {
            assert_eq!(client.answer_to::<SessionSend>(number).unwrap().unwrap().bytes, 9);
        }
    }
    client.until_output(id, "got: word-199");
    let output = String::from_utf8(client.output(id)).unwrap();
    let got: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix("got: ")).collect();
    let wanted: Vec<String> = (0..200).map(|n| format!("word-{n:03}")).collect();
    assert_eq!(got, wanted);
}

#[test]
fn what_cannot_be_done_in_a_state_is_refused_with_a_way_out() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn(&["sleep", "1000"]).id;
    for refusal in [
        client.call::<SessionResume>(&one(id)).unwrap_err(),
        client.call::<SessionRemove>(&one(id)).unwrap_err(),
    ] {
        assert_eq!(refusal.code, Code::WrongState);
        assert!(!refusal.fix.is_empty(), "{refusal:?}");
    }
    client.call::<SessionStop>(&stop(id, false)).unwrap();
    let stopped = client.get(id);
    assert_eq!((stopped.phase, stopped.desired), (Phase::Stopped, Desired::Stopped));
    // Stopping what is stopped is no error.
    client.call::<SessionStop>(&stop(id, false)).unwrap();
    assert_eq!(client.call::<SessionSend>(&send(id, b"x")).unwrap_err().code, Code::WrongState);
    client.call::<SessionRemove>(&one(id)).unwrap();
    assert_eq!(client.call::<SessionRemove>(&one(id)).unwrap_err().code, Code::NotFound);
    assert!(!sandbox.place().session(id).exists(), "a removed session leaves no files");
}

#[test]
fn sessions_are_found_by_prefix_name_and_last() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let first = client.spawn(&["sleep", "1000"]).id;
    let last = client.spawn(&["sleep", "1001"]).id;
    let rename = |name: Option<&str>| RenameParams {
        session: first.to_string(),
        name: name.map(|name| name.parse::<SessionName>().unwrap()),
    };
    client.call::<SessionRename>(&rename(Some("web.api"))).unwrap();
    for (text, id) in [("web.api", first), ("@last", last), (&first.as_str()[..8], first)] {
        let reference = SessionRef { session: text.to_owned() };
        let got = client.call::<delight_proto::api::method::SessionGet>(&reference).unwrap();
        assert_eq!(got.id, id, "{text}");
    }
    for text in ["", "abc", "nobody", "@first", "../x", &"z".repeat(5000)] {
        let reference = SessionRef { session: text.to_owned() };
        let refusal = client.call::<delight_proto::api::method::SessionGet>(&reference).unwrap_err();
        assert!(
            matches!(refusal.code, Code::NotFound | Code::BadParams | Code::Ambiguous),
            "{text:.20}: {refusal:?}"
        );
    }
    // A name is unique while somebody has it, and free again afterwards.
    let mut taken = spawn(&["sleep", "1000"]);
    taken.name = Some("web.api".parse().unwrap());
    assert_eq!(client.call::<SessionSpawn>(&taken).unwrap_err().code, Code::Conflict);
    client.call::<SessionRename>(&rename(None)).unwrap();
    assert_eq!(client.call::<SessionSpawn>(&taken).unwrap().name, taken.name);
}

#[test]
fn a_subscriber_is_told_every_change_in_order() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut watcher = sandbox.client();
    watcher.call::<Subscribe>(&SubscribeParams { session: None }).unwrap();
    let mut client = sandbox.client();
    let id = client.spawn_script("pause 30; exit 4").id;
    client.wait(id, &[]);
    client.call::<SessionRemove>(&one(id)).unwrap();
    let mut phases = Vec::new();
    loop {
        match watcher.read().unwrap() {
            Line::Change(Change::Session { session }) => phases.push(session.phase),
            Line::Change(Change::Removed { id: removed }) => {
                assert_eq!(removed, id);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    phases.dedup();
    assert_eq!(phases, [Phase::Starting, Phase::Running, Phase::Exited]);
}

#[test]
fn a_failing_session_is_restarted_within_its_budget() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let agent = delight_tests::binaries::program("delight-fake-agent");
    let mut params = spawn(&[agent.to_str().unwrap(), "--script", "say again; exit 1"]);
    params.restart = RestartPolicy::OnFailure;
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    until("it runs a second time", || client.get(id).generation >= 2);
    let view = client.wait(id, &[Phase::BackingOff]);
    assert!(!view.reason.is_empty(), "it says when the next try is: {view:?}");
    // A stop during the wait ends it for good.
    client.call::<SessionStop>(&stop(id, false)).unwrap();
    assert_eq!(client.get(id).phase, Phase::Stopped);
    // One that succeeds is not restarted.
    let mut fine = spawn(&["true"]);
    fine.restart = RestartPolicy::OnFailure;
    let id = client.call::<SessionSpawn>(&fine).unwrap().id;
    assert_eq!(client.wait(id, &[]).phase, Phase::Exited);
    assert_eq!(client.get(id).generation, 1);
}

#[test]
fn status_counts_what_there_is() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    client.spawn(&["sleep", "1000"]);
    let done = client.spawn(&["true"]).id;
    client.wait(done, &[]);
    let status = client.call::<DaemonStatus>(&Empty {}).unwrap();
    assert_eq!(status.sessions.get(&Phase::Running), Some(&1));
    assert_eq!(status.sessions.get(&Phase::Exited), Some(&1));
    assert_eq!(status.quarantined, Vec::<String>::new());
    assert_eq!(status.pid, client.daemon().pid);
    assert_eq!(status.socket, sandbox.place().control_socket().to_str().unwrap());
}

/// "Everything I create in there is unreadable for my group": the daemon's own caution is not the session's.
#[test]
fn a_session_has_the_users_own_umask_and_signals() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("/bin/sh");
    command.arg("-c").arg("umask 0027; exec \"$0\" \"$@\"").arg(delight_tests::binaries::program("delightd"));
    let _daemon = delight_tests::daemon::Daemon::start(command, sandbox.next_daemon_log(), sandbox.place());
    let mut client = sandbox.client();
    let id = client.spawn_script("umask; pid").id;
    client.wait(id, &[]);
    let output = String::from_utf8(client.output(id)).unwrap();
    assert!(output.contains("umask: 0027"), "{output}");
    let id = client.spawn(&["/bin/sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status"]).id;
    client.wait(id, &[]);
    let output = String::from_utf8(client.output(id)).unwrap();
    for line in output.lines() {
        let (_, mask) = line.rsplit_once('\t').unwrap();
        // Signals 32 and 33 belong to the C library, which lets nobody set them.
        let ordinary = u64::from_str_radix(mask.trim(), 16).unwrap() & !(0b11 << 31);
        assert_eq!(ordinary, 0, "an inherited signal disposition: {output}");
    }
}

/// A session must find nothing of delight's insides: no descriptor, no variable meant for the daemon.
#[test]
fn a_session_inherits_no_descriptor_and_no_inside_variable() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn(&["/bin/sh", "-c", "ls -1 /proc/$$/fd; env; echo end"]).id;
    client.wait(id, &[]);
    let output = String::from_utf8(client.output(id)).unwrap();
    let descriptors: Vec<&str> =
        output.lines().take_while(|line| line.bytes().all(|b| b.is_ascii_digit())).collect();
    // dash keeps 10 for its own terminal handling when interactive; a script has the three.
    assert_eq!(descriptors, ["0", "1", "2"], "{output}");
    for line in output.lines().filter(|line| line.starts_with("DELIGHT_")) {
        assert_eq!(line, format!("DELIGHT_SESSION_ID={id}"));
    }
    assert!(output.contains(&format!("DELIGHT_SESSION_ID={id}")), "{output}");
    assert!(output.contains("TERM="), "{output}");
    for inside in ["NOTIFY_SOCKET=", "LISTEN_FDS=", "WATCHDOG_USEC="] {
        assert!(!output.contains(inside), "{output}");
    }
}
