//! Which session kinds there are: the only place that names adapters.

use std::collections::BTreeMap;
use std::sync::Arc;

use delight_core::session::Capabilities;
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::StartSpec;

use super::{Adapter, Machine, RunnerPlan, fake, pty};

/// Every adapter of this build.
fn all() -> Vec<Box<dyn Adapter>> {
    vec![Box::new(pty::Pty), Box::new(fake::Fake)]
}

/// The registered adapters. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Adapters {
    machine: Arc<Machine>,
    kinds: Arc<BTreeMap<&'static str, Box<dyn Adapter>>>,
}

impl Adapters {
    /// All of them, on this machine.
    pub(crate) fn new(machine: Machine) -> Self {
        let kinds = all().into_iter().map(|adapter| (adapter.kind(), adapter)).collect();
        Self { machine: Arc::new(machine), kinds: Arc::new(kinds) }
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.kinds.keys().map(|kind| (*kind).to_owned()).collect()
    }

    /// What the core is told of them.
    pub(crate) fn capabilities(&self) -> BTreeMap<String, Capabilities> {
        self.kinds.iter().map(|(kind, adapter)| ((*kind).to_owned(), adapter.capabilities())).collect()
    }

    /// How to start a runner of a session.
    ///
    /// # Errors
    /// `start-failed`: the kind is unknown to this build (an older one than made the session), or the adapter's own.
    pub(crate) fn plan(&self, id: SessionId, spec: &StartSpec) -> Result<RunnerPlan, Refusal> {
        let Some(adapter) = self.kinds.get(spec.kind.as_str()) else {
            return Err(Refusal::new(
                Code::StartFailed,
                format!("a session of kind {:?} cannot be started", spec.kind),
                "this daemon has no such kind",
            )
            .fix("run a delightd that has it"));
        };
        adapter.plan(spec, &self.machine, self.machine.environment.of_session(id, &spec.env))
    }
}
