use std::collections::BTreeMap;

use super::*;
use crate::store::tests::{event, id, place, record};
use crate::store::{Contents, Write, open};

/// Every file below a directory, by its path in it.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut next) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(path) = next.pop() {
        if path.is_dir() {
            next.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

const SESSIONS: u8 = 20;

/// A store with sessions in it, closed: a large one (sled puts its value into a file of its own) among small ones.
async fn filled(base: &Path) -> Place {
    let place = place(base);
    let (store, _) = open(&place).unwrap();
    for n in 1..=SESSIONS {
        let mut record = record(n);
        if n == 7 {
            record.spec.command.push("x".repeat(600 << 10));
        }
        store.commit(id(n), vec![Write::Append(event(1)), Write::Save(Box::new(record))]).await.unwrap();
    }
    store.close().await;
    drop(store);
    place
}

fn accounted_for(contents: &Contents) -> usize {
    contents.sessions.len() + contents.quarantined.len()
}

#[tokio::test]
async fn a_refused_registry_keeps_every_byte() {
    let base = tempfile::tempdir().unwrap();
    let place = filled(base.path()).await;
    let whole = files(&place.registry());
    let mut refused = 0;
    let db = Path::new("db");
    type Damage = fn(&[u8]) -> Vec<u8>;
    let every: [(&str, Damage); 6] = [
        ("zeroed", |bytes| vec![0; bytes.len()]),
        ("emptied", |_| Vec::new()),
        ("cut in half", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("garbage", |bytes| bytes.iter().map(|b| b ^ 0x5a).collect()),
        ("one bit near its start", |bytes| {
            bytes.iter().enumerate().map(|(n, b)| b ^ u8::from(n == 99)).collect()
        }),
        ("its first half zeroed", |bytes| {
            bytes.iter().enumerate().map(|(n, b)| if n < bytes.len() / 2 { 0 } else { *b }).collect()
        }),
    ];
    for (what, damage) in every {
        remove(&place.registry()).unwrap();
        remove(&place.state.join(KEPT)).unwrap();
        for (path, bytes) in &whole {
            let path = place.registry().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        fs::write(place.registry().join(db), damage(&whole[db])).unwrap();
        let before = files(&place.registry());
        match open(&place) {
            Err(refusal) => {
                refused += 1;
                assert_eq!(refusal.code, Code::Storage, "{what}");
                assert!(refusal.what.contains(place.registry().to_str().unwrap()), "{refusal}");
                assert!(!refusal.fix.is_empty());
                assert!(files(&place.registry()) == before, "{what}: it was written over");
                assert!(!place.state.join(KEPT).exists());
            }
            Ok((store, contents)) => {
                assert_eq!(accounted_for(&contents), usize::from(SESSIONS), "{what}: {contents:?}");
                if contents.sessions.len() < usize::from(SESSIONS) {
                    assert!(files(&place.state.join(KEPT)) == before, "{what}: it was not kept as it was");
                }
                store.close().await;
            }
        }
        assert!(!place.runtime.join(TRIAL).exists(), "{what}: a copy is left");
    }
    assert!(refused > 0, "no damage was refused");
}

#[tokio::test]
async fn a_registry_that_has_lost_records_is_kept_as_it_was_and_the_first_loss_stays() {
    let base = tempfile::tempdir().unwrap();
    let place = filled(base.path()).await;
    super::super::registry::await_release(&place.registry()).unwrap();
    {
        let registry = Registry::open(&place.registry(), &place.registry(), &place.sessions()).unwrap();
        registry.delete(id(3)).unwrap();
        registry.flush().unwrap();
    }
    super::super::registry::await_release(&place.registry()).unwrap();
    let lossy = files(&place.registry());
    for start in 0..2 {
        let (store, contents) = open(&place).unwrap();
        let [told] = &contents.quarantined[..] else { panic!("{contents:?}") };
        let kept = place.state.join(KEPT);
        assert!(told.contains(id(3).as_str()) && told.contains(kept.to_str().unwrap()), "{told}");
        assert!(files(&kept) == lossy, "start {start}");
        store.commit(id(4), vec![Write::Save(Box::new(record(4)))]).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_good_registry_leaves_no_copy() {
    let base = tempfile::tempdir().unwrap();
    let place = filled(base.path()).await;
    let (_store, contents) = open(&place).unwrap();
    assert_eq!((contents.sessions.len(), contents.quarantined.len()), (usize::from(SESSIONS), 0));
    assert!(!place.runtime.join(TRIAL).exists() && !place.state.join(KEPT).exists());
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path());
    {
        let registry = Registry::open(&place.registry(), &place.registry(), &place.sessions()).unwrap();
        registry.raw().0.insert("schema", "2").unwrap();
        registry.flush().unwrap();
    }
    super::super::registry::await_release(&place.registry()).unwrap();
    let before = files(&place.registry());
    for _ in 0..2 {
        let refusal = open(&place).err().unwrap();
        assert_eq!(refusal.code, Code::Storage);
        assert!(refusal.reason.contains("schema 2") && refusal.fix.contains("newer"), "{refusal:?}");
        assert!(files(&place.registry()) == before);
    }
}

#[test]
fn a_registry_that_was_lost_is_refused_while_sessions_have_data_and_none_is_made() {
    let base = tempfile::tempdir().unwrap();
    let place = place(base.path());
    fs::create_dir_all(place.session(id(1)).join("journal")).unwrap();
    let refusal = open(&place).err().unwrap();
    assert_eq!(refusal.code, Code::Storage);
    assert!(refusal.reason.contains("1 sessions have data"), "{refusal:?}");
    assert!(!place.registry().exists());
}
