//! The sync wire: what daemon, phone and server say to each other.
//!
//! Three families of peers speak it (Happy today, Delight at its beginning, Delight later) with small differences. Every
//! shape here reads all spellings and writes one, so nothing outside this module knows that there was a difference.
//!
//! - [`http`]: requests and answers; [`socket`]: events and acknowledgements both ways;
//! - [`row`], [`message`], [`update`], [`ephemeral`]: what the server stores and tells;
//! - [`rpc`]: calls of a phone to a machine or session, and their answers;
//! - [`record`], [`state`]: the plaintexts inside sealed values.
//!
//! Rules of reading: a field nobody knows is ignored, except in the states of [`state`], which several peers write and
//! which keep what they do not know. A kind nobody knows becomes `Unknown`, kept whole and skipped visibly. A known kind
//! of a wrong shape is a [`crate::refusal::Refusal`] whose text never repeats what was read. Every size has a bound in
//! [`bounds`].

pub mod bounded;
pub mod bounds;
pub mod ephemeral;
pub mod http;
pub mod legacy;
pub mod message;
mod open;
pub mod pairing_link;
pub mod read;
pub mod record;
pub mod row;
pub mod rpc;
pub mod socket;
pub mod state;
mod tagged;
pub mod update;

/// A JSON object as it was read.
pub type Object = serde_json::Map<String, serde_json::Value>;
