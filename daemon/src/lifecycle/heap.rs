//! The heap of a process that is quiet for months between bursts: small while nothing happens.

/// All threads share one heap. The C library would give each a part of its own, for speed that a daemon whose work is on
/// one thread has no use for, and each part keeps its free pages for itself. Called before there is a second thread.
pub(crate) fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: it sets a number in the allocator and has no precondition.
        #[allow(unsafe_code)]
        let _ = unsafe { nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1) };
    }
}

/// Gives back the pages that nothing lives on any more; the C library keeps them for the next burst.
///
/// Told when a thread for blocking work ends, which is when there has been nothing for it to do for ten seconds: a burst
/// is over. Takes well under a millisecond for the heap of five hundred sessions.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: it takes the allocator's own locks and has no other precondition.
        #[allow(unsafe_code)]
        let _ = unsafe { nix::libc::malloc_trim(0) };
    }
}
