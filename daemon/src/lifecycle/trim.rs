//! What a burst of work leaves behind goes back to the kernel.

/// Gives back the pages that nothing lives on any more. The C library keeps them for the next burst, in each thread's own
/// part of the heap, and a daemon that runs for months is quiet for most of them.
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
