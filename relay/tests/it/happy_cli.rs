//! The real `happy` CLI, from npm: it pairs with this relay, its daemon registers, and its sessions work through it.
//!
//! `DELIGHT_HAPPY_CLI` names an installed package; otherwise npm installs one beside the build, once. Where there is no node,
//! no npm or no registry, the test says so and does nothing. Everything happens on loopback and in temporary directories.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::happy_package;
use super::rig::Rig;

/// A walk takes half a minute on an idle machine; starting this CLI is slow where others build.
const WALKING: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_cli_pairs_registers_and_works() {
    let found = tokio::task::spawn_blocking(|| match happy_package::works("script", "--version") {
        true => happy_package::find(),
        false => Err("there is no script".to_owned()),
    });
    let package = match found.await.unwrap() {
        Ok(package) => package,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let rig = Rig::start().await;
    let (home, work) = (rig.directory.path().join("home"), rig.directory.path().join("work"));
    for directory in [&home, &work] {
        std::fs::create_dir(directory).unwrap();
    }
    let walk = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/happy_phone.mjs"))
        .arg(&rig.base)
        .args([&package, &home, &work])
        // Its daemon and sessions inherit this: nothing of whoever runs the test may reach them.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &home)
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(WALKING, walk).await.expect("the walk ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let steps: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
    assert_eq!(
        steps,
        [
            "account",
            "pairing",
            "machine",
            "machine call",
            "spawn asks",
            "spawn",
            "session call",
            "large answer",
            "messages",
            "kill",
            "stop"
        ],
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
}
