//! The real `happy` CLI, from npm.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delight_crypto::{ContentSecret, Dialect, MasterSecret};
use delight_tests::Sandbox;
use delight_tests::link::{Link, MACHINE};
use serde_json::json;

/// The version the relay's tests install (`relay/tests/it/happy_cli.rs`).
const VERSION: &str = "1.2.5";

/// The package's directory, or why there is none. The bench installs nothing: that would take minutes.
pub(super) fn package() -> Result<PathBuf, String> {
    let status = Command::new("node").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err("there is no node".to_owned());
    }
    if let Some(named) = std::env::var_os("DELIGHT_HAPPY_CLI").map(PathBuf::from) {
        return Ok(named);
    }
    // TARGET/PROFILE/delight-bench; the tests' own directory is TARGET/tmp.
    let running = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = running.parent().and_then(|profile| profile.parent()).ok_or("no target directory")?;
    let place = target.join("tmp").join(format!("happy-{VERSION}"));
    if place.join("complete").exists() {
        return Ok(place.join("node_modules/happy"));
    }
    Err(format!(
        "{} is not there; `cargo test -p delight-relay happy_cli` installs it, and DELIGHT_HAPPY_CLI names another",
        place.display()
    ))
}

/// Writes what a pairing leaves behind.
pub(super) fn pair(sandbox: &Sandbox, link: &Link, token: &str) {
    let home = sandbox.home().join(".happy");
    fs::create_dir(&home).unwrap();
    let content = ContentSecret::derive(&MasterSecret::from_bytes(link.master), Dialect::Happy).public();
    let key = json!({
        "encryption": { "publicKey": content.to_base64(), "machineKey": BASE64.encode(link.machine_key) },
        "token": token,
    });
    let settings = json!({ "schemaVersion": 2, "onboardingCompleted": true, "machineId": MACHINE });
    fs::write(home.join("access.key"), key.to_string()).unwrap();
    fs::write(home.join("settings.json"), settings.to_string()).unwrap();
}

/// Starts its daemon and does not wait for anything.
pub(super) fn start(sandbox: &Sandbox, url: &str) -> Child {
    let package = package().unwrap();
    sandbox
        .command("node")
        .args(["--no-warnings", "--no-deprecation"])
        .arg(package.join("dist/index.mjs"))
        .args(["daemon", "start-sync"])
        .env("HAPPY_HOME_DIR", sandbox.home().join(".happy"))
        .env("HAPPY_SERVER_URL", url)
        .env("HAPPY_DISABLE_CAFFEINATE", "1")
        .env("CI", "false")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
