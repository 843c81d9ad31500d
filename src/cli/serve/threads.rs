//! Threads that last as long as the process. One that panics, which is a mistake of ours and in the log, goes on from
//! its beginning: without it notes would be lost, or garbage never collected, and nothing would tell.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// Before a thread that panicked goes on, so that one that always does fills no log.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs `work` on a thread of this name, until it returns.
pub(super) fn spawn(
    name: &'static str,
    work: impl Fn() + Send + 'static,
) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || run_to_its_end(name, work, PAUSE))
        .map_err(|error| {
            Error::new(Kind::Io, format!("cannot start the thread `{name}`")).because(error)
        })
}

fn run_to_its_end(name: &str, work: impl Fn(), pause: Duration) {
    // What it leaves half done when it panics is behind locks and transactions.
    while catch_unwind(AssertUnwindSafe(&work)).is_err() {
        tracing::error!(
            "the thread `{name}` panicked: it begins again in {} s",
            pause.as_secs()
        );
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_thread_that_panics_begins_again_until_it_ends() {
        let runs = Cell::new(0);
        let work = || {
            runs.set(runs.get() + 1);
            assert!(runs.get() > 2, "not yet");
        };
        run_to_its_end("test", work, Duration::ZERO);
        assert_eq!(runs.get(), 3);
    }
}
