//! What must hold for every key and every value.

use delight_crypto::pairing::Paired;
use delight_crypto::{
    ContentPublic, ContentSecret, DataKey, Fresh, MasterSecret, OpenError, PairingPublic, PairingSecret,
    SealError, SealingKey, wrapped,
};
use proptest::prelude::*;

fn sealing_key(key: [u8; 32], kind: u8) -> SealingKey {
    match kind % 3 {
        0 => SealingKey::data(&DataKey::from_bytes(key)),
        1 => SealingKey::legacy(&MasterSecret::from_bytes(key)),
        _ => SealingKey::master_envelope(&MasterSecret::from_bytes(key)),
    }
}

/// Nonces beginning with 0 are the ones a reader can take for the other form: half of those tried do.
fn nonce() -> impl Strategy<Value = [u8; 24]> {
    (any::<[u8; 24]>(), any::<bool>()).prop_map(|(mut nonce, zero)| {
        if zero {
            nonce[0] = 0;
        }
        nonce
    })
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_nothing_else_does(
        key: [u8; 32],
        other: [u8; 32],
        kind: u8,
        nonce in nonce(),
        plaintext in prop::collection::vec(any::<u8>(), 0..300),
        flip: prop::sample::Index,
        cut: prop::sample::Index,
    ) {
        prop_assume!(key != other);
        let reader = sealing_key(key, kind);
        let sealed = reader.seal(&plaintext, Fresh::new(nonce)).unwrap();
        let bytes = sealed.as_bytes();

        let opened = reader.open(bytes).unwrap();
        prop_assert_eq!(opened.plaintext(), &plaintext);
        prop_assert_eq!(opened.variant(), reader.variant());
        prop_assert_eq!(opened.mark(), sealed.mark());
        let opened = reader.open_base64(&sealed.to_base64()).unwrap();
        prop_assert_eq!(opened.plaintext(), &plaintext);

        prop_assert!(sealing_key(other, kind).open(bytes).is_err(), "opened with another key");
        let mut flipped = bytes.to_vec();
        let bit = flip.index(flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(reader.open(&flipped).is_err(), "bit {} flipped", bit);
        prop_assert!(reader.open(&bytes[..cut.index(bytes.len())]).is_err(), "cut");
        let mut longer = bytes.to_vec();
        longer.push(0);
        prop_assert!(reader.open(&longer).is_err(), "lengthened");
    }

    #[test]
    fn random_bytes_never_open_and_never_panic(
        key: [u8; 32],
        kind: u8,
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        zero: bool,
        text in ".{0,200}",
    ) {
        if let (true, Some(first)) = (zero, bytes.first_mut()) {
            *first = 0;
        }
        let reader = sealing_key(key, kind);
        prop_assert!(reader.open(&bytes).is_err());
        prop_assert!(reader.open_base64(&text).is_err());
        prop_assert!(wrapped::unwrap(&text, &ContentSecret::from_bytes(key)).is_err());
        prop_assert!(PairingSecret::from_bytes(key).open_answer(&text).is_err());
        let _ = MasterSecret::from_base64(&text);
        let _ = PairingPublic::from_base64(&text);
    }
}

proptest! {
    // Each case costs several X25519 operations in an unoptimised build.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bundles_open_for_their_reader_only(
        secret: [u8; 32],
        other: [u8; 32],
        payload: [u8; 32],
        second_form: bool,
        ephemeral: [u8; 32],
        nonce: [u8; 24],
        flip: prop::sample::Index,
        cut: prop::sample::Index,
    ) {
        let phone = PairingSecret::from_bytes(secret);
        let stranger = PairingSecret::from_bytes(other);
        // Clamping makes some distinct scalars one key.
        prop_assume!(phone.public() != stranger.public());
        let paired = if second_form {
            Paired::ContentKey(ContentPublic::from_bytes(payload))
        } else {
            Paired::Account(MasterSecret::from_bytes(payload))
        };
        let answer = paired.answer(&phone.public(), Fresh::new(ephemeral), Fresh::new(nonce)).unwrap();
        prop_assert_eq!(phone.open_answer(&answer), Ok(paired));
        prop_assert!(stranger.open_answer(&answer).is_err());
        // Without its padding it is still the same answer.
        let cut = cut.index(answer.trim_end_matches('=').len());
        prop_assert!(phone.open_answer(&answer[..cut]).is_err(), "cut at {}", cut);

        let content = ContentSecret::from_bytes(secret);
        let key = DataKey::from_bytes(payload);
        let text = wrapped::wrap(&key, &content.public(), Fresh::new(ephemeral), Fresh::new(nonce)).unwrap();
        prop_assert_eq!(text.len(), wrapped::LEN.div_ceil(3) * 4);
        prop_assert_eq!(wrapped::unwrap(&text, &content), Ok(key));
        prop_assert!(wrapped::unwrap(&text, &ContentSecret::from_bytes(other)).is_err());

        // One changed character changes at least one bit: the last group has no padding (105 bytes).
        let mut changed = text.into_bytes();
        let at = flip.index(changed.len());
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let refused = wrapped::unwrap(&changed, &content);
        // Bit 255 of an X25519 public key is ignored (RFC 7748): the only bit that may change unnoticed. It is bit
        // 256 of the text, after the version byte and 31 bytes.
        prop_assert!(refused.is_err() || at == 256 / 6, "character {}", at);
    }
}

#[test]
fn keys_of_low_order_are_refused_both_ways() {
    let master = MasterSecret::from_bytes([9; 32]);
    let mut one = [0; 32];
    one[0] = 1;
    for low in [[0; 32], one] {
        let refused =
            Paired::Account(master.clone()).answer(&PairingPublic::from_bytes(low), fresh(), fresh());
        assert_eq!(refused, Err(SealError::WeakKey));
        let refused =
            wrapped::wrap(&DataKey::from_bytes([1; 32]), &ContentPublic::from_bytes(low), fresh(), fresh());
        assert_eq!(refused, Err(SealError::WeakKey));
    }
}

#[test]
fn sizes_are_bounded_on_both_sides() {
    let key = SealingKey::data(&DataKey::from_bytes([1; 32]));
    let large = vec![0; delight_crypto::sealing::MAX_PLAINTEXT + 1];
    assert!(matches!(key.seal(&large, fresh()), Err(SealError::TooLarge { .. })));
    assert!(matches!(key.open(&vec![0; large.len() + 40]), Err(OpenError::TooLarge { .. })));
    assert!(matches!(key.open_base64(&"A".repeat(30 << 20)), Err(OpenError::TooLarge { .. })));
    assert!(matches!(key.open(&[0; 28]), Err(OpenError::TooShort { got: 28, least: 29 })));
    let content = ContentSecret::from_bytes([1; 32]);
    assert!(matches!(wrapped::unwrap(&"A".repeat(1 << 20), &content), Err(OpenError::TooLarge { .. })));
    assert!(matches!(wrapped::unwrap("", &content), Err(OpenError::TooShort { .. })));
    assert_eq!(wrapped::unwrap("AQAA", &content), Err(OpenError::Version(1)));
}

#[test]
fn nothing_secret_is_printed() {
    let key = SealingKey::data(&DataKey::from_bytes([0x41; 32]));
    let sealed = key.seal(b"canary", fresh()).unwrap();
    let opened = key.open(sealed.as_bytes()).unwrap();
    let shown = format!("{key:?} {opened:?} {:?}", Paired::Account(MasterSecret::from_bytes([0x41; 32])));
    assert!(!shown.contains("canary") && !shown.contains("65") && !shown.contains("AAAA"), "{shown}");
}

fn fresh<const N: usize>() -> Fresh<N> {
    Fresh::new([3; N])
}
