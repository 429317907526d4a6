//! Who serves, who may come in, and whose files these are.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use delight_proto::session::Phase;
use delight_tests::daemon::Daemon;
use delight_tests::{Sandbox, binaries, kernel, until_some};

/// Status of a daemon that found another one serving (systemd is told not to try again).
const ANOTHER_SERVES: i32 = 6;

fn launch(sandbox: &Sandbox) -> Daemon {
    Daemon::launch(sandbox.command(binaries::program("delightd")), sandbox.next_daemon_log())
}

#[test]
fn two_daemons_one_wins_other_exits_cleanly() {
    let (sandbox, first) = Sandbox::with_daemon();
    let id = sandbox.client().spawn(&["sleep", "1000"]).id;
    let second = launch(&sandbox);
    let pid = first.pid().to_string();
    let log = sandbox.path().join("daemon-1.log");
    assert_eq!(second.ended().code(), Some(ANOTHER_SERVES));
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains(&pid), "it says who holds the lock: {said}");
    assert_eq!(sandbox.client().get(id).phase, Phase::Running);
    assert_eq!(sandbox.client().daemon().pid, first.pid(), "the first one serves on");
}

/// Ten at once, from nothing: one serves.
#[test]
fn of_many_daemons_started_at_once_one_serves() {
    let sandbox = Sandbox::new();
    let daemons: Vec<Daemon> = (0..10).map(|_| launch(&sandbox)).collect();
    let serving = until_some("one of them answers", || {
        let client = delight_tests::api::Client::connect(&sandbox.place().control_socket()).ok()?;
        Some(client.daemon().pid)
    });
    // The one that serves stays until all others have ended: one that starts late would rightly serve in its place.
    let (server, others): (Vec<_>, Vec<_>) = daemons.into_iter().partition(|daemon| daemon.pid() == serving);
    for daemon in others {
        assert_eq!(daemon.ended().code(), Some(ANOTHER_SERVES));
    }
    for daemon in server {
        daemon.terminate();
    }
}

#[test]
fn stale_socket_vs_live_socket() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let socket = sandbox.place().control_socket();
    daemon.kill9();
    assert!(socket.exists(), "a killed daemon leaves its socket file");
    assert!(UnixStream::connect(&socket).is_err());
    let daemon = sandbox.start_daemon();
    daemon.kill9();
    // A live one of somebody else's is never taken, lock or no lock.
    std::fs::remove_file(&socket).unwrap();
    let somebody = UnixListener::bind(&socket).unwrap();
    let second = launch(&sandbox);
    let status = second.ended();
    assert!(!status.success(), "it must refuse");
    somebody.set_nonblocking(true).unwrap();
    assert!(UnixStream::connect(&socket).is_ok(), "the live socket is still there");
}

#[test]
fn everything_is_readable_by_its_owner_only() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn_script("say private; hang").id;
    let place = sandbox.place();
    for directory in
        [&place.state, &place.runtime, &place.holder_sockets(), &place.session(id), &place.sessions()]
    {
        assert_eq!(kernel::mode(directory), 0o700, "{}", directory.display());
    }
    for socket in [place.control_socket(), place.holder_socket(id)] {
        assert_eq!(kernel::mode(&socket), 0o600, "{}", socket.display());
    }
    let mut next = vec![place.state.clone()];
    while let Some(path) = next.pop() {
        assert_eq!(kernel::mode(&path) & 0o077, 0, "{} is open to others", path.display());
        if path.is_dir() {
            next.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

/// A runtime directory others can write to could hold a socket that is not ours.
#[test]
fn a_directory_that_others_can_write_is_refused() {
    for which in ["run", "state"] {
        let sandbox = Sandbox::new();
        let open = sandbox.path().join(which);
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        let daemon = launch(&sandbox);
        let log = sandbox.path().join("daemon-0.log");
        assert!(!daemon.ended().success(), "{which} with mode 0777 was accepted");
        let said = std::fs::read_to_string(log).unwrap();
        assert!(said.contains(open.to_str().unwrap()), "{said}");
    }
}

/// Another user may not even ask. [happy 5.4: a control port that asks nobody who he is]
#[test]
fn another_user_is_refused_at_both_sockets() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can be somebody else");
        return;
    }
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn_script("say secret; hang").id;
    let place = sandbox.place();
    // The modes alone would keep a stranger out; open them to see that the peer's uid is checked as well.
    for path in [sandbox.path(), &place.runtime, &place.holder_sockets()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for socket in [place.control_socket(), place.holder_socket(id)] {
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
        let hello = r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"client":"x","protocol":1}}"#;
        // Perl is the one language every Debian has, readable by everybody.
        let script = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die \"connect: $!\"; \
                      alarm 20; $s->autoflush(1); print $s \"$ARGV[1]\\n\"; \
                      my $got = <$s>; print defined $got ? $got : \"closed\";";
        let output = sandbox
            .command("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", script])
            .arg(&socket)
            .arg(hello)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // It may be thrown out before it has said anything; but it must have come as far as the door.
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!complaint.contains("connect:") && !complaint.contains("setpriv"), "{complaint}");
        assert!(!said.contains("result") && !said.contains("methods"), "a stranger was served: {said}");
        assert!(!said.contains("secret"), "a stranger saw the screen: {said}");
    }
}
