//! Deliveries: one try, and what its answer means.
//!
//! A receiver has a thread while something waits for it, as far as there are threads (`turns`). Its events go in their
//! order; the first is tried until it is taken, or too old.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::known::{Hook, Known};
use super::{Key, Webhooks};
use crate::error::{Error, Kind, Result};
use crate::store::{Actor, Delivery, NewWebhook, WebhookChanges};
use crate::time::Timestamp;
use crate::upstream::{Poster, Unsent, random_fraction};

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

/// Why nothing was taken, for those who see the webhook: only the box's are administrators' alone.
pub fn said(webhook: &NewWebhook, why: &Unsent) -> String {
    match webhook.group {
        None => why.logged_why().to_owned(),
        Some(_) => why.to_string(),
    }
}

/// What a try came to.
enum Tried {
    Delivered,
    /// The receiver wants nothing more.
    Gone,
    Failed(Unsent),
}

impl Tried {
    fn of(answer: std::result::Result<u16, Unsent>) -> Self {
        match answer {
            Ok(200..=299) => Self::Delivered,
            Ok(410) => Self::Gone,
            Ok(status @ 300..=399) => Self::Failed(Unsent::new(format!(
                "answered {status}, and no redirect is followed: give the url that it leads to"
            ))),
            Ok(status) => Self::Failed(Unsent::new(format!("answered {status}"))),
            Err(why) => Self::Failed(why),
        }
    }
}

impl Webhooks {
    /// Gives threads to receivers for whom something is due.
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

    fn take_due(&self, known: &Known) -> Result<Vec<String>> {
        let mut waiting = Vec::new();
        for uid in self.store.audit.waiting_receivers()? {
            if let Some(hook) = known.enabled(&uid) {
                waiting.push((uid, known.owner(&self.store, hook)?));
            }
        }
        Ok(self.delivering.lock().admit(waiting, Instant::now()))
    }

    /// Nothing is sent while the box is offline, or stops.
    fn is_halted(&self) -> bool {
        self.offline.load(Ordering::Relaxed) || self.stopping.load(Ordering::Acquire)
    }

    /// Delivers the next event of a receiver; whether there may be more to do now.
    fn deliver_next(&self, uid: &str) -> Result<bool> {
        // What it has got already is not sent again because that could not be noted.
        let unnoted = self.delivering.lock().tries(uid).unnoted.clone();
        if let Some(delivery) = unnoted {
            return self.note_delivered(uid, delivery);
        }
        let known = self.known()?;
        let (Some(hook), false) = (known.enabled(uid), self.is_halted()) else {
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
            Err(why) => Tried::Failed(why.clone()),
        };
        let (audit, now) = (&self.store.audit, Timestamp::now());
        match tried {
            Tried::Delivered => {
                self.counters.delivered.one();
                self.note_delivered(uid, delivery)
            }
            Tried::Gone => {
                self.counters.failed.one();
                if self.switch_off(hook)? {
                    let why = "answered 410, which asks for no more events: it is switched off";
                    audit.note_undelivered(uid, why, None, now)?;
                }
                Ok(false)
            }
            Tried::Failed(why) => {
                self.counters.failed.one();
                let is_old = now.since(delivery.created_at) >= self.pace.give_up;
                let given_up = is_old.then_some(delivery.id);
                audit.note_undelivered(uid, &said(&hook.webhook, &why), given_up, now)?;
                if is_old {
                    self.counters.expired.one();
                }
                let known = self.known()?;
                // A webhook that was changed meanwhile may lead to another receiver by now.
                let leads_to = known.hooks.get(uid).map(|hook| &hook.webhook);
                if leads_to == Some(&hook.webhook) {
                    self.note_failure(uid, hook, why.logged_why());
                }
                Ok(false)
            }
        }
    }

    fn note_delivered(&self, uid: &str, delivery: Delivery) -> Result<bool> {
        let audit = &self.store.audit;
        let noted = audit.note_delivered(uid, &delivery, Timestamp::now());
        let mut delivering = self.delivering.lock();
        let tries = delivering.tries(uid);
        match noted {
            Ok(()) => {
                tries.unnoted = None;
                tries.succeed();
                Ok(true)
            }
            Err(error) => {
                tries.unnoted = Some(delivery);
                Err(error)
            }
        }
    }

    fn note_failure(&self, uid: &str, hook: &Hook, why: &str) {
        let mut delivering = self.delivering.lock();
        let (failed, pause) = delivering.tries(uid).fail(&self.pace, random_fraction());
        let (id, receiver) = (hook.id.0, hook.webhook.origin());
        let again_in = pause.as_secs();
        match failed {
            1 => tracing::warn!(
                webhook = id,
                again_in,
                "a webhook was not delivered: the receiver at {receiver}: {why}"
            ),
            _ => tracing::debug!(
                webhook = id,
                again_in,
                "again not delivered: the receiver at {receiver}: {why}"
            ),
        }
    }

    /// Whether it was: what answered may not be what the webhook leads to by now.
    fn switch_off(&self, hook: &Hook) -> Result<bool> {
        let changes = WebhookChanges {
            enabled: Some(false),
            why: Some("the receiver answered 410"),
            expected: Some((hook.webhook.url.clone(), hook.webhook.allow_private)),
            ..WebhookChanges::default()
        };
        let access = &self.store.access;
        match access.set_webhook(&Actor::server(), hook.id, &changes) {
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotFound) => {
                return Ok(false);
            }
            switched => drop(switched?),
        }
        let receiver = hook.webhook.origin();
        tracing::warn!(
            webhook = hook.id.0,
            receiver,
            "a webhook is switched off: its receiver answered 410, which asks for no more events"
        );
        Ok(true)
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
        let tries = delivering.tries(&self.uid);
        tries.fail(&self.webhooks.pace, random_fraction());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.webhooks.delivering.lock().release(&self.uid);
        self.webhooks.store.audit.notices.wake();
    }
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
