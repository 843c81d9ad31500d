//! Webhooks: tells receivers what happened, signed as Standard Webhooks has it.
//!
//! Notices wait in memory for a moment ([`crate::store::Notices`]), and are then queued in `audit.sqlite` for each
//! webhook that hears of them; from there they are delivered, each receiver's in their order, again and again until it
//! has taken them. What there is to be told is in `known`, the way into the queues in `queue`, where many of one kind are
//! summed up (`fold`); whose turn it is in `turns`, and how one try is made and judged in `deliver`.
//!
//! Knows no route and no configuration; the server says when to look, and what its other rooms have to tell.

mod deliver;
mod fold;
mod known;
mod queue;
mod sign;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

pub use deliver::{said, send};
pub use fold::ONE_BY_ONE;
pub use known::open;
pub use sign::{Key, new_secret};

use crate::auth::keys::random_hex;
use crate::error::Result;
use crate::metrics::counters;
use crate::store::{Notice, Store, Told};
use crate::time::Timestamp;
use crate::upstream::Poster;
use known::Known;
use queue::Queueing;
use turns::Delivering;

counters! {
    /// What became of events since the start.
    pub struct Counters {
        "breakwater_webhook_deliveries_total" ["result"] "Tries to deliver an event to a receiver of a webhook by how they ended." {
            delivered = "delivered",
            failed = "failed",
        }
        "breakwater_webhook_events_dropped_total" ["why"] "Events that a receiver never gets: its queue was full (full), it did not take them for a day (expired), or there was no room to queue them (unqueued)." {
            full = "full",
            expired = "expired",
            unqueued = "unqueued",
        }
    }
}

/// How patient deliveries are.
#[derive(Debug, Clone)]
pub struct Pace {
    /// The pause after a first failure; it doubles with each further one.
    pub first: Duration,
    pub longest: Duration,
    /// An event that is older is tried once more, and given up then.
    pub give_up: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            longest: Duration::from_secs(60 * 60),
            give_up: Duration::from_secs(24 * 60 * 60),
        }
    }
}

pub struct Webhooks {
    store: Arc<Store>,
    offline: Arc<AtomicBool>,
    poster: Poster,
    pace: Pace,
    pub counters: Counters,
    known: Mutex<Option<Arc<Known>>>,
    queueing: Mutex<Queueing>,
    delivering: Mutex<Delivering>,
    stopping: AtomicBool,
}

impl Webhooks {
    /// Sends nothing before it is asked to.
    ///
    /// # Errors
    /// `Config` for a proxy of the environment that cannot be used.
    pub fn new(store: Arc<Store>, offline: Arc<AtomicBool>, pace: Pace) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            store,
            offline,
            poster: Poster::new()?,
            pace,
            counters: Counters::default(),
            known: Mutex::default(),
            queueing: Mutex::default(),
            delivering: Mutex::default(),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Queues what was told since the last time, and begins to deliver what is due.
    ///
    /// # Errors
    /// `Sql`, `Full`, `Busy`: what could not be queued waits for the next time, within bounds.
    pub fn work(self: &Arc<Self>, now: Timestamp) -> Result<()> {
        let known = self.known()?;
        for uid in self.store.audit.notices.take_ready() {
            self.delivering.lock().hurry(&uid);
        }
        let queued = self.queue(&known, now, false);
        // What is queued already goes out also where nothing more can be queued.
        let started = self.start_due(&known);
        queued.and(started)
    }

    /// Queues what is left. Deliveries that are on their way are not waited for: they are tried again.
    ///
    /// # Errors
    /// As [`Self::work`].
    pub fn stop(&self, now: Timestamp) -> Result<()> {
        self.stopping.store(true, Ordering::Release);
        let known = self.known()?;
        self.queue(&known, now, true)
    }
}

/// What a receiver knows an event by.
///
/// # Errors
/// `Internal` when the system gives no randomness.
pub fn new_message() -> Result<String> {
    Ok(format!("msg_{}", random_hex::<16>()?))
}

/// The body, without what is added when it is sent. `group` is the path of the group that it is about.
pub fn body(told: &Told, group: Option<&str>) -> String {
    let mut value = serde_json::to_value(&told.notice).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert("timestamp".to_owned(), json!(told.at));
        if let Some(Value::Object(data)) = fields.get_mut("data") {
            let is_of_box = matches!(
                told.notice,
                Notice::Ping { .. } | Notice::EventsSummed { .. }
            );
            if !is_of_box {
                data.insert("group".to_owned(), json!(group));
            }
        }
    }
    value.to_string()
}
