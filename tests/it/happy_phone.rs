//! A phone made of Happy's own libraries (tweetnacl and the official Socket.IO client, from the npm package of its CLI), and
//! our daemon: nothing of ours is on the phone's side. (Happy's own remote client, `happy-agent`, is not published.)
//!
//! Where there is no node, no npm or no registry, the test says so and does nothing.

use std::process::Stdio;

use delight_tests::{Sandbox, binaries};

use crate::happy_package;
use crate::uplink::rig::Relay;

#[test]
fn a_phone_of_happys_libraries_drives_our_daemon() {
    let package = match happy_package::find() {
        Ok(package) => package,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let sandbox = Sandbox::new();
    let relay = Relay::start(&sandbox, "127.0.0.1:0");
    let _daemon = sandbox.start_daemon();
    let offered = sandbox.ctl(["pair", "--server", &relay.url(), "--no-wait", "--json"]).json();
    let walk = sandbox
        .command("timeout")
        .args(["--kill-after=5", "300", "node"])
        .arg(binaries::workspace().join("tests/it/happy_phone.mjs"))
        .arg(relay.url())
        .arg(&package)
        .arg(offered["happy_link"].as_str().unwrap())
        .arg(sandbox.home())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&walk.stdout).into_owned();
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
            "message",
            "permission",
            "woken",
            "kill"
        ],
        "{said}{}",
        String::from_utf8_lossy(&walk.stderr)
    );
    assert!(walk.status.success(), "{said}");
    assert!(!sandbox.client().list()[0].phase.is_live());
}
