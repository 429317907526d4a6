//! One append-only log of checksummed records in segment files, for two uses: the output journal of a session
//! (positions count bytes) and its event log (positions count events).
//!
//! - A record is written with one `writev`: after a `kill -9` of the writer every record is there whole or was never
//!   appended. After a power cut everything up to the last [`Writer::sync`] is there; what follows may be cut.
//! - A torn tail is cut by [`Writer::open`] and reported. A damaged record with intact records behind it is kept
//!   where it is and told to every reader as [`Item::Corrupt`]; it is never skipped in silence.
//! - A failed append leaves the log as it was, so the next one works when the cause is gone.
//! - Retention drops whole segments, oldest first. What is left says truthfully where it starts.
//!
//! There must never be two writers on one directory. This crate takes no lock: a session's `holder.lock` (output
//! journal) and the daemon's `daemon.lock` (event log) make a second writer impossible before it gets here. Any
//! number of [`Reader`]s may read while the writer writes.

mod closed;
mod error;
mod format;
mod reader;
mod recovery;
mod segment;
mod writer;

pub use closed::{Closed, Closing};
pub use error::Error;
pub use format::{MAX_PAYLOAD, Parsed, RECORD_HEADER, Record, SEGMENT_HEADER, Step, VERSION, parse_segment};
pub use reader::{Found, Item, Reader, find_last};
pub use recovery::Recovery;
pub use segment::Point;
pub use writer::{Appended, Options, Writer};
