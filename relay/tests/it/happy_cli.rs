//! The real `happy` CLI, from npm: it pairs with this relay, its daemon registers, and its sessions work through it.
//!
//! `DELIGHT_HAPPY_CLI` names an installed package; otherwise npm installs one beside the build, once. Where there is no node,
//! no npm or no registry, the test says so and does nothing. Everything happens on loopback and in temporary directories.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::rig::Rig;

const VERSION: &str = "1.2.5";
/// npm fetches some 570 packages the first time.
const INSTALLING: Duration = Duration::from_secs(900);
/// A walk takes half a minute on an idle machine; starting this CLI is slow where others build.
const WALKING: Duration = Duration::from_secs(600);

async fn works(program: &str, argument: &str) -> bool {
    let status =
        Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    status.is_ok_and(|status| status.success())
}

/// The package's directory, or why there is none.
async fn package() -> Result<PathBuf, String> {
    for (program, argument) in [("node", "--version"), ("script", "--version")] {
        if !works(program, argument).await {
            return Err(format!("there is no {program}"));
        }
    }
    if let Some(named) = std::env::var_os("DELIGHT_HAPPY_CLI").map(PathBuf::from) {
        return Ok(named);
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("happy-{VERSION}"));
    let package = place.join("node_modules/happy");
    let complete = place.join("complete");
    if complete.exists() {
        return Ok(package);
    }
    if !works("npm", "--version").await {
        return Err("there is no npm".to_owned());
    }
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("package.json"), r#"{"private":true}"#).unwrap();
    let install = Command::new("npm")
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1"])
        .arg(format!("happy@{VERSION}"))
        .current_dir(&place)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match timeout(INSTALLING, install).await {
        Ok(Ok(output)) if output.status.success() => {
            std::fs::write(complete, "").unwrap();
            Ok(package)
        }
        Ok(Ok(output)) => Err(format!(
            "npm could not install it: {}",
            String::from_utf8_lossy(&output.stderr)
                .lines()
                .find(|line| line.contains("ERR"))
                .unwrap_or("no reason given")
        )),
        Ok(Err(why)) => Err(format!("npm could not run: {why}")),
        Err(_) => Err("npm took too long".to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_cli_pairs_registers_and_works() {
    let package = match package().await {
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
