//! Where the programs under test are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory of this build's programs, which are built the first time it is asked for.
///
/// `DELIGHT_BIN_DIR` names a directory of ready ones instead: then nothing is built.
///
/// # Panics
/// When they cannot be built.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| match std::env::var_os("DELIGHT_BIN_DIR") {
        Some(dir) => std::path::absolute(dir).unwrap(),
        None => build(),
    })
}

/// One program.
pub fn program(name: &str) -> PathBuf {
    let path = dir().join(name);
    assert!(path.is_file(), "{} is not built", path.display());
    path
}

/// Builds all programs with the profile and the target directory of the program that runs now: they come from the same
/// sources as the test that asks.
fn build() -> PathBuf {
    let running = std::env::current_exe().unwrap();
    // TARGET/PROFILE/deps/it-HASH for a test, TARGET/PROFILE/delight-bench for a program.
    let mut dir = running.parent().unwrap();
    if dir.ends_with("deps") {
        dir = dir.parent().unwrap();
    }
    let profile = match dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--workspace", "--bins", "--profile", profile, "--target-dir"])
        .arg(dir.parent().unwrap())
        .current_dir(workspace())
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "the programs under test do not build");
    dir.to_owned()
}

/// The top of the source tree.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
