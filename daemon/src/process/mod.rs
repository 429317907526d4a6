//! Holder processes: starting them, finding them again, speaking to them.

pub(crate) mod adopt;
pub(crate) mod ancestry;
pub(crate) mod errand;
pub(crate) mod identity;
pub(crate) mod launch;
pub(crate) mod link;
pub(crate) mod lock;
pub(crate) mod reap;
pub(crate) mod spare;
pub(crate) mod viewer;
