//! The daemon's own life: one at a time, told to its service manager, ended on request.

pub(crate) mod heap;
pub(crate) mod logs;
pub(crate) mod notify;
pub(crate) mod ready_fd;
pub(crate) mod single;
