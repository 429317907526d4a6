//! What every registered adapter must be. A new one is tested by being registered.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use delight_core::session::Survivors;
use delight_proto::holder::{FromHolder, Start, ToHolder};
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::session::{Exit, Size, StartSpec};

use super::agents_config::AgentsConfig;
use super::*;
use crate::process::adopt::greeted;
use crate::process::launch::Launcher;
use crate::process::link::{Heard, Link};

/// A machine on which every adapter finds its program: each of them is a script that exits with the number among
/// its arguments.
fn machine(base: &std::path::Path) -> Machine {
    let script = base.join("agent");
    fs::write(&script, "#!/bin/sh\nfor word; do case $word in *[!0-9]*) ;; ?*) exit $word ;; esac; done\n")
        .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let config = AgentsConfig::default();
    for program in ["claude", "codex"].into_iter().map(str::to_owned).chain(config.acp_programs()) {
        std::os::unix::fs::symlink(&script, base.join(program)).unwrap();
    }
    let own = std::env::vars_os().filter(|(name, _)| name != "PATH" && name != "HOME");
    let path = format!("{}:/usr/bin:/bin", base.display());
    let ours = [("PATH".into(), path.into()), ("HOME".into(), base.into())];
    Machine {
        environment: Environment::inherit(own.chain(ours)),
        login_shell: Some("/bin/sh".into()),
        daemon: script.clone(),
        private: vec![base.join("private")],
        place: place(base),
        fake_agent: Some(script),
    }
}

fn place(base: &std::path::Path) -> Place {
    Place { state: base.join("state"), runtime: base.join("run"), config: base.join("config.toml") }
}

fn spec(kind: &str, command: &[&str]) -> StartSpec {
    serde_json::from_value(serde_json::json!({"kind": kind, "cwd": "/", "command": command})).unwrap()
}

fn plan(adapters: &Adapters, id: SessionId, spec: &StartSpec) -> Result<RunnerPlan, Refusal> {
    let memory = AgentMemory::default();
    adapters.plan(&Launch { id, spec, control: None, memory: &memory })
}

#[test]
fn names_are_fit_for_the_wire_and_capabilities_are_coherent() {
    let base = tempfile::tempdir().unwrap();
    let adapters = Adapters::new(machine(base.path()), AgentsConfig::default());
    for (kind, capabilities) in adapters.capabilities() {
        let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(!kind.is_empty() && kind.chars().all(fit), "{kind:?}");
        // An agent that can go on where it was must not meet tools of its former self.
        assert!(!capabilities.resume || capabilities.survivors == Survivors::End, "{kind}");
    }
    assert_eq!(adapters.names(), adapters.capabilities().into_keys().collect::<Vec<_>>());
}

#[test]
fn every_plan_can_be_executed() {
    let base = tempfile::tempdir().unwrap();
    let adapters = Adapters::new(machine(base.path()), AgentsConfig::default());
    let id = SessionId::from_random([1; 10]);
    for kind in adapters.names() {
        for command in [&[][..], &["/bin/true"]] {
            let plan = plan(&adapters, id, &spec(&kind, command)).unwrap();
            let env: BTreeMap<_, _> = plan.env.iter().cloned().collect();
            assert_eq!(env.len(), plan.env.len(), "{kind}: no name twice");
            assert!(env.contains_key("TERM"), "{kind}");
            let program = plan.argv.first().unwrap();
            assert!(!program.is_empty(), "{kind}");
            let lookup = env.get("PATH").map(std::ffi::OsString::from);
            assert!(
                program.starts_with('/')
                    || crate::paths::companion(std::path::Path::new("/"), program, lookup.as_deref())
                        .is_some(),
                "{kind}: {program} is found"
            );
        }
    }
}

#[test]
fn what_is_not_installed_is_a_refusal_with_a_way_out() {
    let machine = Machine {
        environment: Environment::inherit(std::iter::empty()),
        login_shell: None,
        fake_agent: None,
        daemon: "/usr/bin/delightd".into(),
        private: Vec::new(),
        place: crate::testing::nowhere(),
    };
    let adapters = Adapters::new(machine, AgentsConfig::default());
    let id = SessionId::from_random([1; 10]);
    for kind in adapters.names().into_iter().chain(["no-such-kind".to_owned()]) {
        match plan(&adapters, id, &spec(&kind, &[])) {
            Ok(plan) => assert!(plan.argv[0].starts_with('/'), "{kind}"),
            Err(refusal) => {
                assert!(!refusal.reason.is_empty() && !refusal.fix.is_empty(), "{kind}: {refusal:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_kind_starts_and_ends_in_a_real_holder() {
    let base = tempfile::tempdir().unwrap();
    let place =
        Place { state: base.path().join("s"), runtime: base.path().join("r"), config: base.path().join("c") };
    crate::paths::prepare(&place).unwrap();
    let launcher = Launcher { program: crate::testing::holder_program(), place, inherited_files: None };
    let adapters = Adapters::new(machine(base.path()), AgentsConfig::default());
    for (n, kind) in adapters.names().into_iter().enumerate() {
        let id = SessionId::from_random([n as u8; 10]);
        let command = if kind == "pty" { vec!["sh", "-c", "exit 7"] } else { vec!["7"] };
        let spec = spec(&kind, &command);
        let plan = plan(&adapters, id, &spec).unwrap();
        let mut link = Link::open(launcher.launch(id, 1 << 20).unwrap()).unwrap();
        greeted(&mut link, id).await.unwrap();
        let RunnerPlan { argv, env, stdio } = plan;
        let start =
            Start { generation: 1, argv, env, cwd: spec.cwd, stdio, size: Size::default(), keep: false };
        link.send(&ToHolder::Start(Box::new(start)));
        let (mut started, mut exit) = (false, None);
        loop {
            match link.hear().await {
                Heard::Frame(FromHolder::Started(_)) => started = true,
                Heard::Frame(FromHolder::Exited(exited)) => exit = Some(exited.exit),
                Heard::Frame(FromHolder::StartFailed(failed)) => panic!("{kind}: {}", failed.refusal),
                Heard::Frame(_) => {}
                // Without `keep` the holder ends by itself, which ends the connection.
                Heard::End(_) => break,
            }
        }
        assert!(started, "{kind}");
        assert_eq!(exit, Some(Exit::Code(7)), "{kind}");
    }
}
