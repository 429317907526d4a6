//! What the machine says of itself.

use std::path::Path;

use delight_core::uplink::Host;
use delight_proto::place::Place;
use delight_proto::sync::Object;
use serde_json::{Value, json};

use crate::paths::companion;

/// Agents phones ask for by name, and the programs that are them.
const AGENTS: &[(&str, &str)] =
    &[("claude", "claude"), ("codex", "codex"), ("gemini", "gemini"), ("openclaw", "openclaw")];

/// What every session says of the machine.
pub(super) fn host(
    place: &Place,
    program: &Path,
    home: &Path,
    machine: &delight_proto::sync::bounded::Id,
) -> Host {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Host {
        host: name.unwrap_or_else(|| "unknown".to_owned()),
        machine_id: machine.to_string(),
        home_dir: text(home),
        state_dir: text(&place.state),
        lib_dir: program.parent().map(text).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS }.to_owned(),
    }
}

/// The machine's metadata. Nothing in it changes from one start to the next unless the machine does: each change is a
/// new version at the server and a message to every phone.
pub(super) fn metadata(host: &Host) -> Object {
    let path = std::env::var_os("PATH");
    let mut available = Object::new();
    for (agent, program) in AGENTS {
        let found = companion(Path::new("/"), program, path.as_deref()).is_some();
        available.insert((*agent).to_owned(), found.into());
    }
    object(json!({
        "host": host.host,
        "platform": host.os,
        "arch": std::env::consts::ARCH,
        "happyCliVersion": host.version,
        "homeDir": host.home_dir,
        "happyHomeDir": host.state_dir,
        "happyLibDir": host.lib_dir,
        "cliAvailability": available,
        "resumeSupport": {
            "rpcAvailable": true,
            "requiresSameMachine": true,
            "requiresHappyAgentAuth": false,
            "happyAgentAuthenticated": false,
        },
    }))
}

/// The daemon's state while it runs. `httpPort` is Happy's control port: there is none.
pub(super) fn daemon_state(started_ms: u64) -> Object {
    object(json!({
        "status": "running",
        "pid": std::process::id(),
        "httpPort": 0,
        "startedAt": started_ms,
        "shutdownRequestedAt": Value::Null,
        "shutdownSource": Value::Null,
    }))
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
