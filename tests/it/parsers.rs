//! The parsers that read from outside, on anything at all: the same properties the fuzz targets look for.

use delight_proto::api::envelope::{Request, Response};
use delight_proto::api::method::SpawnParams;
use delight_proto::holder::frame::{HEADER, MAX_PAYLOAD};
use delight_proto::holder::{Decoder, FromHolder, ToHolder};
use proptest::prelude::*;

/// Bytes that look like frames more often than chance makes them.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = (any::<u8>(), 0u8..4, proptest::collection::vec(any::<u8>(), 0..64), any::<bool>()).prop_map(
        |(kind, flags, payload, honest)| {
            let announced = if honest { payload.len() } else { payload.len() * 7 };
            let mut bytes = delight_proto::holder::frame::header(kind, flags, announced).to_vec();
            bytes.extend(payload);
            bytes
        },
    );
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..256),
        proptest::collection::vec(frame, 0..8).prop_map(|frames| frames.concat()),
    ]
}

/// All frames in the bytes, pushed in pieces of these sizes, up to the first error.
fn read_in_pieces(bytes: &[u8], pieces: &[usize]) -> (Vec<(u8, u8, Vec<u8>)>, bool) {
    let (mut decoder, mut read, mut at) = (Decoder::new(), Vec::new(), 0);
    let mut pieces = pieces.iter().cycle();
    while at < bytes.len() {
        let piece = (*pieces.next().unwrap_or(&1)).clamp(1, bytes.len() - at);
        decoder.push(&bytes[at..at + piece]);
        at += piece;
        loop {
            match decoder.next_frame() {
                Ok(Some(raw)) => {
                    // Neither parser may panic on what the decoder lets through.
                    let _ = ToHolder::parse(raw);
                    let _ = FromHolder::parse(raw);
                    read.push((raw.kind, raw.flags, raw.payload.to_vec()));
                }
                Ok(None) => break,
                Err(_) => return (read, true),
            }
        }
        assert!(decoder.pending() <= HEADER + MAX_PAYLOAD + piece, "more is held than one frame");
    }
    (read, false)
}

proptest! {
    #[test]
    fn frames_read_the_same_however_they_are_cut(
        bytes in frames(),
        pieces in proptest::collection::vec(1usize..40, 1..10),
    ) {
        let whole = read_in_pieces(&bytes, &[bytes.len().max(1)]);
        prop_assert_eq!(&read_in_pieces(&bytes, &pieces), &whole);
        prop_assert_eq!(&read_in_pieces(&bytes, &[1]), &whole);
    }

    #[test]
    fn a_frame_that_parses_is_written_back_and_parses_the_same(bytes in frames()) {
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        while let Ok(Some(raw)) = decoder.next_frame() {
            if let Ok(Some(frame)) = ToHolder::parse(raw) {
                let mut again = Vec::new();
                frame.encode(&mut again);
                let mut second = Decoder::new();
                second.push(&again);
                let raw = second.next_frame().unwrap().unwrap();
                prop_assert_eq!(ToHolder::parse(raw).unwrap(), Some(frame));
            }
        }
    }

    #[test]
    fn json_rpc_reads_anything_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = serde_json::from_slice::<Request>(&bytes);
        let _ = serde_json::from_slice::<Response>(&bytes);
        let _ = serde_json::from_slice::<SpawnParams>(&bytes);
    }

    #[test]
    fn a_request_survives_the_wire(id in any::<u64>(), method in "[a-z.]{1,20}", text in any::<String>()) {
        let params = serde_json::value::to_raw_value(&serde_json::json!({ "session": text })).unwrap();
        let request = Request {
            jsonrpc: delight_proto::api::envelope::Version,
            id,
            method: method.clone(),
            params: Some(params),
        };
        let line = serde_json::to_string(&request).unwrap();
        prop_assert!(!line.contains('\n'), "one message is one line");
        let read: Request = serde_json::from_str(&line).unwrap();
        prop_assert_eq!((read.id, read.method), (id, method));
        let params: serde_json::Value = serde_json::from_str(read.params.unwrap().get()).unwrap();
        prop_assert_eq!(params["session"].as_str(), Some(text.as_str()));
    }
}
