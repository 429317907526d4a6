//! The control socket's file: taken over when it is stale, never when somebody answers on it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use delight_proto::refusal::{Code, Refusal};
use tokio::net::UnixListener;

/// Checks that nobody listens at `path`. What is there and does not answer is stale: its daemon is dead.
///
/// # Errors
/// `conflict` when somebody answers; `forbidden` when something else than a socket lies there.
pub(crate) fn check_free(path: &Path) -> Result<(), Refusal> {
    let refuse =
        |code, reason: String| Err(Refusal::new(code, format!("{} cannot be used", path.display()), reason));
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return refuse(Code::Forbidden, e.to_string()),
        Ok(found) if !found.file_type().is_socket() => {
            return refuse(Code::Forbidden, "it is not a socket".to_owned())
                .map_err(|refusal| refusal.fix("move it away"));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => refuse(Code::Conflict, "another daemon answers on it".to_owned()).map_err(|refusal| {
            refusal
                .fix("use that daemon, or give this one a runtime directory of its own (DELIGHT_RUNTIME_DIR)")
        }),
        Err(e) if matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        Err(e) => refuse(Code::Conflict, format!("whether somebody listens on it cannot be told: {e}")),
    }
}

/// The socket's file; removed with it, if it is still ours.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path) == Some(self.inode) {
            // Failing leaves a stale socket, which the next daemon takes over.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`. The socket gets its mode under another name first: there is no moment at which others could
/// connect, and none at which a stale socket's place is empty.
pub(crate) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), Refusal> {
    check_free(path)?;
    let failed = |e: std::io::Error| {
        Refusal::new(Code::Storage, format!("{} cannot be listened on", path.display()), e.to_string())
            .fix("check the runtime directory")
    };
    let mut fresh = path.as_os_str().to_owned();
    fresh.push("+");
    let fresh = PathBuf::from(fresh);
    match fs::remove_file(&fresh) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    let inode = inode(path).ok_or_else(|| failed(ErrorKind::NotFound.into()))?;
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_taken_over_and_a_live_one_never() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "stale");
        let (_live, file) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(bind(&path).unwrap_err().code, Code::Conflict);
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_not_a_socket_is_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind(&path).unwrap_err().code, Code::Forbidden);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_socket_that_is_no_longer_ours_is_not_removed() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("s");
        let (listener, file) = bind(&path).unwrap();
        drop(listener);
        let (_other, _other_file) = bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
