//! What the daemon tells its service manager, heard by a socket in its place.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use delight_tests::Sandbox;
use delight_tests::daemon::Daemon;

/// Readiness, life signs at half the watchdog's limit, and the end. Without a watchdog an idle daemon says nothing.
#[test]
fn the_service_manager_hears_of_readiness_life_and_the_end() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let heard = || {
        let mut buffer = [0; 4096];
        let len = manager.recv(&mut buffer).expect("the daemon says something");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    };
    let mut command = sandbox.command(delight_tests::binaries::program("delightd"));
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "200000");
    let daemon = Daemon::start(command, sandbox.next_daemon_log(), sandbox.place());
    let first = heard();
    assert!(first.contains("READY=1") && first.contains("STATUS=serving"), "{first}");
    for _ in 0..3 {
        assert_eq!(heard().trim(), "WATCHDOG=1");
    }
    assert!(daemon.terminate().success());
    let last = std::iter::repeat_with(heard).find(|said| said.trim() != "WATCHDOG=1").unwrap();
    assert_eq!(last.trim(), "STOPPING=1");
}
