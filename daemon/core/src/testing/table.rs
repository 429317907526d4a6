//! One session by hand: inputs in, effects out.

use delight_proto::id::{ProcessIdentity, SessionId};
use delight_proto::session::{HolderIdentity, Origin, Record, RestartPolicy, Size, StartSpec};

use crate::actor::{Reducer, Stamp, Stamped, Ticket};
use crate::session::{Capabilities, Command, Effect, Happening, Input, Runner, Session, record};

/// One step; the effects as a list.
pub fn step(state: Session, mono_ms: u64, input: Input) -> (Session, Vec<Effect>) {
    let at = Stamp { mono_ms, wall_ms: 1_700_000_000_000 + mono_ms };
    let (state, effects) = state.reduce(Stamped { at, input });
    (state, effects.into_iter().collect())
}

/// A command from a desktop.
#[must_use]
pub fn asked(ticket: u64, command: Command) -> Input {
    Input::Asked { ticket: Ticket(ticket), origin: Origin::Desktop { pid: Some(1) }, command }
}

/// A happening.
#[must_use]
pub fn happened(happening: Happening) -> Input {
    Input::Happened(happening)
}

/// What to start: a plain command.
#[must_use]
pub fn spec(restart: RestartPolicy) -> StartSpec {
    StartSpec {
        kind: "pty".into(),
        command: vec!["sleep".into(), "inf".into()],
        cwd: "/".into(),
        env: std::collections::BTreeMap::new(),
        size: Size::default(),
        restart,
        stop_grace_ms: 5_000,
        retain_bytes: 1 << 20,
        agent: delight_proto::agent::AgentOptions::default(),
    }
}

/// A record just made.
#[must_use]
pub fn fresh_record(restart: RestartPolicy) -> Record {
    record::fresh(
        SessionId::from_random([7; 10]),
        spec(restart),
        Origin::Desktop { pid: Some(1) },
        1_700_000_000_000,
    )
}

/// A holder's identity.
#[must_use]
pub fn holder(pid: u32) -> HolderIdentity {
    HolderIdentity {
        socket: format!("/run/h/{pid}.sock"),
        process: ProcessIdentity { pid, start_time: 100 + u64::from(pid), boot_id: "boot".into() },
    }
}

/// A session that was spawned with ticket 1 and runs as generation 1, process 100, since 10 ms.
#[must_use]
pub fn running(restart: RestartPolicy, capabilities: Capabilities) -> Session {
    let s = Session::new(fresh_record(restart), capabilities);
    let (s, _) = step(s, 0, asked(1, Command::Start));
    let (s, _) = step(s, 5, happened(Happening::HolderUp { identity: holder(50) }));
    let runner = Runner { generation: 1, pid: 100 };
    let (s, _) = step(s, 10, happened(Happening::RunnerUp { runner, offset: 0 }));
    s
}
