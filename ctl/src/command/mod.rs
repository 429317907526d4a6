//! The commands, one file each.

pub(crate) mod agent_control;
pub(crate) mod agents;
pub(crate) mod attach;
mod batch;
pub(crate) mod completions;
pub(crate) mod decide;
pub(crate) mod down;
pub(crate) mod events;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod next;
pub(crate) mod permissions;
pub(crate) mod policy;
pub(crate) mod rename;
pub(crate) mod resume;
pub(crate) mod rm;
pub(crate) mod rpc;
pub(crate) mod send;
pub(crate) mod service;
pub(crate) mod show;
pub(crate) mod spawn;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod up;
pub(crate) mod wait;
pub(crate) mod why;
