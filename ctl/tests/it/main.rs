//! `delightctl` driven from outside, against a daemon and a holder that follow a script.

mod attach;
mod commands;
mod logs;
mod scripted;
mod terminal;
