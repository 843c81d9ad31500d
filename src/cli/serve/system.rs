//! What is asked of the system that no crate asks for in safe code. Each call takes integers by value, and reads and writes
//! no memory of ours.

#![expect(
    unsafe_code,
    reason = "rustix wraps none of these calls, and the crates that do have had no release for years"
)]

use std::ffi::c_int;
use std::num::NonZeroUsize;

use crate::priority::lower;

/// The nice value that comes last.
const NICE: i32 = 19;

/// Lets this thread wait for all others, for the processor and for the disk. Where that is forbidden, it only competes.
pub(super) fn wait_for_others() {
    // linux/ioprio.h: IOPRIO_WHO_PROCESS, of which 0 is the calling thread; IOPRIO_CLASS_IDLE above IOPRIO_CLASS_SHIFT.
    const WHO: c_int = 1;
    const CALLER: c_int = 0;
    const IDLE: c_int = 3 << 13;
    lower(NICE);
    // SAFETY: `ioprio_set(2)` takes three integers, and changes nothing but the priority of the calling thread.
    let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO, CALLER, IDLE) };
}

/// Lets memory that was asked for in large pieces go back to the system when it is freed: hashes of passwords, lists and
/// manifests. By itself the allocator keeps pieces of that size for each thread after the first one. And it makes eight
/// heaps for each processor, of which each keeps what it once needed: two for each do as well. Called before there are
/// other threads.
pub(super) fn give_large_memory_back() {
    #[cfg(target_env = "gnu")]
    {
        const LARGE: c_int = 1 << 20;
        let processors = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        let heaps = c_int::try_from(processors.saturating_mul(2)).unwrap_or(c_int::MAX);
        // SAFETY: `mallopt(3)` takes two integers; there is no other thread that could use the allocator meanwhile.
        let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
        // SAFETY: the same.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps) };
    }
}

/// Gives the pages of all memory that is free back to the system. By itself the allocator keeps them for the next thread
/// that uses the same one of its heaps: a few long lists asked for one after the other would each leave their memory in
/// another one.
pub(super) fn give_free_memory_back() {
    #[cfg(target_env = "gnu")]
    {
        const KEPT_AT_THE_TOP: usize = 0;
        // SAFETY: `malloc_trim(3)` takes an integer, locks each heap while it looks at it, and touches free memory only.
        let _ = unsafe { libc::malloc_trim(KEPT_AT_THE_TOP) };
    }
}
