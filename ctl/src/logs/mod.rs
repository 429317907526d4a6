//! A session's journal as records, from wherever they come, and the forms they are printed in.

pub(crate) mod asciicast;
pub(crate) mod form;
pub(crate) mod history;
pub(crate) mod live;
mod strip;
mod utf8;

use delight_proto::session::{Exit, Size};

/// One record of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Output offset at which it stands.
    pub(crate) offset: u64,
    /// Unix milliseconds.
    pub(crate) at_ms: u64,
    pub(crate) body: Body,
}

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Output(Vec<u8>),
    Stderr(Vec<u8>),
    Input(Vec<u8>),
    Lost(u64),
    Started(u64),
    Exited(u64, Exit),
    Resized(Size),
}
