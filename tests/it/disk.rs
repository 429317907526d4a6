//! The disk is full, or gone: said, survived, and over when it is over.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use delight_proto::agent::{Control, RecordBody};
use delight_proto::api::method::{SessionStop, StopParams};
use delight_proto::event::EventBody;
use delight_proto::holder::Attach;
use delight_proto::session::{Phase, Size};
use delight_tests::attached::controller;
use delight_tests::{Sandbox, kernel, until};

/// A small file system of its own over the sandbox's sessions directory, visible to everybody; unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={bytes},mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "delight-test"]).arg(&at).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(at));
        }
        println!("skipped: this user may not mount a tmpfs");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a holder that is about to be ended may still have a file open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// "The disk filled up over night and everything hung": the session goes on, its owner is told, and told when it is over.
#[test]
fn a_full_disk_is_told_and_survived() {
    let sandbox = Sandbox::new();
    let Some(disk) = SmallDisk::mount(sandbox.place().sessions(), 6 << 20) else { return };
    let daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("say ready; read; lines 20000; say printed; repeat").id;
    let mut terminal = sandbox.attach(id);
    terminal.hello(controller(Attach::Screen, Size::default()));
    terminal.output_until("ready");
    let filler = disk.0.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    // Until it is full to the last byte.
    let chunk = vec![0u8; 4096];
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
    drop(file);

    terminal.input(b"\n");
    terminal.output_until("printed");
    until("the owner is told", || !client.get(id).warnings.is_empty());
    let view = client.get(id);
    assert_eq!(view.phase, Phase::Running);
    assert!(
        view.warnings.concat().to_lowercase().contains("disk") || view.warnings.concat().contains("space"),
        "{view:?}"
    );

    // Room again: what comes now is kept, and what was lost is told as lost.
    std::fs::remove_file(&filler).unwrap();
    until("it is told that it is over", || {
        terminal.input(b"\n");
        terminal.output_until("printed");
        client.get(id).warnings.is_empty()
    });
    let journal = client.journal(id);
    let lost: u64 = journal
        .iter()
        .filter_map(|record| match record.body {
            delight_proto::api::method::OutputBody::Lost { bytes } => Some(bytes),
            _ => None,
        })
        .sum();
    assert!(lost > 0, "the gap is in the journal as a gap");
    client.until_output_tail(id, "printed");
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    assert_eq!(sandbox.client().get(id).phase, Phase::Running);
}

/// "The disk filled up over night": what an agent said meanwhile is taken in when there is room again, once and in order;
/// where the journal itself had no room, the gap is told.
#[test]
fn a_talkative_agent_on_a_full_disk_is_heard_when_there_is_room_again() {
    const LINES: u64 = 20_000;
    let sandbox = Sandbox::new();
    let Some(disk) = SmallDisk::mount(sandbox.place().sessions(), 12 << 20) else { return };
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![0u8; 8 << 20]).unwrap();
    client.prompt(id, &format!("do lines {LINES}; say end")).unwrap();
    until("the disk is full", || !client.get(id).warnings.is_empty());
    let view = client.get(id);
    assert_eq!(view.phase, Phase::Running);
    let (mut before, mut looks) = (None, 0);
    until("the agent has said all, and only its words wait", || {
        let now = Some(kernel::cpu_ms(view.pid.unwrap()));
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
        looks > 20
    });
    std::fs::remove_file(&filler).unwrap();
    client.until_said(id, "end");
    until("it is told that it is over", || client.get(id).warnings.is_empty());
    let mut next = 1;
    let mut gap_told = false;
    for event in client.events(id) {
        match &event.body {
            EventBody::Skipped { .. } => gap_told = true,
            EventBody::Recorded { record, .. } => match &record.body {
                RecordBody::Text { text } if text == "end" => assert!(next == LINES + 1 || gap_told),
                RecordBody::Text { text } => {
                    let number: u64 = text.parse().unwrap();
                    assert!(number == next || (number > next && gap_told), "{number} comes, not {next}");
                    (next, gap_told) = (number + 1, false);
                }
                RecordBody::Notice { message } => panic!("{message}"),
                _ => {}
            },
            _ => {}
        }
    }
    // It still converses, and ends.
    client.prompt(id, "still there?").unwrap();
    client.until_said(id, "got: still there?");
    client.stop(id, false);
    until("nothing of it is left", || sandbox.runners().is_empty());
}

/// A full disk is in nobody's way who wants it to end.
#[test]
fn an_agent_on_a_full_disk_can_be_stopped() {
    let sandbox = Sandbox::new();
    let Some(disk) = SmallDisk::mount(sandbox.place().sessions(), 6 << 20) else { return };
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_fake(Control::Remote, &[]);
    std::fs::write(disk.0.join("filler"), vec![0u8; 4 << 20]).unwrap();
    client.prompt(id, "do say go; flood").unwrap();
    until("the disk is full", || !client.get(id).warnings.is_empty());
    let params = StopParams { session: id.to_string(), kill: true, grace_ms: None };
    // It is done, or refused because that could not be stored: either way nothing of it runs on.
    let answer = client.call::<SessionStop>(&params);
    assert!(answer.as_ref().is_ok_and(|view| !view.phase.is_live()) || answer.is_err(), "{answer:?}");
    until("nothing of it is left", || sandbox.runners().is_empty());
    until("its end is known", || !client.get(id).phase.is_live());
}

/// Somebody deleted the session's directory: it goes on, and says so.
#[test]
fn a_vanished_journal_directory_is_survived() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let id = client.spawn_script("say ready; read; repeat").id;
    let mut terminal = sandbox.attach(id);
    terminal.hello(controller(Attach::Screen, Size::default()));
    terminal.output_until("ready");
    std::fs::remove_dir_all(sandbox.place().session(id).join("journal")).unwrap();
    terminal.input(b"one\n");
    terminal.output_until("got: one");
    terminal.input(b"two\n");
    terminal.output_until("got: two");
    assert_eq!(client.get(id).phase, Phase::Running);
}

/// A store of a newer version, a broken one, and one record that cannot be read: refused, refused, set aside.
#[test]
fn a_corrupt_store_is_refused_and_never_written_over() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn(&["sleep", "1000"]).id;
    daemon.kill9();
    let registry = sandbox.place().registry();
    let copy = |from: &std::path::Path| -> Vec<(PathBuf, Vec<u8>)> {
        let (mut found, mut next) = (Vec::new(), vec![from.to_owned()]);
        while let Some(path) = next.pop() {
            if path.is_dir() {
                next.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            }
        }
        found
    };
    let whole = copy(&registry);
    for (path, bytes) in &whole {
        if !bytes.is_empty() {
            std::fs::write(path, b"this is not a store".repeat(bytes.len() / 19 + 1)).unwrap();
        }
    }
    let broken = copy(&registry);
    let log = sandbox.next_daemon_log();
    let command = sandbox.command(delight_tests::binaries::program("delightd"));
    let daemon = delight_tests::daemon::Daemon::launch(command, log.clone());
    assert!(!daemon.ended().success(), "a broken store must not be served");
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains(registry.to_str().unwrap()), "it says which store: {said}");
    assert_eq!(copy(&registry), broken, "it was written over");
    // With the real one back, everything is as before.
    for (path, bytes) in &whole {
        std::fs::write(path, bytes).unwrap();
    }
    let _daemon = sandbox.start_daemon();
    assert_eq!(sandbox.client().get(id).phase, Phase::Running);
}
