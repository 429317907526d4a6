//! Frames of the holder protocol: anything pushed in any pieces is read the same, and never panics.

#![no_main]

use delight_proto::holder::frame::{HEADER, MAX_PAYLOAD};
use delight_proto::holder::{Decoder, FromHolder, ToHolder};
use libfuzzer_sys::fuzz_target;

/// Kinds and payload lengths of the frames, and whether an error ended them.
fn read(bytes: &[u8], piece: usize) -> (Vec<(u8, usize)>, bool) {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    for part in bytes.chunks(piece.max(1)) {
        decoder.push(part);
        loop {
            match decoder.next_frame() {
                Ok(Some(raw)) => {
                    if let Ok(Some(frame)) = ToHolder::parse(raw) {
                        let mut again = Vec::new();
                        frame.encode(&mut again);
                        let mut second = Decoder::new();
                        second.push(&again);
                        let raw = second.next_frame().unwrap().unwrap();
                        assert_eq!(ToHolder::parse(raw).unwrap(), Some(frame));
                    }
                    let _ = FromHolder::parse(raw);
                    frames.push((raw.kind, raw.payload.len()));
                }
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
        assert!(decoder.pending() <= HEADER + MAX_PAYLOAD + part.len());
    }
    (frames, false)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, bytes.len());
    assert_eq!(read(bytes, 1), whole);
    assert_eq!(read(bytes, 7), whole);
});
