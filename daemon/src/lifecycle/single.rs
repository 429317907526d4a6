//! One daemon a state directory: the lock, and who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use delight_proto::id::ProcessIdentity;
use delight_proto::refusal::{Code, Refusal};

use crate::process::identity;

/// More than any identity a daemon writes.
const MAX_BYTES: u64 = 4 << 10;

/// How long a dead daemon's lock is waited for.
const LETTING_GO: Duration = Duration::from_secs(5);

/// Between two looks at it: nothing tells of a lock that becomes free without taking it.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

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
    take(&mut file, path)?;
    let text = serde_json::to_string(me).map_err(|e| broken(e.into()))?;
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(broken)?;
    Ok(SingleInstance { _file: file })
}

/// Takes the lock, waiting while it belongs to a dead daemon: a holder it was just starting has, between fork and exec,
/// a copy of every descriptor, and keeps the lock for that moment longer.
fn take(file: &mut File, path: &Path) -> Result<(), Refusal> {
    let deadline = Instant::now() + LETTING_GO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => {
                return Err(Refusal::new(
                    Code::Storage,
                    format!("{} cannot be used", path.display()),
                    e.to_string(),
                )
                .fix("check the state directory's file system: it must support locks"));
            }
        }
        let owner = owner(file);
        if owner.as_ref().is_none_or(is_running) || Instant::now() >= deadline {
            return Err(taken(owner.as_ref()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Who wrote itself inside. For people, and to tell a daemon that lives from one that has died; the lock itself decides.
fn owner(file: &mut File) -> Option<ProcessIdentity> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// When it cannot be told, it is taken to run.
fn is_running(owner: &ProcessIdentity) -> bool {
    identity::boot_id().map_or(true, |boot| identity::is_alive(owner, &boot))
}

fn taken(owner: Option<&ProcessIdentity>) -> Refusal {
    let who = match owner {
        Some(owner) => format!("the daemon with process id {} holds it", owner.pid),
        None => "another daemon that is just starting holds it".to_owned(),
    };
    Refusal::new(Code::Conflict, "a daemon already runs for this state directory", who)
        .fix("use it (delightctl status), or end it first (delightctl down)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> ProcessIdentity {
        identity::of(std::process::id(), &identity::boot_id().unwrap()).unwrap()
    }

    #[test]
    fn the_second_is_told_who_the_first_is_and_succeeds_after_it() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("daemon.lock");
        let first = acquire(&path, &me()).unwrap();
        let refusal = acquire(&path, &me()).unwrap_err();
        assert_eq!(refusal.code, Code::Conflict);
        assert!(refusal.reason.contains(&std::process::id().to_string()), "{refusal}");
        drop(first);
        acquire(&path, &me()).unwrap();
    }

    #[test]
    fn a_dead_daemons_lock_is_waited_for() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("daemon.lock");
        let dead = ProcessIdentity { start_time: me().start_time + 1, ..me() };
        let first = acquire(&path, &dead).unwrap();
        let (asking, is_asking) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            asking.send(()).unwrap();
            acquire(&path, &me()).map(drop)
        });
        is_asking.recv().unwrap();
        drop(first);
        second.join().unwrap().unwrap();
    }

    #[test]
    fn garbage_inside_a_free_lock_does_not_matter() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("daemon.lock");
        std::fs::write(&path, vec![0xff; 9000]).unwrap();
        let me = me();
        let _held = acquire(&path, &me).unwrap();
        assert_eq!(serde_json::from_slice::<ProcessIdentity>(&std::fs::read(&path).unwrap()).unwrap(), me);
    }
}
