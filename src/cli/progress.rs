//! How far a long task is: one line on a terminal that is written over and over, lines now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::output::{hint, shown_size};

/// How often a terminal hears how far it is.
const ON_A_TERMINAL: Duration = Duration::from_millis(500);
/// How often a log or a pipe does.
const ELSEWHERE: Duration = Duration::from_secs(30);
/// Cells of the bar.
const CELLS: u64 = 24;

pub(super) struct Bar {
    is_terminal: bool,
    begun: Instant,
    last: Mutex<Instant>,
}

impl Bar {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            begun: now,
            last: Mutex::new(now),
        }
    }

    /// `done` of `total` bytes.
    pub(super) fn show(&self, done: u64, total: u64) {
        let Ok(mut last) = self.last.try_lock() else {
            return;
        };
        let every = if self.is_terminal {
            ON_A_TERMINAL
        } else {
            ELSEWHERE
        };
        if last.elapsed() < every {
            return;
        }
        *last = Instant::now();
        let line = line(done, total, self.begun.elapsed());
        if self.is_terminal {
            write_over(&format!("{} {line}", cells(done, total)));
        } else {
            hint(&line);
        }
    }

    pub(super) fn clear(&self) {
        if self.is_terminal {
            write_over("");
        }
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
