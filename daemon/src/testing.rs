//! The real holder for tests of this crate.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The holder's program, built into the directory the tests were built into.
pub(crate) fn holder_program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            let exe = std::env::current_exe().unwrap();
            // TARGET/PROFILE/deps/delightd-HASH
            let profile = exe.parent().and_then(|deps| deps.parent()).unwrap();
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            build.args(["build", "--quiet", "-p", "delight-holder", "--target-dir"]);
            build.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
            if profile.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success(), "delight-holder does not build");
            profile.join("delight-holder")
        })
        .clone()
}

/// Directories that need not be there.
pub(crate) fn nowhere() -> delight_proto::place::Place {
    delight_proto::place::Place { state: "/s".into(), runtime: "/r".into(), config: "/c".into() }
}
