//! What a long task is doing, and how far it is, or where that is not known, for how long it has been going
//! on. On a terminal that is one line, which appears after a second and is written over and over; elsewhere a line every half
//! minute; and nothing beside JSON.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::output::{hint, shown_size};
use super::terminal;

/// What takes less is not worth a line.
const FIRST: Duration = Duration::from_secs(1);
/// How often a terminal hears how far it is.
const ON_A_TERMINAL: Duration = Duration::from_millis(500);
/// How often a log or a pipe does.
const ELSEWHERE: Duration = Duration::from_secs(30);
/// Cells of the bar.
const CELLS: u64 = 24;

/// Shown until it is dropped.
pub(super) struct Bar {
    shared: Arc<Shared>,
    /// `None` where nothing is shown.
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    what: &'static str,
    is_terminal: bool,
    begun: Instant,
    /// Bytes; zero of zero until it is known.
    done: AtomicU64,
    total: AtomicU64,
    is_over: Mutex<bool>,
    ended: Condvar,
}

impl Bar {
    /// `what` is being done: "verifying". `json`: the caller prints JSON, and nothing shall be shown.
    pub(super) fn new(what: &'static str, json: bool) -> Self {
        let shared = Arc::new(Shared {
            what,
            is_terminal: std::io::stderr().is_terminal(),
            begun: Instant::now(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            is_over: Mutex::new(false),
            ended: Condvar::new(),
        });
        // Without a thread for it, it is not shown, which is no failure.
        let start = || {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("progress".to_owned());
            thread.spawn(move || shared.run()).ok()
        };
        let thread = (!json).then(start).flatten();
        Self { shared, thread }
    }

    /// `done` of `total` bytes.
    pub(super) fn show(&self, done: u64, total: u64) {
        self.shared.done.store(done, Ordering::Relaxed);
        self.shared.total.store(total, Ordering::Relaxed);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        *self.shared.is_over.lock() = true;
        self.shared.ended.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let (first, every) = match self.is_terminal {
            true => (FIRST, ON_A_TERMINAL),
            false => (ELSEWHERE, ELSEWHERE),
        };
        let mut is_over = self.is_over.lock();
        let mut pause = first;
        let mut is_shown = false;
        while !*is_over {
            // Woken early it only shows the same again.
            let waited = self.ended.wait_for(&mut is_over, pause);
            if !*is_over && waited.timed_out() {
                self.draw();
                (pause, is_shown) = (every, true);
            }
        }
        if is_shown && self.is_terminal {
            write_over("");
        }
    }

    fn draw(&self) {
        let (done, total) = (&self.done, &self.total);
        let (done, total) = (done.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
        let spent = self.begun.elapsed();
        let text = match total {
            0 => {
                let spent = Duration::from_secs(spent.as_secs());
                format!("{}, {}", self.what, humantime::format_duration(spent))
            }
            _ => format!("{}: {}", self.what, line(done, total, spent)),
        };
        if !self.is_terminal {
            hint(&text);
            return;
        }
        let text = match total {
            0 => text,
            _ => format!("{} {text}", cells(done, total)),
        };
        // A line that is longer than the terminal is wide could not be written over.
        let width = terminal::width_of(std::io::stderr());
        let most = width.map_or(usize::MAX, |width| width.saturating_sub(1));
        write_over(&text.chars().take(most).collect::<String>());
    }
}

fn cells(done: u64, total: u64) -> String {
    let full = CELLS
        .saturating_mul(done)
        .checked_div(total)
        .unwrap_or(0)
        .min(CELLS);
    let count = |cells: u64| usize::try_from(cells).unwrap_or(0);
    let (full, empty) = (count(full), count(CELLS.saturating_sub(full)));
    format!("[{}{}]", "#".repeat(full), ".".repeat(empty))
}

/// `1.0 GiB of 4.0 GiB, 100.0 MiB/s, 31s left`
fn line(done: u64, total: u64, spent: Duration) -> String {
    let mut line = format!("{} of {}", shown_size(done), shown_size(total));
    let milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
    let rate = done.saturating_mul(1000).checked_div(milliseconds);
    if let Some(rate) = rate.filter(|rate| *rate > 0) {
        line.push_str(&format!(", {}/s", shown_size(rate)));
        let left = total.saturating_sub(done).checked_div(rate).unwrap_or(0);
        let left = humantime::format_duration(Duration::from_secs(left));
        line.push_str(&format!(", {left} left"));
    }
    line
}

fn write_over(text: &str) {
    // Progress that cannot be shown is no failure.
    let _ = std::io::stderr().write_all(format!("\r\u{1b}[K{text}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        const GIB: u64 = 1 << 30;
        for (done, total, seconds, expected) in [
            (0, 0, 0, "0 B of 0 B"),
            (0, GIB, 5, "0 B of 1.0 GiB"),
            (GIB, 4 * GIB, 8, "1.0 GiB of 4.0 GiB, 128.0 MiB/s, 24s left"),
            (2 * GIB, GIB, 2, "2.0 GiB of 1.0 GiB, 1.0 GiB/s, 0s left"),
        ] {
            assert_eq!(line(done, total, Duration::from_secs(seconds)), expected);
        }
        assert_eq!(cells(0, 0), "[........................]");
        assert_eq!(cells(1, 2), "[############............]");
        assert_eq!(cells(9, 2), "[########################]");
    }
}
