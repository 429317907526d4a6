//! A full disk and a vanished journal: the session goes on, says so, and says when it is over.

use std::path::Path;
use std::process::Command;

use delight_journal::{Item, Reader};
use delight_proto::holder::journal::kind;
use delight_proto::holder::{Attach, FromHolder};
use delight_proto::session::Exit;

use crate::rig::{Peer, Rig, sh};

fn troubles(peer: &mut Peer, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    peer.find("Trouble", |f| match f {
        FromHolder::Trouble(trouble) if wanted(&trouble.troubles) => Some(trouble.troubles.clone()),
        _ => None,
    })
}

/// A small file system of its own for a journal; `None` where that is not allowed.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, bytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let place = tempfile::tempdir().unwrap();
    let journal = place.path().join("journal");
    let Some(_disk) = SmallDisk::mount(&journal, 256 << 10) else {
        println!("skipped: this user may not mount a tmpfs");
        return;
    };
    let mut rig =
        Rig::with(64 << 20, |dir| std::os::unix::fs::symlink(&journal, dir.join("journal")).unwrap());
    rig.start(sh("read go; stty -echo; seq 1 100000; echo full; read x; echo freed; read x; exit 6"));
    let (mut viewer, _) = rig.attach(Attach::Offset(0));
    rig.daemon.type_in("\n");
    viewer.see_at_end("full\r\n");
    assert_eq!(&viewer.seen[..5], b"\r\n1\r\n");
    assert!(viewer.lost.is_empty(), "a client that keeps up misses nothing: {:?}", viewer.lost);
    let told = troubles(&mut rig.daemon, |t| !t.is_empty());
    assert!(told[0].contains("cannot be written") && told[0].contains("No space"), "{told:?}");
    // Somebody who comes now is told, and of the gap too.
    let (mut late, welcome) = rig.attach(Attach::Offset(0));
    assert_eq!(welcome.troubles.len(), 1);
    late.find("Lost", |f| match f {
        FromHolder::Lost { to, .. } => (*to == welcome.end_offset).then_some(()),
        _ => None,
    });
    // Room again: it is noticed without any help, and written down.
    assert!(Command::new("mount").args(["-o", "remount,size=16m"]).arg(&journal).status().unwrap().success());
    troubles(&mut rig.daemon, <[String]>::is_empty);
    rig.daemon.type_in("\n");
    viewer.see("freed\r\n");
    late.see("freed\r\n");
    rig.daemon.type_in("\n");
    let exited = rig.exited();
    assert_eq!(exited.exit, Exit::Code(6));
    rig.wait_for_end();
    let mut reader = Reader::open(&journal);
    let (mut at, mut gap) = (0, 0);
    while let Some(item) = reader.next_item().unwrap() {
        let Item::Record(record) = item else { panic!("{item:?}") };
        assert_eq!(record.position, at);
        at += record.advance;
        gap += if record.kind == kind::LOST { record.advance } else { 0 };
    }
    assert_eq!(at, exited.offset, "offsets and journal agree");
    assert_eq!(gap, late.lost.iter().map(|(from, to)| to - from).sum::<u64>(), "and what was told");
}

#[test]
fn a_journal_that_vanishes_is_begun_again() {
    let (mut rig, _) = Rig::started(sh("echo one; read x; echo two; read x"));
    let (mut viewer, _) = rig.attach(Attach::Offset(0));
    viewer.see("one\r\n");
    std::fs::remove_dir_all(rig.dir.path().join("journal")).unwrap();
    rig.daemon.type_in("\n");
    viewer.see("two\r\n");
    let told = troubles(&mut rig.daemon, |t| !t.is_empty());
    assert!(told[0].contains("vanished"), "{told:?}");
    let (mut late, welcome) = rig.attach(Attach::Offset(0));
    assert!(welcome.start_offset >= 5);
    late.see("two\r\n");
    assert_eq!(late.lost, [(0, welcome.start_offset)]);
    rig.daemon.type_in("\n");
    rig.exited();
    rig.wait_for_end();
}

#[test]
fn an_exit_that_could_not_be_written_waits_for_a_daemon() {
    let (mut rig, _) = Rig::started(sh("read x; exit 3"));
    let journal = rig.dir.path().join("journal");
    std::fs::remove_dir_all(&journal).unwrap();
    std::fs::write(&journal, "in the way").unwrap();
    rig.daemon.type_in("\n");
    assert_eq!(rig.exited().exit, Exit::Code(3));
    let welcome = rig.another_daemon();
    assert_eq!(welcome.exited.map(|exited| exited.exit), Some(Exit::Code(3)));
    assert!(welcome.troubles[0].contains("cannot be written"), "{:?}", welcome.troubles);
    rig.daemon.send(&delight_proto::holder::ToHolder::Close);
    rig.wait_for_end();
}
