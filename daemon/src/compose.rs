//! The only place that puts concrete parts together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use delight_core::supervisor::{Boot, Request};
use delight_proto::id::ProcessIdentity;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{User, getuid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::actor::{Clock, Tickets, wall_ms};
use crate::adapters::{Adapters, Environment, Machine, agents_config};
use crate::api::{self, Daemon, listener};
use crate::config::Config;
use crate::keys::{Keys, Linking};
use crate::lifecycle::notify::{self, ReadyPipe};
use crate::lifecycle::single;
use crate::notify as telling;
use crate::process::{identity, launch::Launcher, reap, spare::Spares};
use crate::relay::Embedded;
use crate::remote::{self, Remote};
use crate::session::Shared;
use crate::supervisor::{self, Ended, Supervision, run_supervisor};
use crate::uplink::{self, UplinkHandle};
use crate::{paths, store};

/// How long the link to the server may take to say that the daemon ends, and to close.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// Runs the daemon until it is asked to end. `program` is the daemon's own path, taken at the start.
///
/// # Errors
/// What kept it from serving, or ended it.
pub(crate) async fn run(
    place: Place,
    config: &Config,
    program: &Path,
    ready_pipe: &mut ReadyPipe,
) -> Result<(), Refusal> {
    let started_ms = wall_ms();
    let io = |e: std::io::Error| Refusal::new(Code::Internal, "the daemon cannot start", e.to_string());
    let boot_id = identity::boot_id().map_err(io)?;
    let me: ProcessIdentity = identity::of(std::process::id(), &boot_id).map_err(io)?;
    let _single = single::acquire(&place.daemon_lock(), &me)?;
    // Before anything is changed: a daemon with another state directory may serve on the same socket.
    listener::check_free(&place.control_socket())?;
    let mut terminated = signal(SignalKind::terminate()).map_err(io)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(io)?;
    let mut child_ended = signal(SignalKind::child()).map_err(io)?;
    // A terminal that goes away does not end the daemon.
    let mut hung_up = signal(SignalKind::hangup()).map_err(io)?;

    let (store, contents) = store::open(&place)?;
    tracing::info!(
        sessions = contents.sessions.len(),
        quarantined = contents.quarantined.len(),
        state = %place.state.display(),
        "the registry is open"
    );
    let path = std::env::var_os("PATH");
    let companion = |name: &str| paths::companion(program, name, path.as_deref());
    let holder = companion("delight-holder").ok_or_else(|| {
        Refusal::new(
            Code::StartFailed,
            "the daemon cannot start",
            "delight-holder lies neither beside delightd nor in PATH",
        )
        .fix("install delight-holder beside delightd")
    })?;
    let machine = Machine {
        environment: Environment::inherit(std::env::vars_os()),
        login_shell: User::from_uid(getuid()).ok().flatten().map(|user| user.shell),
        fake_agent: companion("delight-fake-agent"),
        daemon: program.to_owned(),
        private: vec![place.state.clone(), place.runtime.clone()],
        place: place.clone(),
    };
    let agents = agents_config::load(&place.config.with_file_name("agents.toml"))?;
    let adapters = Adapters::new(machine, agents);
    let launcher =
        Arc::new(Launcher { program: holder, place: place.clone(), inherited_files: raise_file_limit() });
    let spares = Spares::new(Arc::clone(&launcher));
    let tickets = Tickets::default();
    let (mail, mailbox) = mpsc::channel(supervisor::MAILBOX);
    let shared = Arc::new(Shared {
        launcher,
        spares: spares.clone(),
        store: store.clone(),
        tickets: tickets.clone(),
        adapters: adapters.clone(),
        supervisor: mail.clone(),
        record: config.record,
        policy: store.policy(),
    });
    let boot = Boot {
        sessions: contents.sessions,
        quarantined: contents.quarantined,
        kinds: adapters.capabilities(),
        max_live: config.max_live,
    };
    let (ready, restored) = oneshot::channel();
    let supervision = Supervision::new(mail, tickets.clone());
    let mut deciding = tokio::spawn(run_supervisor(boot, shared, Clock::start(), mailbox, ready));

    let keys = Keys::open(&place);
    let linking = Linking::new(keys.clone(), config.server.clone());
    let relay = match &config.relay {
        Some(settings) => Some(Embedded::start(&place, settings.listen).await),
        None => None,
    };
    if let Some(url) = relay.as_ref().and_then(|relay| relay.status().url.clone()) {
        linking.relay_runs(url);
    }
    let handle = UplinkHandle::new();
    let (end, ending) = watch::channel(false);
    let daemon = Arc::new(Daemon {
        supervision: supervision.clone(),
        store: store.clone(),
        place: place.clone(),
        adapters: adapters.clone(),
        linking,
        relay: relay.as_ref().map(|relay| relay.status().clone()),
        started_ms,
        sends: api::sends::Sends::default(),
        uplink: handle.clone(),
    });
    // As every program does: what the environment says, and the user database where it says nothing.
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let user = || User::from_uid(getuid()).ok().flatten().map(|user| user.dir);
    let home = home.or_else(user).unwrap_or_default();
    let remote = Remote::new(remote::Parts {
        supervision: supervision.clone(),
        settings: config.remote.clone(),
        place: place.clone(),
        home: home.clone(),
        kinds: adapters.capabilities(),
        ids: Arc::new(handle.ids()),
        daemon: Arc::clone(&daemon),
    });
    let mut link = Some(uplink::Parts {
        handle: handle.clone(),
        keys,
        remote,
        supervision: supervision.clone(),
        store: store.clone(),
        place: place.clone(),
        ca_file: config.server.ca_file.clone(),
        program: program.to_owned(),
        home,
        started_ms,
    });
    let mut uplinking = None;
    let mut ended_by = "happy-cli";
    let mut opening = Some((restored, daemon, ending));
    let (mut serving, mut keeping) = (None, None);
    let mut watchdog = notify::watchdog_period().map(tokio::time::interval);
    let ended = loop {
        tokio::select! {
            ended = &mut deciding => break ended.unwrap_or_else(|e| Ended::Fault(e.to_string())),
            adopted = restored_holders(&mut opening) => if let Some((_, daemon, ending)) = opening.take() {
                let (listener, file) = listener::bind(&place.control_socket())?;
                serving = Some((tokio::spawn(api::serve(listener, daemon, ending)), file));
                tokio::spawn(telling::run(config.notify.clone(), supervision.clone(), place.clone()));
                tracing::info!(adopted, socket = %place.control_socket().display(), "serving");
                notify::ready(&format!("serving; {adopted} sessions adopted"));
                ready_pipe.say("ready");
                let spares = spares.clone();
                keeping = Some(tokio::spawn(async move { spares.keep().await }));
                // Last: nothing local waits for the server.
                uplinking = link.take().map(|parts| tokio::spawn(uplink::run(parts)));
            },
            _ = terminated.recv() => {
                ended_by = "os-signal";
                ask_to_end(&supervision);
            }
            _ = interrupted.recv() => {
                ended_by = "os-signal";
                ask_to_end(&supervision);
            }
            _ = hung_up.recv() => tracing::info!("SIGHUP is ignored"),
            _ = child_ended.recv() => reap::collect(),
            () = tick(&mut watchdog) => notify::watchdog(),
        }
    };
    notify::stopping();
    let _ = end.send(true);
    tickets.refuse_all();
    handle.end(ended_by);
    if let Some((server, file)) = serving {
        // A panic of the server is logged by the runtime; the daemon ends anyhow.
        let _ = server.await;
        drop(file);
    }
    if let Some(uplinking) = uplinking
        && tokio::time::timeout(LAST_WORDS, uplinking).await.is_err()
    {
        tracing::info!("the connection to the server did not close in time");
    }
    if let Some(relay) = relay {
        relay.end().await;
    }
    if let Some(keeping) = keeping {
        keeping.abort();
        // One that it was just starting exits with our end of its connection.
        let _ = keeping.await;
    }
    spares.end().await;
    store.close().await;
    match ended {
        Ended::Asked => {
            tracing::info!("ended; sessions go on");
            Ok(())
        }
        Ended::Fault(reason) => {
            Err(Refusal::new(Code::Internal, "the daemon ended by a fault of its own", reason)
                .fix("start it again: sessions go on, and it restores everything from the registry"))
        }
    }
}

/// Waits until every session is restored; for ever once that has been served.
async fn restored_holders<T, U>(opening: &mut Option<(oneshot::Receiver<u32>, T, U)>) -> u32 {
    match opening {
        Some((restored, ..)) => match restored.await {
            Ok(adopted) => adopted,
            // The supervisor has ended before it was ready: its own end is told elsewhere.
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn tick(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// The answer is the daemon's end itself.
fn ask_to_end(supervision: &Supervision) {
    let supervision = supervision.clone();
    tokio::spawn(async move {
        let asked = supervision.ask(Origin::Daemon, Request::Shutdown { stop_sessions: false }).await;
        if let Err(refusal) = asked {
            tracing::warn!(%refusal, "asked to end");
        }
    });
}

/// Each session holds a descriptor, and the usual soft limit is 1,024: raises it as far as it goes and returns what it
/// was, for the sessions.
fn raise_file_limit() -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // macOS refuses more than this (OPEN_MAX), whatever the hard limit says.
    let most = if cfg!(target_os = "macos") { hard.min(10_240).max(soft) } else { hard };
    if let Err(e) = setrlimit(Resource::RLIMIT_NOFILE, most, hard) {
        tracing::warn!(error = %e, "the descriptor limit cannot be raised");
        return None;
    }
    Some((soft, hard))
}
