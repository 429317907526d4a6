//! Has the linker pack the daemon's relocations where the C library can read them (glibc from 2.36 on): unpacked they
//! are 0.6 MB that each start reads and that stay in memory. A program linked so does not start with an older C library,
//! so this is done only for the machine that builds it.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    if of("HOST") == of("TARGET")
        && of("CARGO_CFG_TARGET_ENV") == "gnu"
        && glibc().is_some_and(|it| it >= (2, 36))
    {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc, if it has one.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
