//! One daemon a state directory: the lock, and who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use delight_proto::id::ProcessIdentity;
use delight_proto::refusal::{Code, Refusal};

/// More than any identity a daemon writes.
const MAX_BYTES: u64 = 4 << 10;

/// The daemon's lock; held until dropped, and by the kernel's word never longer than the process lives.
#[derive(Debug)]
pub(crate) struct SingleInstance {
    _file: File,
}

/// Takes the lock and writes who holds it.
///
/// # Errors
/// `conflict` naming the holder when another daemon has it; `storage` when the file cannot be used.
pub(crate) fn acquire(path: &Path, me: &ProcessIdentity) -> Result<SingleInstance, Refusal> {
    let broken = |e: std::io::Error| {
        Refusal::new(Code::Storage, format!("{} cannot be used", path.display()), e.to_string())
            .fix("check free space and permissions of the state directory")
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(broken)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(taken(&mut file)),
        Err(TryLockError::Error(e)) => return Err(broken(e)),
    }
    let text = serde_json::to_string(me).map_err(|e| broken(e.into()))?;
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(broken)?;
    Ok(SingleInstance { _file: file })
}

/// What is written inside is for people only: the lock itself decides.
fn taken(file: &mut File) -> Refusal {
    let mut text = String::new();
    let who = match file.take(MAX_BYTES).read_to_string(&mut text).map(|_| serde_json::from_str(&text)) {
        Ok(Ok(ProcessIdentity { pid, .. })) => format!("the daemon with process id {pid} holds it"),
        _ => "another daemon that is just starting holds it".to_owned(),
    };
    Refusal::new(Code::Conflict, "a daemon already runs for this state directory", who)
        .fix("use it (delightctl status), or end it first (delightctl down)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is_and_succeeds_after_it() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("daemon.lock");
        let me = |pid| ProcessIdentity { pid, start_time: 1, boot_id: "b".to_owned() };
        let first = acquire(&path, &me(41)).unwrap();
        let refusal = acquire(&path, &me(42)).unwrap_err();
        assert_eq!(refusal.code, Code::Conflict);
        assert!(refusal.reason.contains("41"), "{refusal}");
        drop(first);
        acquire(&path, &me(43)).unwrap();
    }

    #[test]
    fn garbage_inside_a_free_lock_does_not_matter() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("daemon.lock");
        std::fs::write(&path, vec![0xff; 9000]).unwrap();
        let me = ProcessIdentity { pid: 7, start_time: 1, boot_id: "b".to_owned() };
        let _held = acquire(&path, &me).unwrap();
        assert_eq!(serde_json::from_slice::<ProcessIdentity>(&std::fs::read(&path).unwrap()).unwrap(), me);
    }
}
