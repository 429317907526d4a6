//! Many clients, slow clients, rude clients, and a journal that has every byte.

use std::io::Read;
use std::time::Duration;

use delight_journal::{Item, Reader};
use delight_proto::holder::journal::{Mark, kind};
use delight_proto::holder::{Attach, FromHolder, Hello, ToHolder};
use delight_proto::refusal::Code;
use delight_proto::session::Exit;

use crate::rig::{Rig, hello, sh, until};

/// Numbered lines as a terminal shows them.
fn numbered(count: usize) -> Vec<u8> {
    (1..=count).map(|n| format!("{n}\r\n")).collect::<String>().into_bytes()
}

/// Everything the journal says the runner wrote, and how many bytes it says are lost.
fn journaled(rig: &Rig) -> (Vec<u8>, u64) {
    let mut reader = Reader::open(rig.dir.path().join("journal"));
    let (mut all, mut lost) = (Vec::new(), 0);
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Record(record) if record.kind == kind::OUTPUT => all.extend_from_slice(record.payload),
            Item::Record(record) if record.kind == kind::LOST => lost += record.advance,
            Item::Record(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (all, lost)
}

#[test]
fn every_byte_of_a_flood_is_journaled_and_seen() {
    let count = 300_000;
    let (mut rig, _) = Rig::started(sh(&format!("read go; stty -echo; seq 1 {count}")));
    let (mut a, _) = rig.attach(Attach::Offset(0));
    let (mut b, _) = rig.attach(Attach::Offset(0));
    rig.daemon.type_in("\n");
    let exited = a.exited();
    assert_eq!(b.exited(), exited);
    let mut want = b"\r\n".to_vec();
    want.extend(numbered(count));
    assert_eq!(exited.offset as usize, want.len());
    assert!(a.seen == want, "the first client saw other bytes");
    assert!(b.seen == want, "the second client saw other bytes");
    rig.exited();
    rig.wait_for_end();
    assert!(journaled(&rig).0 == want, "the journal has other bytes");
}

#[test]
fn a_client_that_stops_reading_slows_nobody_and_costs_nothing() {
    let count = 1_500_000;
    let (mut rig, _) = Rig::started(sh(&format!("read go; stty -echo; seq 1 {count}; echo done; read end")));
    let (mut stalled, _) = rig.attach(Attach::Offset(0));
    let (mut fast, _) = rig.attach(Attach::Offset(0));
    let before = private_kib(rig.holder.id());
    rig.daemon.type_in("\n");
    fast.see_at_end("done\r\n");
    let after = private_kib(rig.holder.id());
    assert!(after < before + 3_000, "private memory grew from {before} to {after} KiB");
    // The one that stalled gets all of it when it reads on: from the journal.
    stalled.see_at_end("done\r\n");
    assert!(stalled.seen == fast.seen);
    assert!(stalled.lost.is_empty());
    rig.daemon.type_in("\n");
    assert_eq!(rig.exited().exit, Exit::Code(0));
}

fn private_kib(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    rollup
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

#[test]
fn a_client_that_stalls_at_the_end_does_not_keep_the_holder() {
    let (mut rig, _) = Rig::started(sh("read go; seq 1 400000"));
    let (_stalled, _) = rig.attach(Attach::Offset(0));
    rig.daemon.type_in("\n");
    rig.exited();
    rig.wait_for_end();
}

#[test]
fn what_retention_dropped_is_told() {
    let mut rig = Rig::with(200 << 10, |_| {});
    rig.start(sh("seq 1 200000; echo end; read x"));
    let (mut viewer, _) = rig.attach(Attach::Offset(0));
    viewer.see_at_end("end\r\n");
    let (mut late, welcome) = rig.attach(Attach::Offset(0));
    assert!(welcome.start_offset > 0);
    late.see_at_end("end\r\n");
    assert_eq!(late.lost, [(0, welcome.start_offset)]);
    assert_eq!(late.from, Some(welcome.start_offset));
    assert_eq!(late.seen.len() as u64, welcome.end_offset - welcome.start_offset);
}

#[test]
fn a_daemon_killed_in_a_flood_loses_nothing() {
    let count = 400_000;
    let (mut rig, _) = Rig::started(sh(&format!("stty -echo; echo go; seq 1 {count}; read x")));
    let mut whole = b"go\r\n".to_vec();
    whole.extend(numbered(count));
    let mut offset = 0;
    let mut all = Vec::new();
    while all.len() < whole.len() {
        // Read a little, go away without a word, come back where we were.
        let welcome = rig.another_daemon();
        assert!(welcome.end_offset >= offset);
        let (mut viewer, _) = rig.attach(Attach::Offset(offset));
        while viewer.seen.len() < 700_000 && all.len() + viewer.seen.len() < whole.len() {
            viewer.next().unwrap();
        }
        assert!(viewer.lost.is_empty());
        offset += viewer.seen.len() as u64;
        all.extend_from_slice(&viewer.seen);
    }
    assert!(all == whole);
    rig.daemon.type_in("\n");
    rig.exited();
}

#[test]
fn input_waits_for_a_runner_that_does_not_read_and_none_is_lost() {
    let (rig, _) = Rig::started(sh(
        "stty raw -echo; echo ready; read -r x < /dev/null; sleep 1; head -c 3000000 | cksum",
    ));
    let mut typist = rig.controller(Attach::Offset(0));
    typist.see("ready");
    let chunk: Vec<u8> = (0..60_000u32).map(|n| (n % 251) as u8).collect();
    let mut sender = typist.clone_stream();
    let sent = chunk.clone();
    let feeder = std::thread::spawn(move || {
        for tag in 1..=50u64 {
            sender.send(&ToHolder::Input { tag, bytes: sent.clone() });
        }
    });
    // While the typist is held back, the daemon is heard, and is refused rather than held back.
    let mut done = 0;
    typist.find("InputDone 50", |f| {
        if let FromHolder::InputDone { tag } = f {
            done += 1;
            assert_eq!(*tag, done, "in order");
        }
        (done == 50).then_some(())
    });
    feeder.join().unwrap();
    let all: Vec<u8> = chunk.iter().copied().cycle().take(3_000_000).collect();
    let file = rig.dir.path().join("sent");
    std::fs::write(&file, &all).unwrap();
    let want =
        std::process::Command::new("cksum").stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    typist.exited();
    let want = String::from_utf8(want.stdout).unwrap();
    assert!(typist.text().contains(want.trim()), "{} in {}", want.trim(), typist.text());
}

#[test]
fn the_daemon_can_end_a_runner_that_reads_nothing() {
    let (mut rig, _) = Rig::started(sh("stty raw -echo; echo ready; sleep 600"));
    let (mut viewer, _) = rig.attach(Attach::Offset(0));
    viewer.see("ready");
    for tag in 1..=40 {
        rig.daemon.send(&ToHolder::Input { tag, bytes: vec![b'x'; 60_000] });
    }
    let refused = rig.daemon.find("InputFailed", |f| match f {
        FromHolder::InputFailed { refusal, .. } => Some(refusal.clone()),
        _ => None,
    });
    assert_eq!((refused.code, refused.retry), (Code::Busy, true));
    rig.daemon.send(&ToHolder::SignalTree { signal: 9 });
    rig.daemon.find("InputFailed", |f| match f {
        FromHolder::InputFailed { refusal, .. } if refusal.code == Code::WrongState => Some(()),
        _ => None,
    });
    assert_eq!(rig.exited().exit, Exit::Signal(9));
}

#[test]
fn input_is_journaled_before_its_effect() {
    let (mut rig, _) = Rig::started(sh("read line; echo \"<$line>\""));
    rig.daemon.type_in("word\n");
    rig.exited();
    rig.wait_for_end();
    let mut reader = Reader::open(rig.dir.path().join("journal"));
    let mut kinds = Vec::new();
    while let Some(Item::Record(record)) = reader.next_item().unwrap() {
        kinds.push((record.kind, record.payload.to_vec()));
    }
    let at = |wanted: u8, part: &[u8]| {
        kinds.iter().position(|(k, bytes)| *k == wanted && crate::rig::contains(bytes, part)).unwrap()
    };
    assert!(at(kind::INPUT, b"word\n") < at(kind::OUTPUT, b"<word>"));
    assert!(at(kind::MARK, b"\"started\"") < at(kind::INPUT, b"word\n"));
    let last = kinds.last().unwrap();
    assert!(matches!(serde_json::from_slice::<Mark>(&last.1).unwrap(), Mark::Exited(_)));
}

#[test]
fn rude_connections_are_refused_and_closed() {
    let (rig, _) = Rig::started(sh("sleep 600"));
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[1, 0, 0, 0, 255, 255, 255, 127],
        &[0x77, 0, 0, 0, 0, 0, 0, 0],
        &[4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 1, 0],
    ] {
        let mut peer = rig.connect();
        peer.raw(bytes);
        assert_eq!(peer.refused().code, Code::BadRequest);
        assert!(peer.next().is_none(), "and closed");
    }
    let mut old = rig.connect();
    old.send(&ToHolder::Hello(Hello { version: 0, ..hello(Attach::Nothing) }));
    assert_eq!(old.refused().code, Code::VersionSkew);
    // Half a frame is waited for, and others are served meanwhile.
    let mut half = rig.connect();
    half.raw(&[1, 0, 0, 0, 200, 0]);
    assert_eq!(rig.attach(Attach::Nothing).1.generation, 1);
    assert_eq!(half.refused().code, Code::Timeout, "until its time is over");
    assert!(half.next().is_none());
}

#[test]
fn a_newer_clients_optional_frames_are_skipped() {
    let (rig, _) = Rig::started(sh("sleep 600"));
    let (mut peer, _) = rig.attach(Attach::Nothing);
    peer.raw(&[0x70, 2, 0, 0, 3, 0, 0, 0, 1, 2, 3]);
    peer.send(&ToHolder::Close);
    assert_eq!(peer.refused().code, Code::Forbidden, "the connection lives");
}

#[test]
fn more_clients_than_allowed_wait_for_their_turn() {
    let (rig, _) = Rig::started(sh("sleep 600"));
    // The daemon's connection is one of the 64.
    let mut crowd: Vec<_> = (0..63).map(|_| rig.attach(Attach::Nothing).0).collect();
    let mut next = rig.connect();
    next.send(&ToHolder::Hello(hello(Attach::Nothing)));
    assert!(!next.has_something(), "it waits");
    crowd.pop();
    next.find("Welcome", |f| matches!(f, FromHolder::Welcome(_)).then_some(()));
}

#[test]
fn nothing_happens_while_nothing_happens() {
    let (rig, _) = Rig::started(sh("sleep 600"));
    let (_viewer, _) = rig.attach(Attach::Screen);
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", rig.holder.id())).unwrap();
        let count = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        count("voluntary_ctxt_switches")
    };
    // Whatever the start has set in motion comes to rest …
    let mut last = switches();
    until("rest", || {
        std::thread::sleep(Duration::from_millis(200));
        std::mem::replace(&mut last, switches()) == last
    });
    // … and stays at rest. There is no condition to wait for: that nothing happens takes time to see.
    let (mut a, mut b) = std::os::unix::net::UnixStream::pair().unwrap();
    a.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert!(a.read(&mut [0]).is_err(), "two seconds have passed");
    b.set_nonblocking(true).unwrap();
    assert!(b.read(&mut [0]).is_err());
    assert_eq!(switches(), last, "the holder woke up");
}
