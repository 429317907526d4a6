//! Who may know whom (ARCHITECTURE.md, "Crates"), asserted from `cargo metadata` and the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use delight_tests::binaries::workspace;
use serde_json::Value;

/// Crate, folder, and the crates of ours it may depend on outside its own tests. A new crate goes here, and into the
/// table of ARCHITECTURE.md, which is compared with this one.
const MAY_KNOW: &[(&str, &str, &[&str])] = &[
    ("delight-proto", "proto", &[]),
    ("delight-crypto", "proto/crypto", &[]),
    ("delight-journal", "daemon/journal", &[]),
    ("delight-darwin", "daemon/darwin", &[]),
    ("delight-core", "daemon/core", &["delight-proto"]),
    ("delight-holder", "daemon/holder", &["delight-proto", "delight-journal", "delight-darwin"]),
    (
        "delightd",
        "daemon",
        &[
            "delight-proto",
            "delight-core",
            "delight-journal",
            "delight-darwin",
            "delight-crypto",
            "delight-transport",
            "delight-relay",
        ],
    ),
    ("delight-transport", "daemon/transport", &[]),
    ("delightctl", "ctl", &["delight-proto"]),
    ("delight-relay", "relay", &["delight-proto"]),
    ("delight-sdk", "sdk", &["delight-proto", "delight-crypto", "delight-transport"]),
    ("delight-tests", "tests", &["delight-proto", "delight-crypto", "delight-transport", "delight-sdk"]),
];

/// Crates that must not be anywhere below a crate, however deep: `(crate, what, why)`.
const NEVER_BELOW: &[(&str, &[&str], &str)] = &[
    ("delight-proto", &["tokio", "nix", "rustix", "libc"], "shapes only, no I/O"),
    ("delight-crypto", &["tokio", "nix", "rustix"], "bytes in, bytes out"),
    ("delight-core", &["tokio", "nix", "rustix", "tracing", "log", "getrandom", "rand"], "pure reducers"),
    (
        "delight-holder",
        &["tokio", "mio", "hyper", "reqwest", "tracing", "sled"],
        "small: one thread, no network",
    ),
    ("delightctl", &["tokio", "sled"], "starts in no time"),
    ("delight-relay", &["delight-crypto"], "that the server cannot read sessions is a fact of this graph"),
];

/// The platform this is built on, as rustc names it.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").current_dir(workspace()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        // This platform only: a build has fetched no other's crates.
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &host()])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// Package id → names of the packages it is linked with: everything but dependencies of tests.
fn linked(metadata: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let is_linked =
        |dep: &Value| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
    nodes
        .iter()
        .map(|node| {
            let deps = node["deps"].as_array().unwrap().iter().filter(|dep| is_linked(dep));
            (text(node, "id"), deps.map(|dep| text(dep, "pkg")).collect())
        })
        .collect()
}

fn below<'a>(of: &'a str, linked: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let (mut found, mut next) = (BTreeSet::new(), vec![of]);
    while let Some(id) = next.pop() {
        for dep in linked.get(id).into_iter().flatten() {
            if found.insert(*dep) {
                next.push(dep);
            }
        }
    }
    found
}

#[test]
fn crates_know_only_whom_they_may() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeMap<&str, &str> = packages.iter().map(|p| (text(p, "id"), text(p, "name"))).collect();
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let linked = linked(&metadata);
    for id in &members {
        let name = names[id];
        let Some((_, _, may)) = MAY_KNOW.iter().find(|(n, _, _)| *n == name) else {
            panic!("{name} is not in the table of who may know whom");
        };
        let knows = linked[id].iter().filter(|dep| members.contains(*dep)).map(|dep| names[dep]);
        for known in knows {
            assert!(may.contains(&known), "{name} must not know {known}");
        }
        for (crate_name, never, why) in NEVER_BELOW.iter().filter(|(n, _, _)| *n == name) {
            let all: BTreeSet<&str> = below(id, &linked).into_iter().map(|dep| names[dep]).collect();
            for banned in *never {
                assert!(!all.contains(banned), "{crate_name} links {banned}: {why}");
            }
        }
    }
}

#[test]
fn architecture_md_lists_the_crates_there_are() {
    let page = std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    let metadata = metadata();
    for package in metadata["packages"].as_array().unwrap() {
        let name = text(package, "name");
        let manifest = Path::new(text(package, "manifest_path"));
        let Ok(inside) = manifest.strip_prefix(workspace()) else { continue };
        let folder = inside.parent().unwrap().to_str().unwrap();
        let row = format!("| {name} | `{folder}` |");
        assert!(page.contains(&row), "ARCHITECTURE.md has no row that begins {row:?}");
        assert!(MAY_KNOW.iter().any(|(n, f, _)| *n == name && *f == folder), "{name} lies in {folder}");
    }
}

/// Every Rust source below a folder, with its path relative to the workspace.
fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut next) = (Vec::new(), vec![workspace().join(below)]);
    while let Some(path) = next.pop() {
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default();
            if name != "target" && name != ".git" {
                next.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(workspace()).unwrap().to_owned(), text));
        }
    }
    found
}

/// A source without its comments and without its test modules, which stand at the end of a file.
fn product_code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn files_are_named_for_their_concern() {
    const SAY_NOTHING: &[&str] =
        &["util", "utils", "helper", "helpers", "types", "manager", "common", "misc"];
    for (path, _) in sources(".") {
        for part in path.with_extension("").iter().map(|part| part.to_str().unwrap()) {
            assert!(!SAY_NOTHING.contains(&part), "{} says nothing about its concern", path.display());
        }
    }
}

#[test]
fn files_do_not_grow_without_end() {
    for (path, text) in sources(".") {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines: a second concern has moved in", path.display());
    }
}

#[test]
fn core_reads_no_clock_environment_or_file_and_holds_no_lock() {
    const BANNED: &[&str] = &[
        "Instant::now",
        "SystemTime",
        "std::env",
        "std::fs",
        "std::io::stdin",
        "std::io::stdout",
        "std::io::stderr",
        "std::net",
        "std::process",
        "std::thread",
        "std::sync::mpsc",
        "Mutex",
        "RwLock",
        "Condvar",
        "HashMap",
        "HashSet",
        "println!",
        "dbg!",
        "async fn",
        ".await;",
        ".await?",
    ];
    for (path, text) in sources("daemon/core/src") {
        // The simulated world prints the command that replays a failing seed, and reads it from the environment.
        if path.starts_with("daemon/core/src/testing") {
            continue;
        }
        let code = product_code(&text);
        for banned in BANNED {
            assert!(!code.contains(banned), "{} uses {banned}", path.display());
        }
    }
}

#[test]
fn core_and_holder_name_no_session_kind() {
    for folder in ["daemon/core/src", "daemon/holder/src"] {
        for (path, text) in sources(folder) {
            if path.starts_with("daemon/core/src/testing") {
                continue;
            }
            let code = product_code(&text);
            for kind in ["\"pty\"", "\"fake\"", "\"claude\"", "\"codex\"", "\"acp\"", "\"file-editor\""] {
                assert!(!code.contains(kind), "{} names the session kind {kind}", path.display());
            }
        }
    }
}

#[test]
fn only_the_store_names_sled() {
    for (path, text) in sources(".") {
        if path.starts_with("daemon/src/store") || path.starts_with("tests") {
            continue;
        }
        assert!(!product_code(&text).contains("sled::"), "{} names sled", path.display());
    }
}

#[test]
fn only_the_registry_names_a_concrete_adapter() {
    // What adapters share lies beside them; the rest, a file or a folder each, are adapters.
    const SHARED: &[&str] = &[
        "mod",
        "registry",
        "conformance",
        "codec",
        "environment",
        "agents_config",
        "derived_id",
        "given",
        "json_rpc",
        "line_file",
        "plans",
        "program",
        "recorded",
        "shown",
        "watching",
    ];
    let adapters: Vec<String> = std::fs::read_dir(workspace().join("daemon/src/adapters"))
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().path().file_stem()?.to_str()?.to_owned()))
        .filter(|stem| !SHARED.contains(&stem.as_str()))
        .collect();
    assert!(adapters.contains(&"pty".to_owned()), "where are the adapters? {adapters:?}");
    for (path, text) in sources("daemon/src") {
        if path.ends_with("adapters/registry.rs") || path.ends_with("adapters/mod.rs") {
            continue;
        }
        let code = product_code(&text);
        for adapter in &adapters {
            let own = format!("daemon/src/adapters/{adapter}");
            if path.to_string_lossy().contains(&own) {
                continue;
            }
            for naming in [format!("adapters::{adapter}"), format!("super::{adapter}::")] {
                assert!(!code.contains(&naming), "{} names the adapter {adapter}", path.display());
            }
        }
    }
}

/// The table of what the session's state machine must do names the tests that hold it.
#[test]
fn the_rows_of_the_session_have_tests() {
    let all: String = sources(".").into_iter().map(|(_, text)| text).collect();
    let page = std::fs::read_to_string(workspace().join("daemon/core/tests/session/main.rs")).unwrap();
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("//! | ") && line.contains('`')).collect();
    assert!(rows.len() >= 36, "twenty rows and sixteen rules: {rows:?}");
    for test in rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2)) {
        assert!(all.contains(&format!("fn {test}()")), "the session's table names {test}, which is no test");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    for (path, text) in sources(".") {
        if path.ends_with("it/architecture.rs") {
            continue;
        }
        for mark in ["todo!(", "unimplemented!(", "TODO", "FIXME", "#[ignore]"] {
            assert!(!text.contains(mark), "{} has {mark}", path.display());
        }
    }
}

/// Nothing that runs on the owner's machine trusts what a C library trusts (the sdk can, with a feature that is off).
#[test]
fn the_owners_programs_link_no_foreign_tls() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeMap<&str, &str> = packages.iter().map(|p| (text(p, "id"), text(p, "name"))).collect();
    let linked = linked(&metadata);
    for program in ["delightd", "delight-holder", "delightctl", "delight-relay", "delight-sdk"] {
        let (id, _) = names.iter().find(|(_, name)| **name == program).unwrap();
        for banned in ["native-tls", "openssl-sys"] {
            assert!(!below(id, &linked).iter().any(|dep| names[dep] == banned), "{program} links {banned}");
        }
    }
}
