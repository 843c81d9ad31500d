//! Whether a client makes enough progress for what it holds: bytes moved for time spent waiting for it.
//!
//! A client that sends one byte a minute would meet a timeout for each single wait, so the rate is judged. Only waits
//! for the client count here; how long a
//! handler or a body's source takes is not the client's doing.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// Bytes moved, and time spent waiting for it, since the client last made enough progress.
pub(super) struct Pace {
    /// So many bytes in a stall timeout of waiting are enough.
    least: usize,
    stall_timeout: Duration,
    moved: usize,
    waited: Duration,
}

impl Pace {
    pub(super) fn new(least: usize, stall_timeout: Duration) -> Self {
        Self {
            least,
            stall_timeout,
            moved: 0,
            waited: Duration::ZERO,
        }
    }

    /// Counts one operation on the socket.
    ///
    /// # Errors
    /// `TimedOut`: the client is too slow to be waited for any longer.
    pub(super) fn note(&mut self, count: usize, waited: Duration) -> io::Result<()> {
        self.moved = self.moved.saturating_add(count);
        self.waited = self.waited.saturating_add(waited);
        // A single operation of the kernel may move many bytes and take long.
        let times =
            u32::try_from(self.moved.checked_div(self.least).unwrap_or(0)).unwrap_or(u32::MAX);
        if self.waited > self.stall_timeout.saturating_mul(times.max(1)) {
            return Err(io::Error::new(
                ErrorKind::TimedOut,
                "the client is too slow",
            ));
        }
        if times > 0 {
            self.moved = 0;
            self.waited = Duration::ZERO;
        }
        Ok(())
    }
}
