//! Tells when the machine's network changed, so that a waiting reconnect need not wait any longer.
//!
//! A change is only a reason to try at once. Its absence is never a reason not to try: guesses about "network up"
//! have kept other daemons silent for a night.

use std::io;

/// The changes of links, addresses and routes of this machine. On Linux the kernel tells them (rtnetlink); elsewhere
/// there are none and the back-off alone decides.
#[derive(Debug)]
pub struct NetworkChanges(platform::Changes);

impl NetworkChanges {
    /// Begins to watch. Needs the tokio runtime with I/O.
    ///
    /// # Errors
    /// The kernel refused the socket; the caller goes on without.
    pub fn watch() -> io::Result<Self> {
        platform::Changes::open().map(Self)
    }

    /// Waits for the next change; a burst counts as one. Cancel safe: a change not yet returned is returned by the
    /// next call.
    ///
    /// # Errors
    /// The socket failed for good; watch anew or go on without.
    pub async fn next(&mut self) -> io::Result<()> {
        self.0.next().await
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    use nix::errno::Errno;
    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    // From linux/rtnetlink.h; an address or a route that comes or goes, and the link under it.
    const RTMGRP_LINK: u32 = 0x1;
    const RTMGRP_IPV4_IFADDR: u32 = 0x10;
    const RTMGRP_IPV4_ROUTE: u32 = 0x40;
    const RTMGRP_IPV6_IFADDR: u32 = 0x100;
    const RTMGRP_IPV6_ROUTE: u32 = 0x400;

    #[derive(Debug)]
    pub(super) struct Changes(AsyncFd<OwnedFd>);

    impl Changes {
        pub(super) fn open() -> io::Result<Self> {
            let fd = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkRoute,
            )?;
            let groups =
                RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
            // SAFETY: `AsyncFd` owns the descriptor and closes it after taking it out of the reactor; an `OwnedFd`
            // always names the same open descriptor.
            #[allow(unsafe_code)]
            let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
            watched.map(Self).map_err(|error| error.into_parts().1)
        }

        pub(super) async fn next(&mut self) -> io::Result<()> {
            loop {
                let mut ready = self.0.readable().await?;
                // A refusal here only means that nothing waits after all.
                if let Ok(drained) = ready.try_io(|fd| drain(fd.get_ref())) {
                    return drained;
                }
            }
        }
    }

    /// Takes everything that waits. What the messages say does not matter, so their rest may be cut off.
    fn drain(fd: &OwnedFd) -> io::Result<()> {
        let mut seen = false;
        let mut header = [0_u8; 16];
        loop {
            match recv(fd.as_raw_fd(), &mut header, MsgFlags::MSG_TRUNC) {
                // So many changes that the kernel dropped some: a change all the same.
                Ok(_) | Err(Errno::ENOBUFS) => seen = true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if seen => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::io;

    #[derive(Debug)]
    pub(super) struct Changes;

    impl Changes {
        pub(super) fn open() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) -> io::Result<()> {
            std::future::pending().await
        }
    }
}
