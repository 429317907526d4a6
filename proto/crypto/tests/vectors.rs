//! Every published vector, of libsodium, OpenSSL and PyCryptodome, and of the programs that speak the wire today.

use delight_crypto::pairing::Paired;
use delight_crypto::{
    BlobKey, ContentPublic, ContentSecret, DataKey, Dialect, Fresh, MasterSecret, PairingSecret, SealingKey,
    SigningKey, SigningSeed, Variant, verify, wrapped,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `from`, `from + 1`, …
fn run<const N: usize>(from: u8) -> [u8; N] {
    std::array::from_fn(|i| from + i as u8)
}

fn master() -> MasterSecret {
    MasterSecret::from_bytes(run(0))
}

const HELLO: &[u8] = br#"{"role":"user","content":{"type":"text","text":"hello"}}"#;

#[test]
fn the_master_secret_is_read_from_its_text() {
    let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert_eq!(MasterSecret::from_base64(text), Ok(master()));
    assert_eq!(*master().expose_base64(), text);
}

#[test]
fn content_keys_of_all_three_dialects() {
    for (dialect, public) in [
        (Dialect::EarlyDelight, "f561364a6e396243ca7022fb504a41d4709355935f1f65f98481cdfcb2325c39"),
        (Dialect::LateDelight, "68e7521e77d6656087548a9a98021b9ff3aa08f9b5159f33d394db91baebdd52"),
        (Dialect::Happy, "241af979415ad6dbc99d93af8c2babf288cf96084ad6e8fe7072ed4e229d445b"),
    ] {
        let secret = ContentSecret::derive(&master(), dialect);
        assert_eq!(hex(secret.public().as_bytes()), public, "{dialect:?}");
    }
    let happy = ContentSecret::derive(&master(), Dialect::Happy);
    assert_eq!(hex(happy.expose()), "56f43aee0c93b2163b5e45b14264d06b0c9613195e23da0190f6838d6ac9c562");
}

#[test]
fn signing_keys_of_both_conventions() {
    let happy = SigningKey::derive(&master(), Dialect::Happy);
    assert_eq!(hex(&happy.public()), "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");

    let seed = SigningSeed::derive(&master(), Dialect::LateDelight);
    assert_eq!(hex(seed.expose()), "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd");
    let late = SigningKey::from_seed(&seed);
    assert_eq!(hex(&late.public()), "5bf2e2423666c25ff229a291c411f875a6d0582a72e16c5e334a74b60033c2d3");

    let challenge: [u8; 32] = run(0xa0);
    let signature = late.sign(&challenge).unwrap();
    let text = late.sign_base64("oKGio6SlpqeoqaqrrK2ur7CxsrO0tba3uLm6u7y9vr8=").unwrap();
    assert_eq!(
        text,
        "KvgkIgRaZKBh7x142MIjkpn6W0Ug66o3uwVeRK4WAWe+5Dul3kHs7iHpultBKZhWZxP8YwgA+UUjp83RXXGrCg=="
    );
    assert!(verify(&late.public(), &challenge, &signature).is_ok());
    assert!(verify(&happy.public(), &challenge, &signature).is_err());
    assert!(verify(&late.public(), &challenge[1..], &signature).is_err());
    assert!(verify(&late.public(), &challenge, &signature[1..]).is_err());
    assert!(late.sign(&[0; 1_025]).is_none());
}

#[test]
fn pairing_in_both_forms() {
    let cli = PairingSecret::from_bytes(run(0x40));
    assert_eq!(
        hex(cli.public().as_bytes()),
        "79a631eede1bf9c98f12032cdeadd0e7a079398fc786b88cc846ec89af85a51a"
    );
    assert_eq!(cli.public().to_base64url(), "eaYx7t4b-cmPEgMs3q3Q56B5OY_HhriMyEbsia-FpRo");

    let second = Paired::ContentKey(ContentPublic::from_bytes(run(0)));
    for (paired, answer) in [
        (
            Paired::Account(master()),
            "Z13VdO13iTELPS52gfN5C0ZsdzsVIf7PNld5WDcepS+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpdqMIKcMDTOiFfS4+z/igmVzT/OdaMHgXT0WYjOvtBKwBCLTVGIn7MYScssCR4pilU=",
        ),
        (
            second,
            "Z13VdO13iTELPS52gfN5C0ZsdzsVIf7PNld5WDcepS+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpfqfQ5yDgCgvRIlHDkT5gNPzT7NdKQGgnX7WIvPudFJwQ+KTlCPnrAZRsovCBkoiVRq",
        ),
    ] {
        let ours = paired.answer(&cli.public(), Fresh::new(run(0x60)), Fresh::new(run(0x80))).unwrap();
        assert_eq!(ours, answer);
        assert_eq!(cli.open_answer(answer), Ok(paired));
    }
}

#[test]
fn wrapped_data_keys() {
    let key = DataKey::from_bytes(run(0x20));
    for (dialect, text) in [
        (
            Dialect::EarlyDelight,
            "AGdd1XTtd4kxCz0udoHzeQtGbHc7FSH+zzZXeVg3HqUvgIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXA8rttPjLhgx0EdSrHpl95wF4bkT1P5Om+sB+nI/L6QGXCo982UwjV2RHPxCqVum1",
        ),
        (
            Dialect::LateDelight,
            "AGdd1XTtd4kxCz0udoHzeQtGbHc7FSH+zzZXeVg3HqUvgIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXZr6pqlggEN2PySBtUSb9oDqLsd3rfQ6UkUM1EUSIpy1Zl6BQV2ZTsuK2tM01bxEF",
        ),
    ] {
        let secret = ContentSecret::derive(&master(), dialect);
        let ours =
            wrapped::wrap(&key, &secret.public(), Fresh::new(run(0x60)), Fresh::new(run(0x80))).unwrap();
        assert_eq!(ours, text, "{dialect:?}");
        assert_eq!(wrapped::unwrap(text, &secret), Ok(key.clone()));
    }
}

#[test]
fn envelopes() {
    let key = SealingKey::data(&DataKey::from_bytes(run(0x20)));
    for (plaintext, text) in [
        (
            HELLO,
            "ALCxsrO0tba3uLm6u03YWCj+Ruo0EHhun3EfsRT1XMzv7ybgE9o/jSysV2j9Lu8lka2JNArjEH51qIOmAr+cihNEL3dlqySl95J+bUH3JUQ3g7QI4w==",
        ),
        (b"null".as_slice(), "ALCxsrO0tba3uLm6u1iPRiu7qBBOqezzxyf30U8naEBv"),
    ] {
        assert_eq!(key.seal(plaintext, Fresh::new(run(0xb0))).unwrap().to_base64(), text);
        let opened = key.open_base64(text).unwrap();
        assert_eq!((opened.plaintext(), opened.variant()), (plaintext, Variant::Envelope));
    }
}

#[test]
fn secretboxes_also_when_they_begin_as_an_envelope_does() {
    let key = SealingKey::legacy(&master());
    let plain: [u8; 24] = run(0xc0);
    let mut zero = plain;
    zero[0] = 0;
    for (nonce, text) in [
        (
            plain,
            "wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbXKipmPvuXhcIqAMz2Pp3FeObV8eY21lLVGV2vMeJQ61f9eo0744Ika0yey0lkfi1LfOl/cCFal122cXrvdL6W05GYRCu4WS4D",
        ),
        (
            zero,
            "AMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbXyNvpvVzh0ETMWRhXAlgJu4vzsTT815KGIk2SXn/TRreHqODJCilepIh0NhLTk+5B1RSgfNWJo60W+0iRR67ZGdCmZWXpQ0tp",
        ),
    ] {
        assert_eq!(key.seal(HELLO, Fresh::new(nonce)).unwrap().to_base64(), text);
        let opened = key.open_base64(text).unwrap();
        assert_eq!((opened.plaintext(), opened.variant()), (HELLO, Variant::Secretbox));
    }
}

/// What the real server, command line and remote client of Happy accepted.
#[test]
fn happy_as_it_is_today() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("data/happy.json")).unwrap();
    let text = |name: &str| vectors[name].as_str().unwrap();

    assert_eq!(hex(master().expose()), text("masterSecretHex"));
    assert_eq!(hex(&SigningKey::derive(&master(), Dialect::Happy).public()), text("signPublicKeyHex"));
    let content = ContentSecret::derive(&master(), Dialect::Happy);
    assert_eq!(hex(content.expose()), text("contentSecretKeyHex"));
    assert_eq!(hex(content.public().as_bytes()), text("contentPublicKeyHex"));

    let data = DataKey::from_bytes([7; 32]);
    assert_eq!(hex(data.expose()), text("dataKeyHex"));
    assert_eq!(wrapped::unwrap(text("wrappedDataKeyB64"), &content), Ok(data.clone()));
    assert_eq!(hex(BlobKey::of_account(&master()).expose()), text("blobKeyLegacyHex"));
    assert_eq!(hex(BlobKey::of_session(&data).expose()), text("blobKeyDataKeyHex_fromDataKey07"));

    let plaintext = serde_json::to_vec(&vectors["plaintext"]).unwrap();
    let data = SealingKey::data(&data);
    let legacy = SealingKey::legacy(&master());
    assert_eq!(data.open_base64(text("sealedDataKeyB64")).unwrap().plaintext(), plaintext);
    assert_eq!(legacy.open_base64(text("sealedLegacyB64")).unwrap().plaintext(), plaintext);

    let void = data.open_base64(text("sealedUndefinedB64")).unwrap();
    assert!(void.is_void());
    assert_eq!(void.json(), b"null");
}
