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

/// What the daemon offers it answers, what it does not offer it refuses by name, and the schema has all of it.
#[test]
fn the_daemon_offers_methods_of_the_schema_and_serves_what_it_offers() {
    let (sandbox, _daemon) = delight_tests::Sandbox::with_daemon();
    let offered = sandbox.client().daemon().methods.clone();
    let named = delight_proto::api::method::NAMES;
    assert!(offered.iter().all(|method| named.contains(&method.as_str())), "{offered:?}");
    assert!(offered.len() > 20, "{offered:?}");
    for method in named {
        // Parameters no method takes: what is served says so, and nothing is done.
        let mut client = sandbox.client();
        client
            .send_raw(
                format!("{{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"{method}\",\"params\":5}}\n")
                    .as_bytes(),
            )
            .unwrap();
        let delight_tests::api::Line::Answer(answer) = client.read().unwrap() else {
            panic!("{method}: no answer");
        };
        let unknown =
            answer.error.is_some_and(|e| e.data.code == delight_proto::refusal::Code::UnknownMethod);
        assert_eq!(unknown, !offered.iter().any(|o| o == method), "{method}");
    }
    let kinds = sandbox.client().daemon().kinds.clone();
    assert!(kinds.contains(&"pty".to_owned()) && kinds.contains(&"fake".to_owned()), "{kinds:?}");
}
