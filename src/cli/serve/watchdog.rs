//! Tells systemd again and again that the box is well, as long as its public port answers.
//!
//! Not a timer of its own: each word to systemd is preceded by an answer to `/-/liveness` that came through a
//! listener, the poller and a worker. A process that only looks alive is restarted (`WatchdogSec=`).

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::threads::spawn;
use crate::error::Result;
use crate::http::Probe;

/// So many questions are asked in systemd's interval: one that gets no answer has followers in time.
const QUESTIONS: u32 = 4;

/// The thread that asks, until this is dropped.
pub(super) struct Watchdog(
    #[allow(dead_code, reason = "what ends with it counts")] mpsc::Sender<()>,
);

impl Watchdog {
    /// Starts it, where systemd wants to be told.
    pub(super) fn start(probe: Probe) -> Result<Option<Self>> {
        let Some(interval) = sd_notify::watchdog_enabled() else {
            return Ok(None);
        };
        let pause = interval.checked_div(QUESTIONS).unwrap_or(interval);
        let (stop, stopped) = mpsc::channel();
        // Not waited for at the end: a question that gets no answer takes its time.
        spawn("watchdog", move || {
            loop {
                let asked = Instant::now();
                tell(&probe, pause);
                let rest = pause.saturating_sub(asked.elapsed());
                if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Some(Self(stop)))
    }
}

fn tell(probe: &Probe, within: Duration) {
    match probe.ask("/-/liveness", within) {
        Ok(200) => super::notify(&[NotifyState::Watchdog]),
        Ok(status) => {
            tracing::warn!(
                status,
                "the front door is not well: systemd is told nothing"
            );
        }
        Err(error) => {
            tracing::warn!(%error, "the front door does not answer: systemd is told nothing");
        }
    }
}
