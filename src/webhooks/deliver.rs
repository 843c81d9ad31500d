//! Deliveries: which receiver has its turn, one try, and what its answer means.
//!
//! A receiver has a thread while something waits for it, and there are at most [`MOST_THREADS`]: one that hangs holds up
//! no other. Its events go in their order; the first is tried until it is taken, or too old.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Hook, Key, Known, Pace, Webhooks};
use crate::error::{Error, Result};
use crate::store::{Actor, Delivery, NewWebhook, WebhookChanges};
use crate::time::{Timestamp, after};
use crate::upstream::{Poster, Unsent};

const MOST_THREADS: usize = 4;
/// How long a receiver with much to take keeps its thread, where others may wait for one.
const TURN: Duration = Duration::from_secs(10);

/// Posts a signed body once; the status of the answer.
///
/// # Errors
/// Why there was no answer.
pub fn send(
    poster: &Poster,
    webhook: &NewWebhook,
    key: &Key,
    message: &str,
    body: &str,
) -> std::result::Result<u16, Unsent> {
    let headers = key.headers(message, Timestamp::now(), body);
    poster.post(&webhook.url, &headers, body, webhook.allow_private)
}

/// What a try came to.
enum Tried {
    Delivered,
    /// The receiver wants nothing more.
    Gone,
    Failed(String),
}

impl Tried {
    fn of(answer: std::result::Result<u16, Unsent>) -> Self {
        match answer {
            Ok(200..=299) => Self::Delivered,
            Ok(410) => Self::Gone,
            Ok(status @ 300..=399) => Self::Failed(format!(
                "answered {status}, and no redirect is followed: give the url that it leads to"
            )),
            Ok(status) => Self::Failed(format!("answered {status}")),
            Err(why) => Self::Failed(why.to_string()),
        }
    }
}

impl Webhooks {
    /// Gives threads to receivers for whom something is due, those first that have waited longest.
    pub(super) fn start_due(self: &Arc<Self>, known: &Known) -> Result<()> {
        if self.is_halted() {
            return Ok(());
        }
        for uid in self.take_due(known)? {
            let turn = Turn {
                webhooks: Arc::clone(self),
                uid,
            };
            let thread = std::thread::Builder::new().name("webhook".into());
            let spawned = thread.stack_size(256 * 1024).spawn(move || turn.run());
            if let Err(error) = spawned {
                tracing::error!(%error, "cannot start a thread for a webhook");
            }
        }
        Ok(())
    }

    /// Takes as many receivers as there are threads for; each is busy until its [`Turn`] is dropped.
    fn take_due(&self, known: &Known) -> Result<Vec<String>> {
        let waiting = self.store.audit.waiting_receivers()?;
        let mut delivering = self.delivering.lock();
        let now = Instant::now();
        let is_due = |uid: &String| {
            let tries = delivering.receivers.get(uid);
            let is_paused = tries
                .and_then(|tries| tries.next)
                .is_some_and(|at| at > now);
            known.hook(uid).is_some() && !delivering.busy.contains(uid) && !is_paused
        };
        let mut due: Vec<String> = waiting.into_iter().filter(is_due).collect();
        due.sort_by_key(|uid| delivering.receivers.get(uid).and_then(|tries| tries.served));
        due.truncate(MOST_THREADS.saturating_sub(delivering.busy.len()));
        for uid in &due {
            delivering.busy.insert(uid.clone());
            delivering.receivers.entry(uid.clone()).or_default().served = Some(now);
        }
        Ok(due)
    }

    /// Nothing is sent while the box is offline, or stops.
    fn is_halted(&self) -> bool {
        self.offline.load(Ordering::Relaxed) || self.stopping.load(Ordering::Acquire)
    }

    /// Delivers the next event of a receiver; whether there may be more to do now.
    fn deliver_next(&self, uid: &str) -> Result<bool> {
        let known = self.known()?;
        let (Some(hook), false) = (known.hook(uid), self.is_halted()) else {
            return Ok(false);
        };
        let Some(delivery) = self.store.audit.next_delivery(uid)? else {
            return Ok(false);
        };
        let tried = match &hook.key {
            Ok(key) => {
                let body = with_dropped(&delivery);
                let (poster, webhook) = (&self.poster, &hook.webhook);
                Tried::of(send(poster, webhook, key, &delivery.message, &body))
            }
            Err(why) => Tried::Failed(format!("cannot be signed for: {why}")),
        };
        let now = Timestamp::now();
        match tried {
            Tried::Delivered => {
                self.counters.delivered.one();
                self.note_success(uid);
                self.store.audit.note_delivered(uid, &delivery, now)?;
                Ok(true)
            }
            Tried::Gone => {
                self.counters.failed.one();
                let why = "answered 410, which asks for no more events: it is switched off";
                self.store.audit.note_undelivered(uid, why, None, now)?;
                self.switch_off(hook)?;
                Ok(false)
            }
            Tried::Failed(why) => {
                self.counters.failed.one();
                let is_old = now.since(delivery.created_at) >= self.pace.give_up;
                let given_up = is_old.then_some(delivery.id);
                if is_old {
                    self.counters.expired.one();
                }
                self.note_failure(uid, hook, &why);
                self.store
                    .audit
                    .note_undelivered(uid, &why, given_up, now)?;
                Ok(false)
            }
        }
    }

    fn note_success(&self, uid: &str) {
        let mut delivering = self.delivering.lock();
        let tries = delivering.receivers.entry(uid.to_owned()).or_default();
        (tries.failed, tries.next) = (0, None);
    }

    fn note_failure(&self, uid: &str, hook: &Hook, why: &str) {
        let mut delivering = self.delivering.lock();
        let tries = delivering.receivers.entry(uid.to_owned()).or_default();
        let pause = self.pace.pause(tries.failed, random());
        tries.failed = tries.failed.saturating_add(1);
        tries.next = Some(after(Instant::now(), pause));
        let (id, receiver) = (hook.id.0, hook.webhook.origin());
        let again_in = pause.as_secs();
        match tries.failed {
            1 => tracing::warn!(
                webhook = id,
                receiver,
                again_in,
                "a webhook was not delivered: the receiver {why}"
            ),
            _ => tracing::debug!(
                webhook = id,
                receiver,
                again_in,
                "again not delivered: the receiver {why}"
            ),
        }
    }

    fn switch_off(&self, hook: &Hook) -> Result<()> {
        let changes = WebhookChanges {
            enabled: Some(false),
            why: Some("the receiver answered 410"),
            ..WebhookChanges::default()
        };
        let access = &self.store.access;
        access.set_webhook(&Actor::server(), hook.id, &changes)?;
        let receiver = hook.webhook.origin();
        tracing::warn!(
            webhook = hook.id.0,
            receiver,
            "a webhook is switched off: its receiver answered 410, which asks for no more events"
        );
        Ok(())
    }
}

/// A receiver's thread; dropped, it makes room for the next.
struct Turn {
    webhooks: Arc<Webhooks>,
    uid: String,
}

impl Turn {
    fn run(&self) {
        let begun = Instant::now();
        let goes_on = loop {
            match self.webhooks.deliver_next(&self.uid) {
                Ok(true) if begun.elapsed() < TURN => {}
                ended => break ended,
            }
        };
        if let Err(error) = goes_on {
            self.pause_after(&error);
        }
    }

    /// What could not be read or written is tried again later, like what was not delivered.
    fn pause_after(&self, error: &Error) {
        tracing::warn!(%error, "a webhook could not be delivered");
        let mut delivering = self.webhooks.delivering.lock();
        let tries = delivering.receivers.entry(self.uid.clone()).or_default();
        tries.next = Some(after(Instant::now(), self.webhooks.pace.first));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.webhooks.delivering.lock().busy.remove(&self.uid);
        self.webhooks.store.audit.notices.wake();
    }
}

impl Pace {
    /// The pause after a failure that so many came before; `random` is from 0 to 1.
    fn pause(&self, failed: u32, random: f64) -> Duration {
        let doubled = 1_u32.checked_shl(failed.min(31)).unwrap_or(u32::MAX);
        let pause = self.first.saturating_mul(doubled).min(self.longest);
        pause.mul_f64(0.8 + 0.4 * random)
    }
}

/// Without randomness from the system pauses are all alike.
fn random() -> f64 {
    let mut bytes = [0_u8; 4];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

/// The body, which tells how many events were dropped before it.
fn with_dropped(delivery: &Delivery) -> String {
    let parsed = (delivery.dropped > 0).then(|| serde_json::from_str(&delivery.body));
    match parsed {
        Some(Ok(Value::Object(mut fields))) => {
            fields.insert("dropped".to_owned(), json!(delivery.dropped));
            Value::Object(fields).to_string()
        }
        _ => delivery.body.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_five_seconds_to_an_hour_with_jitter() {
        let pace = Pace::default();
        for (failed, random, seconds) in [
            (0, 0.5, 5.0),
            (0, 0.0, 4.0),
            (0, 1.0, 6.0),
            (1, 0.5, 10.0),
            (9, 0.5, 2_560.0),
            (10, 0.5, 3_600.0),
            (u32::MAX, 1.0, 4_320.0),
        ] {
            let pause = pace.pause(failed, random).as_secs_f64();
            assert!((pause - seconds).abs() < 0.01, "{failed} {random}: {pause}");
        }
    }
}
