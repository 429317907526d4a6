//! The frame protocol between a holder and its clients.
//!
//! # Version rule
//!
//! A holder lives as long as its session, so daemons newer than it must go on speaking to it. Therefore:
//!
//! 1. [`VERSION`] grows by one with every release that adds something. What a frame type or field means never changes.
//! 2. A client says in [`Hello::version`] what it speaks; the holder answers in [`Welcome::version`] what *it*
//!    speaks; both then use the smaller of the two. A daemon speaks every version from [`OLDEST`] on.
//! 3. Unknown JSON fields are ignored. A frame type the receiver does not know is skipped when its flag
//!    [`frame::OPTIONAL`] is set and ends the connection with a refusal when not.
//! 4. The header, `Hello` and `Welcome` never change shape.
//!
//! `tests/it` replays a saved transcript of version 1 against the present code.

pub mod codec;
pub mod frame;
pub mod journal;
pub mod message;

pub use frame::{Decoder, FrameError, Raw};
pub use message::{
    Attach, ControlChange, Exited, FromHolder, Hello, Start, StartFailed, Started, Stdio, ToHolder, Trouble,
    Welcome,
};

/// The version this code speaks.
pub const VERSION: u16 = 1;

/// The oldest version a daemon of this code still speaks.
pub const OLDEST: u16 = 1;
