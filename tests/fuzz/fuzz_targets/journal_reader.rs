//! A segment of a journal, as a crash, a bad disk or a stranger may have left it: read without panic, ordinals in order,
//! nothing beyond the bytes that are there.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut last = None;
    let mut total = 0;
    delight_journal::parse_segment(bytes, |record| {
        assert!(last.is_none_or(|last| record.ordinal == last + 1), "ordinals are contiguous");
        last = Some(record.ordinal);
        total += record.payload.len();
    });
    assert!(total <= bytes.len());
});
