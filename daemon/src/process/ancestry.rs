//! Whose child's child a process is.

use std::io;

use super::identity;

/// Longest chain of ancestors that is followed: people's are ten long.
const MAX_ANCESTORS: usize = 1_024;

/// What is found of a process or the nearest of its ancestors of which anything is.
///
/// # Errors
/// The chain cannot be read to its end: a process of it is gone.
pub(crate) fn leads_to<T>(pid: u32, found: impl Fn(u32) -> Option<T>) -> io::Result<Option<T>> {
    let mut at = pid;
    for _ in 0..MAX_ANCESTORS {
        if let Some(found) = found(at) {
            return Ok(Some(found));
        }
        if at <= 1 {
            return Ok(None);
        }
        at = identity::parent(at)?;
    }
    Err(io::Error::other("the chain has no end"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_leads_to_its_parent_and_a_stranger_does_not() {
        let me = std::process::id();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let of = |pid| leads_to(pid, |at| (at == me).then_some(7)).unwrap();
        assert_eq!((of(child.id()), of(me), of(1)), (Some(7), Some(7), None));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(leads_to(child.id(), |_| None::<u8>).is_err(), "one that is gone is not let in");
    }
}
