//! The log against everything a crash, a full disk and a retention can do to it.

#![allow(clippy::unwrap_used, clippy::panic)] // Functions the tests share are tests, too.

use std::fs;
use std::path::{Path, PathBuf};

use delight_journal::{
    Closing, Error, Item, Options, Point, RECORD_HEADER, Reader, SEGMENT_HEADER, Writer, find_last,
    parse_segment,
};
use proptest::prelude::*;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rec {
    ordinal: u64,
    position: u64,
    kind: u8,
    payload: Vec<u8>,
}

fn options(segment_bytes: u64, retain_bytes: u64) -> Options {
    Options { segment_bytes, retain_bytes, ..Options::default() }
}

fn append(writer: &mut Writer, kind: u8, bytes: &[u8]) -> Rec {
    let (a, b) = bytes.split_at(bytes.len() / 2);
    let done = writer.append(kind, bytes.len() as u64, 7, &[a, b]).unwrap();
    Rec { ordinal: done.ordinal, position: done.position, kind, payload: bytes.to_vec() }
}

fn drain(reader: &mut Reader) -> Vec<Rec> {
    let mut out = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Record(r) => out.push(Rec {
                ordinal: r.ordinal,
                position: r.position,
                kind: r.kind,
                payload: r.payload.to_vec(),
            }),
            other => panic!("{other:?}"),
        }
    }
    out
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn a_cut_at_every_byte_of_the_last_record_loses_that_record_only() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(dir.path(), options(1 << 20, 1 << 30)).unwrap();
    let first = append(&mut writer, 1, b"first");
    let second = append(&mut writer, 2, b"second, and last");
    drop(writer);
    let path = segments(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let last = RECORD_HEADER + second.payload.len();
    for cut in 1..=last {
        fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let mut reader = Reader::open(dir.path());
        assert_eq!(drain(&mut reader), vec![first.clone()], "before recovery, {cut} bytes missing");
        let (mut writer, recovery) = Writer::open(dir.path(), options(1 << 20, 1 << 30)).unwrap();
        assert_eq!(recovery.cut_bytes as usize, last - cut);
        assert_eq!(recovery.damaged_bytes, 0);
        assert_eq!(writer.end(), Point { ordinal: 2, position: 5 });
        let third = append(&mut writer, 3, b"third");
        assert_eq!(drain(&mut reader), vec![third.clone()], "the waiting reader goes on");
        assert_eq!(drain(&mut Reader::open(dir.path())), vec![first.clone(), third]);
    }
    for cut in 0..SEGMENT_HEADER {
        fs::write(&path, &whole[..cut]).unwrap();
        let (mut writer, recovery) = Writer::open(dir.path(), options(1 << 20, 1 << 30)).unwrap();
        assert_eq!(recovery.cut_bytes as usize, cut);
        assert_eq!(append(&mut writer, 1, b"x").ordinal, 1);
    }
}

/// A daemon killed between creating a segment and writing its header once made every later one look for it for ever.
#[test]
fn a_segment_whose_creation_a_crash_cut_short_ends_the_log_and_hangs_nobody() {
    for cut in 0..SEGMENT_HEADER {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = Writer::open(dir.path(), options(1, 1 << 30)).unwrap();
        let mut all: Vec<Rec> = (0..3).map(|_| append(&mut writer, 1, b"record")).collect();
        drop(writer);
        let newest = segments(dir.path()).pop().unwrap();
        fs::OpenOptions::new().write(true).open(&newest).unwrap().set_len(cut as u64).unwrap();
        let lost = all.pop().unwrap();
        assert_eq!(drain(&mut Reader::open(dir.path())), all, "cut at {cut}");
        let mut seeking = Reader::open(dir.path());
        seeking.seek_ordinal(lost.ordinal);
        assert_eq!(drain(&mut seeking), [], "cut at {cut}");
        // Alone, as a session's first event has it.
        for older in segments(dir.path()).into_iter().filter(|path| *path != newest) {
            fs::remove_file(older).unwrap();
        }
        assert_eq!(drain(&mut Reader::open(dir.path())), [], "cut at {cut}");
    }
}

#[test]
fn a_segment_without_a_header_between_others_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(dir.path(), options(1, 1 << 30)).unwrap();
    let all: Vec<Rec> = (0..3).map(|_| append(&mut writer, 1, b"record")).collect();
    drop(writer);
    fs::write(&segments(dir.path())[1], b"").unwrap();
    let mut reader = Reader::open(dir.path());
    assert!(matches!(reader.next_item().unwrap(), Some(Item::Record(r)) if r.ordinal == all[0].ordinal));
    let told = reader.next_item().unwrap();
    assert!(
        matches!(told, Some(Item::Corrupt { from, to }) if from.ordinal == 2 && to.ordinal == 3),
        "{told:?}"
    );
    assert_eq!(drain(&mut reader), all[2..]);
}

#[test]
fn damage_in_the_middle_is_told_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(dir.path(), options(1 << 20, 1 << 30)).unwrap();
    let records: Vec<_> = (0..5u8).map(|n| append(&mut writer, n, &[n; 50])).collect();
    drop(writer);
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let victim = SEGMENT_HEADER + 2 * (RECORD_HEADER + 50) + RECORD_HEADER + 3;
    bytes[victim] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (mut writer, recovery) = Writer::open(dir.path(), options(1 << 20, 1 << 30)).unwrap();
    assert_eq!(recovery.damaged_bytes as usize, RECORD_HEADER + 50);
    assert_eq!(writer.end(), Point { ordinal: 6, position: 250 });
    let after = append(&mut writer, 9, b"after");
    assert_eq!(fs::read(&path).unwrap(), bytes, "the damaged segment is untouched");
    let mut reader = Reader::open(dir.path());
    for want in &records[..2] {
        assert!(matches!(reader.next_item().unwrap(), Some(Item::Record(r)) if r.payload == want.payload));
    }
    let (from, to) = (Point { ordinal: 3, position: 100 }, Point { ordinal: 6, position: 250 });
    assert_eq!(reader.next_item().unwrap(), Some(Item::Corrupt { from, to }));
    assert_eq!(drain(&mut reader), vec![after]);
    let found = find_last(dir.path(), |r| r.kind == 3).unwrap().unwrap();
    assert_eq!(found.payload, records[3].payload, "an intact record behind the damage is found");
}

#[test]
fn a_newer_segment_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(dir.path(), Options::default()).unwrap();
    append(&mut writer, 1, b"x");
    drop(writer);
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    fs::write(&path, &bytes).unwrap();
    let refused = Writer::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(refused, Error::Newer { version: 2, .. }), "{refused}");
    assert!(matches!(Reader::open(dir.path()).next_item(), Err(Error::Newer { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn retention_drops_whole_segments_and_says_where_history_starts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(dir.path(), options(1_000, 5_000)).unwrap();
    let mut slow = Reader::open(dir.path());
    append(&mut writer, 1, &[0; 100]);
    assert!(matches!(slow.next_item().unwrap(), Some(Item::Record(r)) if r.ordinal == 1));
    for n in 1..200u64 {
        append(&mut writer, 1, &[n as u8; 100]);
        assert!(writer.total_bytes() <= 5_000 + 1_200);
    }
    assert!(writer.start_ordinal() > 100);
    assert_eq!(writer.start_position(), (writer.start_ordinal() - 1) * 100);
    let kept = drain(&mut Reader::open(dir.path()));
    assert_eq!(kept[0].ordinal, writer.start_ordinal());
    assert_eq!(kept.len() as u64, 200 - writer.start_ordinal() + 1);
    // The slow reader still has its segment open; behind it there is a gap, told exactly.
    let mut next = 2;
    loop {
        match slow.next_item().unwrap().unwrap() {
            Item::Record(r) => {
                assert_eq!(r.ordinal, next);
                next += 1;
            }
            Item::Gap { from, to } => {
                assert_eq!(from, Point { ordinal: next, position: (next - 1) * 100 });
                assert_eq!(to.ordinal, writer.start_ordinal());
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(drain(&mut slow), kept);
    let mut seek = Reader::open(dir.path());
    seek.seek_position(50);
    let to = Point { ordinal: writer.start_ordinal(), position: writer.start_position() };
    assert_eq!(seek.next_item().unwrap(), Some(Item::Gap { from: Point { ordinal: 0, position: 50 }, to }));
    assert_eq!(drain(&mut seek), kept);
    let (writer, _) = Writer::open(dir.path(), options(1_000, 5_000)).unwrap();
    assert_eq!(writer.end(), Point { ordinal: 201, position: 20_000 });
}

/// A log of one record a segment whose full segments are made durable beside the writer.
fn beside(dir: &Path) -> Writer {
    let options = Options { closing: Closing::Aside, ..options(SEGMENT_HEADER as u64 + 1, 1 << 30) };
    Writer::open(dir, options).unwrap().0
}

#[test]
fn a_full_segment_is_handed_out_when_the_one_before_it_is_known_to_be_durable() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = beside(dir.path());
    let hands_out = |writer: &mut Writer| {
        append(writer, 1, b"one");
        writer.take_closed()
    };
    assert!(hands_out(&mut writer).is_none(), "nothing is full");
    let first = hands_out(&mut writer).unwrap();
    assert!(
        hands_out(&mut writer).is_none(),
        "nobody has made the first durable: the writer does, with the second"
    );
    let third = hands_out(&mut writer).unwrap();
    first.sync().unwrap();
    assert!(
        hands_out(&mut writer).is_none(),
        "that it is the first that was made durable does not help the third"
    );
    drop(third);
    hands_out(&mut writer).unwrap().sync().unwrap();
    assert!(hands_out(&mut writer).is_some());
    drop(writer);
    let mut writer = beside(dir.path());
    assert!(hands_out(&mut writer).is_none(), "whoever wrote before may have ended too early");
    assert!(hands_out(&mut writer).is_some());
    assert_eq!(drain(&mut Reader::open(dir.path())).len(), 9);
}

#[test]
fn a_power_cut_while_a_full_segment_was_made_durable_leaves_no_gap() {
    for lost in 1..=(RECORD_HEADER + 3 + SEGMENT_HEADER) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = beside(dir.path());
        let first = append(&mut writer, 1, b"one");
        append(&mut writer, 1, b"two");
        append(&mut writer, 1, b"six");
        drop(writer);
        // The newest reached the disk, the one before it not whole.
        let torn = &segments(dir.path())[1];
        let bytes = fs::metadata(torn).unwrap().len() as usize;
        fs::OpenOptions::new().write(true).open(torn).unwrap().set_len((bytes - lost) as u64).unwrap();
        let options = Options { closing: Closing::Aside, ..options(SEGMENT_HEADER as u64 + 1, 1 << 30) };
        let (mut writer, recovery) = Writer::open(dir.path(), options).unwrap();
        assert_eq!(recovery.unjoined_bytes, bytes as u64, "{lost} bytes lost");
        let next = append(&mut writer, 1, b"new");
        assert_eq!(next.ordinal, 2, "{lost} bytes lost");
        assert_eq!(drain(&mut Reader::open(dir.path())), [first, next], "{lost} bytes lost");
    }
}

#[test]
fn a_directory_that_vanishes_is_made_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("journal");
    let (mut writer, _) = Writer::open(&dir, Options::default()).unwrap();
    append(&mut writer, 1, b"gone");
    let mut reader = Reader::open(&dir);
    assert_eq!(drain(&mut reader).len(), 1);
    fs::remove_dir_all(&dir).unwrap();
    let done = writer.append(1, 4, 0, &[b"here"]).unwrap();
    assert!(done.restarted);
    assert_eq!((done.ordinal, done.position, writer.start_position()), (2, 4, 4));
    assert_eq!(drain(&mut reader).len(), 1, "a reader that missed nothing sees no gap");
    let mut late = Reader::open(&dir);
    late.seek_position(0);
    assert!(matches!(late.next_item().unwrap(), Some(Item::Gap { .. })));
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, b"in the way").unwrap();
    assert!(writer.append(1, 1, 0, &[b"x"]).is_err());
    fs::remove_file(&dir).unwrap();
    assert_eq!(writer.append(1, 1, 0, &[b"x"]).unwrap().position, 8);
}

#[test]
fn a_failed_append_does_not_poison_the_log() {
    // The file-size limit makes the kernel cut a write short exactly as a full disk does. It holds for a process, so
    // a child takes it: this test again, with the limit.
    if let Ok(dir) = std::env::var("JOURNAL_LIMITED_DIR") {
        let (mut writer, _) = Writer::open(&dir, Options::default()).unwrap();
        append(&mut writer, 1, &[b'a'; 700]);
        let before = fs::read(segments(Path::new(&dir)).remove(0)).unwrap();
        assert!(writer.append(1, 900, 0, &[&[b'b'; 900]]).is_err());
        assert_eq!(fs::read(segments(Path::new(&dir)).remove(0)).unwrap(), before);
        append(&mut writer, 1, &[b'c'; 100]);
        let all = drain(&mut Reader::open(&dir));
        assert_eq!(all.iter().map(|r| (r.ordinal, r.position)).collect::<Vec<_>>(), [(1, 0), (2, 700)]);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // 2 blocks of 512 bytes; SIGXFSZ ignored, so the write fails with EFBIG instead.
    let script = "trap '' XFSZ; ulimit -f 2; exec \"$0\" --exact a_failed_append_does_not_poison_the_log";
    let status = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("JOURNAL_LIMITED_DIR", dir.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert_eq!(drain(&mut Reader::open(dir.path())).len(), 2, "the child has really written");
}

#[test]
fn records_that_look_like_records_are_payload() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(dir.path(), Options::default()).unwrap();
    append(&mut writer, 1, b"one");
    let own = fs::read(segments(dir.path()).remove(0)).unwrap();
    append(&mut writer, 1, &own);
    append(&mut writer, 1, &[own.as_slice(), b"torn off here"].concat());
    drop(writer);
    let path = segments(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 5]).unwrap();
    let (writer, recovery) = Writer::open(dir.path(), Options::default()).unwrap();
    assert_eq!(recovery.damaged_bytes, 0);
    assert_eq!(writer.end().ordinal, 3);
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8, Vec<u8>),
    Reopen,
    /// Cut so many bytes off the end, at most the last record.
    Tear(usize),
    Poll,
    Seek(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300)).prop_map(|(k, b)| Step::Append(k, b)),
        1 => Just(Step::Reopen),
        1 => (1usize..400).prop_map(Step::Tear),
        2 => Just(Step::Poll),
        1 => (0u64..6_000).prop_map(Step::Seek),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    // Files and readers by the dozen in every case: fewer cases, each long.
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_was_appended_reads_back(steps in steps(), segment_bytes in 100u64..2_000) {
        let dir = tempfile::tempdir().unwrap();
        let options = options(segment_bytes, 1 << 30);
        let mut writer = Some(Writer::open(dir.path(), options).unwrap().0);
        let mut model: Vec<Rec> = Vec::new();
        let mut tail = Reader::open(dir.path());
        let mut seen = 0;
        for step in steps {
            match step {
                Step::Append(kind, bytes) => model.push(append(writer.as_mut().unwrap(), kind, &bytes)),
                Step::Reopen => {
                    drop(writer.take());
                    writer = Some(Writer::open(dir.path(), options).unwrap().0);
                }
                Step::Tear(bytes) => {
                    let Some(last) = model.last() else { continue };
                    // What a reader has seen was whole: a crash cannot tear it any more.
                    if seen == model.len() { continue }
                    drop(writer.take());
                    let path = segments(dir.path()).pop().unwrap();
                    let whole = fs::read(&path).unwrap();
                    let record = RECORD_HEADER + last.payload.len();
                    // Only the newest segment is ever written to, and this one may have lost all it had.
                    if whole.len() < SEGMENT_HEADER + record { writer = Some(Writer::open(dir.path(), options).unwrap().0); continue }
                    fs::write(&path, &whole[..whole.len() - bytes.min(record)]).unwrap();
                    model.pop();
                    writer = Some(Writer::open(dir.path(), options).unwrap().0);
                }
                Step::Poll => {
                    let got = drain(&mut tail);
                    prop_assert_eq!(&got, &model[seen..]);
                    seen = model.len();
                }
                Step::Seek(position) => {
                    let mut reader = Reader::open(dir.path());
                    reader.seek_position(position);
                    let want: Vec<_> = model
                        .iter()
                        .skip_while(|r| r.position < position && r.position + r.payload.len() as u64 <= position)
                        .cloned()
                        .collect();
                    prop_assert_eq!(drain(&mut reader), want);
                    let mut reader = Reader::open(dir.path());
                    reader.seek_ordinal(position / 100 + 1);
                    prop_assert_eq!(drain(&mut reader), model.get(position as usize / 100..).unwrap_or(&[]));
                }
            }
        }
        prop_assert_eq!(drain(&mut Reader::open(dir.path())), model);
    }

    #[test]
    fn any_bytes_parse_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..500), flip in any::<(usize, u8)>()) {
        parse_segment(&bytes, |_| ());
        // And a real segment with one byte changed never gives a record that was not appended.
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, _) = Writer::open(dir.path(), Options::default()).unwrap();
        let all: Vec<_> = (0..4u8).map(|n| append(&mut writer, n, &bytes[..bytes.len().min(usize::from(n) * 20)])).collect();
        let path = segments(dir.path()).remove(0);
        let mut segment = fs::read(&path).unwrap();
        let at = flip.0 % segment.len();
        segment[at] ^= flip.1;
        let mut index = 0;
        parse_segment(&segment, |r| {
            assert_eq!(r.payload, all[index].payload);
            index += 1;
        });
        fs::write(&path, &segment).unwrap();
        let mut reader = Reader::open(dir.path());
        while let Ok(Some(item)) = reader.next_item() {
            if let Item::Record(r) = item {
                assert_eq!(r.payload, all[r.ordinal as usize - 1].payload);
            }
        }
    }
}
