//! Threads that let pulls go first where the processors are short.

use crate::error::{Error, Result};

/// The nice value, of 19, of work that somebody waits for, but not a pull.
pub const AFTER_PULLS: i32 = 10;

/// Gives others priority over what this thread does from here on. Where that is forbidden, it competes with them.
pub fn lower(nice: i32) {
    // Of the calling thread alone: on Linux each thread has its own value, see setpriority(2).
    let _ = rustix::process::setpriority_process(None, nice);
}

/// Runs `work`, for which this thread waits, on a thread that pulls go before. It holds no lock that others wait for, or
/// only for moments: a thread that was lowered cannot be raised again, and gives back late what it
/// holds.
///
/// # Errors
/// Those of `work`, and `Internal` where it panics or no thread can be had.
pub fn after_pulls<T: Send>(
    name: &'static str,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let work = || {
        lower(AFTER_PULLS);
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn_scoped(scope, work);
        let thread =
            thread.map_err(|error| Error::internal("cannot start a thread").because(error))?;
        let panicked = |_| {
            let what = format!("the thread `{name}` panicked");
            Err(Error::internal(what))
        };
        thread.join().unwrap_or_else(panicked)
    })
}
