//! The service units: well-formed, saying what they must, and held to it by a real systemd.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use delight_proto::session::Phase;
use delight_tests::binaries::{program, workspace};
use delight_tests::{Sandbox, kernel, until};

fn unit_text(delightd: &Path) -> String {
    let text = std::fs::read_to_string(workspace().join("systemd/delightd.service")).unwrap();
    text.replace("@DELIGHTD@", delightd.to_str().unwrap())
}

fn on_machine(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&path).chain([PathBuf::from("/lib/systemd")]);
    places.map(|place| place.join(name)).find(|path| path.is_file())
}

/// What the systemd unit must say, and what it must never say.
#[test]
fn the_systemd_unit_leaves_sessions_alone() {
    let text = unit_text(Path::new("/opt/delight/delightd"));
    for line in [
        "Type=notify",
        "KillMode=process",
        "OOMPolicy=continue",
        "Restart=on-failure",
        "ExecStart=/opt/delight/delightd run",
        "RestartPreventExitStatus=6",
    ] {
        assert!(text.lines().any(|l| l == line), "the unit does not say {line}");
    }
    assert!(text.lines().any(|line| line.starts_with("WatchdogSec=")));
    // Sessions would inherit each of these.
    for setting in [
        "NoNewPrivileges",
        "PrivateTmp",
        "ProtectSystem",
        "ProtectHome",
        "UMask",
        "SystemCallFilter",
        "MemoryMax",
    ] {
        assert!(!text.lines().any(|line| line.starts_with(setting)), "{setting} would be forced on sessions");
    }
}

#[test]
fn the_systemd_unit_passes_systemds_own_check() {
    let Some(analyze) = on_machine("systemd-analyze") else {
        println!("skipped: systemd-analyze is not installed");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("delightd.service");
    std::fs::write(&unit, unit_text(Path::new("/bin/true"))).unwrap();
    let output = Command::new(analyze)
        .args(["--user", "verify"])
        .arg(&unit)
        .env("XDG_RUNTIME_DIR", directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let about_ours: Vec<&str> = said.lines().filter(|line| line.contains("delightd.service")).collect();
    assert_eq!(about_ours, [""; 0], "systemd-analyze has something to say");
}

#[test]
fn the_launchd_agent_is_a_property_list_that_leaves_sessions_alone() {
    let text = std::fs::read_to_string(workspace().join("launchd/dev.delight.delightd.plist")).unwrap();
    let text = text.replace("@DELIGHTD@", "/opt/delight/delightd").replace("@LOG@", "/tmp/log");
    let value = plist::Value::from_reader_xml(text.as_bytes()).unwrap();
    let agent = value.as_dictionary().unwrap();
    assert_eq!(agent["Label"].as_string(), Some("dev.delight.delightd"), "the label is the file's name");
    assert_eq!(agent["AbandonProcessGroup"].as_boolean(), Some(true));
    assert_eq!(agent["RunAtLoad"].as_boolean(), Some(true));
    let keep = agent["KeepAlive"].as_dictionary().unwrap();
    assert_eq!(keep["SuccessfulExit"].as_boolean(), Some(false), "`down` stays down");
    let arguments: Vec<_> =
        agent["ProgramArguments"].as_array().unwrap().iter().filter_map(plist::Value::as_string).collect();
    assert_eq!(arguments, ["/opt/delight/delightd", "run"]);
    for setting in ["ThrottleInterval", "Umask", "SoftResourceLimits", "HardResourceLimits", "LowPriorityIO"]
    {
        assert!(!agent.contains_key(setting), "{setting} would be forced on sessions or on restarts");
    }
    assert!(!text.contains('@'), "a placeholder nobody knows");
}

/// The steps inside the private namespaces. `/tmp`, `/run` and `/var/tmp` are private *before* systemd starts: it empties
/// them. The sandbox, which lies in `/tmp`, and the programs, which may, are bound back in; cgroups are a hierarchy below one
/// of our own. Systemd must not be process 1, or it takes itself for the machine's.
fn inside(sandbox: &Sandbox, systemd: &Path) -> String {
    format!(
        "set -eu
        mount --make-rprivate /
        mount -t tmpfs tmpfs /mnt
        mkdir /mnt/sandbox /mnt/programs
        mount --bind {root} /mnt/sandbox
        mount --bind {programs} /mnt/programs
        for place in /tmp /run /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs $place; done
        mkdir -p {root} {programs}
        mount --move /mnt/sandbox {root}
        mount --move /mnt/programs {programs}
        umount -R /sys/fs/cgroup
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mkdir -p /run/systemd/system {root}/xdg
        chmod 700 {root}/xdg
        export XDG_RUNTIME_DIR={root}/xdg
        {systemd} --user --unit=default.target --log-target=console --log-level=info > {root}/systemd.log 2>&1 &
        wait",
        root = sandbox.path().display(),
        programs = delight_tests::binaries::dir().display(),
        systemd = systemd.display(),
    )
}

/// `systemctl restart` and `systemctl stop` of the unit, `kill -9` of its main process: under a real systemd, sessions are the
/// same processes before and after.
#[test]
fn systemd_restart_keeps_sessions() {
    let Some(systemd) = on_machine("systemd") else {
        println!("skipped: systemd is not installed");
        return;
    };
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: private namespaces for systemd need root here");
        return;
    }
    let sandbox = Sandbox::new();
    let Some(group) = OwnCgroup::new(&sandbox) else {
        println!("skipped: there is no writable cgroup v2 hierarchy for systemd's own");
        return;
    };
    let units = sandbox.home().join(".config/systemd/user");
    std::fs::create_dir_all(&units).unwrap();
    let mut unit = unit_text(&program("delightd"));
    // A user manager has its own environment; the sandbox's goes in as an administrator's override would.
    unit.push_str("\n[Service]\n");
    for (name, value) in sandbox.environment() {
        let _ = writeln!(unit, "Environment=\"{name}={value}\"");
    }
    std::fs::write(units.join("delightd.service"), unit).unwrap();
    std::fs::write(units.join("default.target"), "[Unit]\nDescription=Nothing\n").unwrap();

    let mut manager = group.command(&sandbox, &inside(&sandbox, &systemd));
    let mut manager = Manager(manager.spawn().unwrap());
    let private = sandbox.path().join("xdg/systemd/private");
    let log = || std::fs::read_to_string(sandbox.path().join("systemd.log")).unwrap_or_default();
    let mut ended = false;
    until("systemd answers, or gives up", || {
        ended = manager.0.try_wait().unwrap().is_some();
        ended || std::os::unix::net::UnixStream::connect(&private).is_ok()
    });
    if ended {
        println!("skipped: systemd cannot run in private namespaces here:\n{}", log());
        return;
    }
    // systemctl must stand in the same namespaces: systemd does not talk to processes it cannot see.
    let inside_pid = kernel::descendants(manager.0.id())
        .into_iter()
        .find(|pid| kernel::process(*pid).is_some_and(|p| p.command.starts_with(systemd.to_str().unwrap())))
        .unwrap();
    let systemctl = |arguments: &[&str]| {
        let output = sandbox
            .command("nsenter")
            .args(["--target", &inside_pid.to_string(), "--mount", "--pid", "systemctl", "--user"])
            .args(arguments)
            .env("XDG_RUNTIME_DIR", sandbox.path().join("xdg"))
            .output()
            .unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "systemctl {arguments:?}: {said}\n{}", log());
        said
    };

    // `start` returns when the daemon says it is ready: its socket answers without any waiting of ours.
    systemctl(&["start", "delightd.service"]);
    let before = sandbox.client().spawn_script("say ready; read; repeat");
    let same = |why: &str| {
        let now = sandbox.client().get(before.id);
        assert_eq!((now.phase, &now.holder), (Phase::Running, &before.holder), "{why}");
        assert!(kernel::alive(holder_pid(&sandbox)), "{why}");
    };
    let daemon =
        || systemctl(&["show", "--value", "--property=MainPID", "delightd.service"]).trim().to_owned();
    let first = daemon();
    systemctl(&["restart", "delightd.service"]);
    assert_ne!(daemon(), first);
    same("restart");

    systemctl(&["stop", "delightd.service"]);
    assert!(kernel::alive(holder_pid(&sandbox)), "stop of the unit ended a session");
    systemctl(&["start", "delightd.service"]);
    same("stop and start");

    let second = daemon();
    systemctl(&["kill", "--kill-who=main", "--signal=KILL", "delightd.service"]);
    until("systemd started it again after kill -9", || {
        let now = daemon();
        now != second
            && now != "0"
            && systemctl(&["show", "--value", "--property=ActiveState", "delightd.service"]).trim()
                == "active"
    });
    same("kill -9");
    let data = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "still here\n");
    let send =
        delight_proto::api::method::SendParams { session: before.id.to_string(), data, request_id: None };
    let mut client = sandbox.client();
    client.call::<delight_proto::api::method::SessionSend>(&send).unwrap();
    client.until_output(before.id, "got: still here");
}

/// The one holder's process id as this test sees it (the daemon is in another pid namespace).
fn holder_pid(sandbox: &Sandbox) -> u32 {
    let holders = sandbox.holders();
    assert_eq!(holders.len(), 1, "{holders:?}");
    holders[0].pid
}

/// A cgroup for the manager to be root of; removed at the end.
struct OwnCgroup(PathBuf);

impl OwnCgroup {
    fn new(sandbox: &Sandbox) -> Option<Self> {
        let tops = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        let top = tops.into_iter().find(|top| top.join("cgroup.controllers").exists())?;
        let own = top.join(format!("delight-{}", sandbox.path().file_name()?.to_str()?));
        std::fs::create_dir(&own).ok()?;
        Some(Self(own))
    }

    /// Runs a script as process 1 of private namespaces, below this cgroup.
    fn command(&self, sandbox: &Sandbox, script: &str) -> Command {
        let mut command = sandbox.command("/bin/sh");
        command.arg("-c").arg(
            "echo $$ > \"$0/cgroup.procs\" && exec unshare --mount --pid --fork --kill-child=KILL --cgroup --mount-proc \
             /bin/sh -c \"$1\"",
        );
        command.arg(&self.0).arg(script);
        command
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        // Deepest first; a cgroup is removed when the last process in it has been reaped.
        let mut groups = vec![self.0.clone()];
        let mut at = 0;
        while let Some(group) = groups.get(at) {
            at += 1;
            let inner = std::fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
            groups.extend(inner.filter(|path| path.is_dir()).collect::<Vec<_>>());
        }
        for group in groups.iter().rev() {
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while std::fs::remove_dir(group).is_err() && std::time::Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    }
}

/// The manager; everything in its pid namespace ends with it.
struct Manager(std::process::Child);

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
