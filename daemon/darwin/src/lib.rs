//! What macOS tells of processes, where Linux has `/proc`. Empty on every other platform.
//!
//! All of it asks `libproc` and `sysctl`, which a program may do about processes of its own user. It is compiled for macOS
//! in CI and has been run nowhere yet: CI has no Mac.
#![cfg(target_os = "macos")]

mod files;
mod process;
mod system;

pub use files::open_files;
pub use process::{Process, all, process};
pub use system::{boot_id, started_with};
