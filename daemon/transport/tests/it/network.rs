//! The kernel tells of network changes.

#![cfg(target_os = "linux")]

use std::time::Duration;

use delight_transport::network_change::NetworkChanges;
use nix::sched::{CloneFlags, unshare};

#[test]
fn a_link_that_comes_up_is_a_change_and_quiet_is_none() {
    // A network namespace of this thread's own, whose loopback is still down: nothing else happens in it.
    let outcome = std::thread::spawn(|| {
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
            return Err(format!("no network namespace: {errno}"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut changes = NetworkChanges::watch().unwrap();
            let quiet = tokio::time::timeout(Duration::from_millis(50), changes.next()).await;
            assert!(quiet.is_err(), "nothing has changed");
            match std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status() {
                Ok(status) => assert!(status.success()),
                Err(error) => return Err(format!("no ip command: {error}")),
            }
            crate::must("the change", changes.next()).await.unwrap();
            Ok(())
        })
    })
    .join()
    .unwrap();
    if let Err(why) = outcome {
        println!("skipped: {why}");
    }
}
