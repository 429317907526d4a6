//! The socket clients connect to: 0600, in a directory that is 0700, for this user only.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A bound socket.
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of what we bound: another file at the path is not ours to remove.
    file: (u64, u64),
}

impl Listener {
    /// Binds `path`. A socket nobody listens at is replaced; one that answers never is.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let socket = match UnixListener::bind(path) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                if UnixStream::connect(path).is_ok() {
                    return Err(io::Error::new(e.kind(), "another process listens there"));
                }
                fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if let Some(dir) = path.parent() {
                    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
                }
                UnixListener::bind(path)?
            }
            other => other?,
        };
        socket.set_nonblocking(true)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let meta = fs::symlink_metadata(path)?;
        Ok(Self { socket, path: path.to_owned(), file: (meta.dev(), meta.ino()) })
    }

    /// Binds again when the path is gone or is not what we bound.
    pub(crate) fn rebind(&mut self) -> io::Result<bool> {
        if self.is_in_place() {
            return Ok(false);
        }
        *self = Self::bind(&self.path)?;
        Ok(true)
    }

    /// The next connection, if one waits. Peers of another user are turned away.
    pub(crate) fn accept(&self) -> io::Result<Option<UnixStream>> {
        loop {
            match self.socket.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    if is_own_user(&stream) {
                        return Ok(Some(stream));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Removes the socket's path, if it is still ours.
    pub(crate) fn remove(&self) {
        if self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }

    fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.file)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(target_os = "linux")]
fn is_own_user(stream: &UnixStream) -> bool {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| peer.uid() == nix::unistd::geteuid().as_raw())
}

#[cfg(target_os = "macos")]
fn is_own_user(stream: &UnixStream) -> bool {
    nix::unistd::getpeereid(stream).is_ok_and(|(uid, _)| uid == nix::unistd::geteuid())
}
