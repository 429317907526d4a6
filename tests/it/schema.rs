//! The committed JSON Schema of the control API is the one the code has.

use delight_tests::binaries::workspace;
use serde_json::Value;

#[test]
fn the_committed_schema_is_the_codes_own() {
    let path = workspace().join("proto/api.schema.json");
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let code = delight_proto::api::schema::document();
    assert!(
        committed == code,
        "{} is not what the code says; write it anew with:\n  \
         cargo run -p delight-tests --bin delight-schema > proto/api.schema.json",
        path.display()
    );
}

#[test]
fn the_schema_has_every_method_and_every_method_a_description() {
    let document = delight_proto::api::schema::document();
    let methods = document["methods"].as_object().unwrap();
    let mut named: Vec<&str> = methods.keys().map(String::as_str).collect();
    let mut wanted = delight_proto::api::method::NAMES.to_vec();
    named.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(named, wanted);
    for (name, method) in methods {
        assert!(method["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }
}

/// The daemon offers what the schema says, no more and no less.
#[test]
fn the_daemon_offers_exactly_the_methods_of_the_schema() {
    let (sandbox, _daemon) = delight_tests::Sandbox::with_daemon();
    let client = sandbox.client();
    let mut offered = client.daemon().methods.clone();
    let mut wanted: Vec<String> =
        delight_proto::api::method::NAMES.iter().map(|&name| name.to_owned()).collect();
    offered.sort();
    wanted.sort();
    assert_eq!(offered, wanted);
    assert!(client.daemon().kinds.contains(&"pty".to_owned()));
    assert!(client.daemon().kinds.contains(&"fake".to_owned()));
}
