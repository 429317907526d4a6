//! Watching directories for the file editor: where the kernel can be asked for a directory that is open (Linux), by it; else
//! by looking again twice a second.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(any(test, not(target_os = "linux")))]
mod look;

use delight_proto::refusal::{Code, Refusal};

#[cfg(target_os = "linux")]
pub(super) use kernel::Watches;
#[cfg(not(target_os = "linux"))]
pub(super) use look::Watches;

/// Directories watched at once: the open folders of a tree on a screen.
const MOST: usize = 256;

/// Refuses one more than [`MOST`].
fn bounded(watched: usize) -> Result<(), Refusal> {
    if watched < MOST {
        return Ok(());
    }
    let reason = format!("{MOST} are watched already");
    Err(Refusal::new(Code::TooLarge, "the directory is not watched", reason).fix("unwatch another one first"))
}

fn unwatched(reason: &str) -> Refusal {
    Refusal::new(Code::Internal, "the directory is not watched", reason)
}
