use std::io::BufRead;
use std::process::{Command, Stdio};

use delight_proto::event::EventBody;
use delight_proto::refusal::Code;
use delight_proto::session::{Desired, Origin, Phase};

use super::*;

pub(super) fn id(n: u8) -> SessionId {
    SessionId::from_random([n; 10])
}

pub(super) fn record(n: u8) -> Record {
    Record {
        id: id(n),
        name: None,
        request_id: None,
        spec: serde_json::from_value(serde_json::json!({"kind": "pty", "cwd": "/", "command": ["x"]}))
            .unwrap(),
        origin: Origin::Daemon,
        created_ms: 1,
        desired: Desired::Running,
        phase: Phase::Running,
        reason: String::new(),
        since_ms: 2,
        generation: 1,
        holder: None,
        exit: None,
        last_seq: 0,
        restarts: 0,
        agent: delight_proto::agent::AgentMemory::default(),
    }
}

pub(super) fn event(seq: u64) -> Event {
    Event { seq, at_ms: seq, offset: 0, body: EventBody::Adopted { generation: 1 } }
}

pub(super) fn place(base: &std::path::Path) -> Place {
    let place = Place { state: base.join("s"), runtime: base.join("r"), config: base.join("c") };
    crate::paths::prepare(&place).unwrap();
    place
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path());
    let (store, contents) = open(&place).unwrap();
    assert!(contents.sessions.is_empty());
    store.commit(id(1), vec![Write::Append(event(1)), Write::Save(Box::new(record(1)))]).await.unwrap();
    store.commit(id(1), vec![Write::Append(event(2))]).await.unwrap();
    store.close().await;
    drop(store);
    let (_store, contents) = open(&place).unwrap();
    let [stored] = &contents.sessions[..] else { panic!("{contents:?}") };
    assert_eq!(stored.record, record(1));
    assert_eq!(stored.log_seq, 2);
    assert_eq!(stored.tail, [event(1), event(2)], "the record was saved at number 0");
}

/// An agent that says much fills segment after segment and has its record saved along the way: none of it is lost, and a
/// store that has ended has made all of it durable.
#[tokio::test]
async fn what_is_made_durable_beside_the_commits_is_there_after_a_restart() {
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path());
    let (store, _) = open(&place).unwrap();
    store.commit(id(1), vec![Write::Save(Box::new(record(1)))]).await.unwrap();
    for seq in 1..=2_000 {
        let mut writes = vec![Write::Append(event(seq))];
        if seq % 256 == 0 {
            writes.push(Write::Checkpoint(Box::new(Record { last_seq: seq, ..record(1) })));
        }
        store.commit(id(1), writes).await.unwrap();
    }
    store.close().await;
    drop(store);
    assert!(fs_entries(&events_dir(&place, id(1))) > 2, "segments became full");
    let (_store, contents) = open(&place).unwrap();
    let [stored] = &contents.sessions[..] else { panic!("{contents:?}") };
    assert_eq!((stored.record.last_seq, stored.log_seq), (1_792, 2_000));
    assert_eq!(stored.tail.len(), 208);
}

fn fs_entries(dir: &std::path::Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn every_file_is_the_owners_alone_and_sessions_keep_their_umask() {
    use std::os::unix::fs::MetadataExt;
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path());
    let (store, _) = open(&place).unwrap();
    let mut large = record(1);
    large.spec.command.push("x".repeat(600 << 10));
    store.commit(id(1), vec![Write::Append(event(1)), Write::Save(Box::new(large))]).await.unwrap();
    let mut dirs = vec![place.state.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let found = entry.metadata().unwrap();
            assert_eq!(found.mode() & 0o077, 0, "{}", entry.path().display());
            if found.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    let ours = std::fs::read_to_string("/proc/self/status").unwrap();
    let parents =
        std::fs::read_to_string(format!("/proc/{}/status", std::os::unix::process::parent_id())).unwrap();
    let umask = |text: &str| text.lines().find(|line| line.starts_with("Umask")).map(str::to_owned);
    assert_eq!(umask(&ours), umask(&parents));
}

#[tokio::test]
async fn a_gap_is_refused_and_does_not_poison_the_log() {
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path());
    let (store, _) = open(&place).unwrap();
    store.commit(id(1), vec![Write::Append(event(1))]).await.unwrap();
    for wrong in [1, 3] {
        let failed = store
            .commit(id(1), vec![Write::Append(event(wrong)), Write::Save(Box::new(record(1)))])
            .await
            .unwrap_err();
        assert_eq!((failed.refusal.code, failed.log_seq), (Code::Storage, 1));
    }
    store.commit(id(1), vec![Write::Append(event(2))]).await.unwrap();
    assert_eq!(read_events(&place, id(1), 0, 10).unwrap().events, [event(1), event(2)]);
    store.close().await;
    drop(store);
    assert!(
        !open(&place).unwrap().1.sessions.iter().any(|stored| stored.record.id == id(1)),
        "its record was not saved"
    );
}

/// After a power cut numbers of events are used again: what the server was sent under them must not stand for the new ones.
#[tokio::test]
async fn a_links_cursor_is_never_beyond_a_torn_log() {
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path());
    let link = |sent| LinkRecord {
        of: "account".to_owned(),
        key: delight_proto::sync::bounded::Hidden::new("key".to_owned()),
        stored: delight_core::uplink::Stored {
            server_id: None,
            sent,
            received: 7,
            notices: Vec::new(),
            ended: false,
            shortened: delight_core::uplink::Shortened::default(),
        },
    };
    let (store, _) = open(&place).unwrap();
    for n in [1, 2] {
        let written = (1..=3).map(|seq| Write::Append(event(seq)));
        store.commit(id(n), written.chain([Write::Save(Box::new(record(n)))]).collect()).await.unwrap();
    }
    // The server has five events of the first, of which three are left, and two of the second.
    store.commit(id(1), vec![Write::Link(Box::new(link(5)))]).await.unwrap();
    store.commit(id(2), vec![Write::Link(Box::new(link(2)))]).await.unwrap();
    store.close().await;
    drop(store);
    for appended in [4, 5] {
        let (store, _) = open(&place).unwrap();
        let mut links = store.links().await.unwrap();
        links.sort_by_key(|(of, _)| *of != id(1));
        assert_eq!(links, [(id(1), link(3)), (id(2), link(2))], "also when more was appended since");
        store.commit(id(1), vec![Write::Append(event(appended))]).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn forgetting_leaves_nothing_behind_also_when_it_is_cut_short() {
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path());
    let (store, _) = open(&place).unwrap();
    for n in [1, 2] {
        store.commit(id(n), vec![Write::Append(event(1)), Write::Save(Box::new(record(n)))]).await.unwrap();
        store.commit(id(n), vec![Write::Forget]).await.unwrap();
    }
    delete_directory(&place, id(1)).unwrap();
    store.close().await;
    drop(store);
    // The directory of the second was set aside and not deleted: the daemon died in between.
    assert_eq!(std::fs::read_dir(place.sessions()).unwrap().count(), 1);
    let (_store, contents) = open(&place).unwrap();
    assert!(contents.sessions.is_empty() && contents.quarantined.is_empty(), "{contents:?}");
    assert_eq!(std::fs::read_dir(place.sessions()).unwrap().count(), 0);
}

#[tokio::test]
async fn corrupt_record_quarantined() {
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path());
    {
        let registry =
            registry::Registry::open(&place.registry(), &place.registry(), &place.sessions()).unwrap();
        for n in [1, 2, 3] {
            registry.put(&record(n)).unwrap();
        }
        let (_, tree) = registry.raw();
        let mut bytes = tree.get(id(2).as_str()).unwrap().unwrap().to_vec();
        let last = bytes.len() - 5;
        bytes[last] ^= 1;
        tree.insert(id(2).as_str(), bytes).unwrap();
        registry.flush().unwrap();
    }
    // Twice: it stays reported, and is not reported twice.
    for _ in 0..2 {
        let (store, contents) = open(&place).unwrap();
        let ids: Vec<_> = contents.sessions.iter().map(|stored| stored.record.id).collect();
        assert!(ids.len() == 2 && ids.contains(&id(1)) && ids.contains(&id(3)), "{ids:?}");
        let [told] = &contents.quarantined[..] else { panic!("{contents:?}") };
        assert!(told.contains(id(2).as_str()) && told.contains("checksum"), "{told}");
        store.close().await;
    }
}

/// The writer of `answered_writes_survive_kill_9`: commits and says what was answered, until it is killed.
#[test]
#[ignore = "it is started by answered_writes_survive_kill_9"]
fn write_until_killed() {
    let Some(base) = std::env::var_os("DELIGHT_TEST_BASE") else { return };
    let place = place(base.as_ref());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (store, contents) = open(&place).unwrap();
        assert!(contents.quarantined.is_empty(), "{contents:?}");
        let known = contents.sessions.iter().find(|stored| stored.record.id == id(1));
        let mut seq = known.map_or(0, |stored| stored.log_seq);
        loop {
            seq += 1;
            let mut record = record(1);
            record.last_seq = seq;
            store
                .commit(id(1), vec![Write::Append(event(seq)), Write::Save(Box::new(record))])
                .await
                .unwrap();
            println!("\nanswered {seq}");
        }
    });
}

#[test]
fn answered_writes_survive_kill_9() {
    let base = tempfile::tempdir().unwrap();
    let mut answered = 0;
    for round in 0..12u64 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::write_until_killed", "--ignored", "--nocapture"])
            .env("DELIGHT_TEST_BASE", base.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut heard = |line: Option<std::io::Result<String>>| {
            let seq = line?.ok()?.strip_prefix("answered ")?.parse::<u64>().ok()?;
            assert!(seq > answered, "numbers go on where they stopped");
            answered = seq;
            Some(())
        };
        // A different number of writes each time, so that the kill comes at another place in the segments.
        let mut wanted = 20 + round * 7;
        while wanted > 0 {
            let line = lines.next();
            assert!(line.is_some(), "the writer ended by itself");
            wanted -= u64::from(heard(line).is_some());
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        for line in lines {
            heard(Some(line));
        }
        let place = place(base.path());
        let (store, contents) = open(&place).unwrap();
        let [stored] = &contents.sessions[..] else { panic!("{contents:?}") };
        assert!(stored.log_seq >= answered, "{} < {answered}", stored.log_seq);
        assert!(stored.record.last_seq >= answered && stored.record.last_seq <= stored.log_seq);
        let events = read_events(&place, id(1), 0, usize::MAX).unwrap().events;
        assert!(events.iter().map(|event| event.seq).eq(1..=stored.log_seq));
        drop(store);
    }
}
