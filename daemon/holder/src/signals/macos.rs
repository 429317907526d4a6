//! macOS: a kqueue, which also tells of the ends of processes that are not our children.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::timespec;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::{Arrived, WATCHED};

const AT_ONCE: timespec = timespec { tv_sec: 0, tv_nsec: 0 };

/// Where signals are read from.
pub(crate) struct Signals(Kqueue);

impl Signals {
    /// Starts to collect. A kqueue tells of signals that are ignored, too. `SIGCHLD` keeps its default, which does
    /// nothing: ignored, it would reap the children before anybody has their exit status.
    #[allow(unsafe_code)]
    pub(crate) fn watch() -> io::Result<Self> {
        let queue = Kqueue::new()?;
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        for signal in WATCHED {
            add(&queue, signal as usize, EventFilter::EVFILT_SIGNAL, EvFlags::EV_CLEAR, FilterFlag::empty())?;
            if signal != Signal::SIGCHLD {
                // SAFETY: no handler is installed.
                unsafe { sigaction(signal, &ignore)? };
            }
        }
        Ok(Self(queue))
    }

    /// The next one, if any.
    pub(crate) fn next(&self) -> io::Result<Option<Arrived>> {
        let mut events =
            [KEvent::new(0, EventFilter::EVFILT_SIGNAL, EvFlags::empty(), FilterFlag::empty(), 0, 0)];
        loop {
            match self.0.kevent(&[], &mut events, Some(AT_ONCE)) {
                Ok(0) => return Ok(None),
                Ok(_) if events[0].filter() == Ok(EventFilter::EVFILT_PROC) => {
                    return Ok(Some(Arrived::Child));
                }
                Ok(_) => {
                    let signal = i32::try_from(events[0].ident()).ok();
                    let signal = signal.and_then(|signal| Signal::try_from(signal).ok());
                    if let Some(arrived) = signal.and_then(Arrived::of) {
                        return Ok(Some(arrived));
                    }
                }
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// The end of this process, which is not our child, will be told as a child's. Whether it is still there.
    pub(crate) fn watch_end_of(&self, pid: i32) -> bool {
        let Ok(ident) = usize::try_from(pid) else { return false };
        add(&self.0, ident, EventFilter::EVFILT_PROC, EvFlags::EV_ONESHOT, FilterFlag::NOTE_EXIT).is_ok()
    }
}

fn add(
    queue: &Kqueue,
    ident: usize,
    filter: EventFilter,
    flags: EvFlags,
    what: FilterFlag,
) -> Result<(), Errno> {
    let change = KEvent::new(ident, filter, EvFlags::EV_ADD | flags, what, 0, 0);
    queue.kevent(&[change], &mut [], Some(AT_ONCE)).map(drop)
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
