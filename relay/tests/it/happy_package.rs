//! Happy's own package from npm, installed once beside the build. Also used by `tests/it`, where Happy's libraries are the
//! phone of our daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const VERSION: &str = "1.2.5";
/// npm fetches some 570 packages the first time.
const INSTALLING: Duration = Duration::from_secs(900);

/// Whether a program can be run.
pub(crate) fn works(program: &str, argument: &str) -> bool {
    let status = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The package's directory, or why there is none. `DELIGHT_HAPPY_CLI` names an installed one.
pub(crate) fn find() -> Result<PathBuf, String> {
    if !works("node", "--version") {
        return Err("there is no node".to_owned());
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
    if !works("npm", "--version") {
        return Err("there is no npm".to_owned());
    }
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("package.json"), r#"{"private":true}"#).unwrap();
    let log = place.join("install.log");
    let mut install = Command::new("npm")
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1"])
        .arg(format!("happy@{VERSION}"))
        .current_dir(&place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .map_err(|why| format!("npm could not run: {why}"))?;
    let deadline = Instant::now() + INSTALLING;
    let status = loop {
        if let Some(status) = install.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            install.kill().unwrap();
            install.wait().unwrap();
            return Err("npm took too long".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let why = said.lines().find(|line| line.contains("ERR")).unwrap_or("no reason given");
        return Err(format!("npm could not install it: {why}"));
    }
    fs::write(complete, "").unwrap();
    Ok(package)
}
