//! For tests of this crate: the real holder, and a daemon without sockets and server.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use delight_core::supervisor::Boot;
use delight_proto::place::Place;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::actor::{Clock, Tickets};
use crate::adapters::agents_config::AgentsConfig;
use crate::adapters::{Adapters, Environment, Machine};
use crate::api::Daemon;
use crate::api::sends::Sends;
use crate::keys::{Keys, Linking, ServerSettings};
use crate::process::launch::Launcher;
use crate::process::spare::Spares;
use crate::session::Shared;
use crate::store::Store;
use crate::supervisor::{Ended, Supervision, run_supervisor};
use crate::uplink::UplinkHandle;

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
pub(crate) fn nowhere() -> Place {
    Place { state: "/s".into(), runtime: "/r".into(), config: "/c".into() }
}

/// A daemon's inside: store, supervisor and what answers requests.
pub(crate) struct Rig {
    pub(crate) store: Store,
    pub(crate) adapters: Adapters,
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) supervisor: JoinHandle<Ended>,
}

impl Rig {
    /// Starts one at this place, with this holder's program and environment; its terminals run a shell if it is named.
    pub(crate) async fn start(
        place: &Place,
        holder: PathBuf,
        environment: impl Iterator<Item = (OsString, OsString)>,
        shell: Option<PathBuf>,
        max_live: u32,
    ) -> Self {
        crate::paths::prepare(place).unwrap();
        let (store, contents) = crate::store::open(place).unwrap();
        let machine = Machine {
            environment: Environment::inherit(environment),
            login_shell: shell,
            fake_agent: None,
            daemon: "/usr/bin/delightd".into(),
            private: Vec::new(),
            place: place.clone(),
        };
        let adapters = Adapters::new(machine, AgentsConfig::default());
        let tickets = Tickets::default();
        let (mail, mailbox) = mpsc::channel(crate::supervisor::MAILBOX);
        let launcher = Arc::new(Launcher { program: holder, place: place.clone(), inherited_files: None });
        let shared = Arc::new(Shared {
            spares: Spares::new(Arc::clone(&launcher)),
            launcher,
            store: store.clone(),
            tickets: tickets.clone(),
            adapters: adapters.clone(),
            supervisor: mail.clone(),
            record: false,
            policy: store.policy(),
        });
        let boot = Boot {
            sessions: contents.sessions,
            quarantined: contents.quarantined,
            kinds: adapters.capabilities(),
            max_live,
        };
        let (ready, restored) = oneshot::channel();
        let supervisor = tokio::spawn(run_supervisor(boot, shared, Clock::start(), mailbox, ready));
        restored.await.unwrap();
        let daemon = Arc::new(Daemon {
            supervision: Supervision::new(mail, tickets),
            store: store.clone(),
            place: place.clone(),
            adapters: adapters.clone(),
            linking: Linking::new(Keys::open(place), ServerSettings::default()),
            relay: None,
            started_ms: 1,
            sends: Sends::default(),
            uplink: UplinkHandle::new(),
        });
        Self { store, adapters, daemon, supervisor }
    }
}
