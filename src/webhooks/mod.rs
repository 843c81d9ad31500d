//! Webhooks: tells receivers what happened, signed as Standard Webhooks has it.
//!
//! Notices wait in memory for a moment ([`crate::store::Notices`]), and are then queued in `audit.sqlite` for each
//! webhook that hears of them; from there they are delivered, each receiver's in their order, again and again until it
//! has taken them. Many of one kind are summed up (`fold`). How one try is made and judged is in `deliver`.
//!
//! Knows no route and no configuration; the server says when to look, and what its other rooms have to tell.

mod deliver;
mod fold;
mod sign;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use deliver::send;
pub use sign::{Key, new_secret};

use crate::auth::keys::random_hex;
use crate::auth::seal::{Owner, SealingKeys};
use crate::error::Result;
use crate::metrics::counters;
use crate::store::{
    GroupId, NewDelivery, NewWebhook, Notice, NoticeKind, Store, Told, Webhook, WebhookId,
};
use crate::time::Timestamp;
use crate::upstream::Poster;
use fold::Fold;

/// So many events wait for a receiver; of more the oldest are dropped.
const MOST_QUEUED: u64 = 1_000;
/// So many wait in memory while the database takes none.
const MOST_UNQUEUED: usize = 10_000;

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

/// The webhooks and groups, as they were at a generation of the access database.
struct Known {
    generation: u64,
    hooks: Vec<Hook>,
    groups: HashMap<GroupId, (String, Option<GroupId>)>,
}

struct Hook {
    id: WebhookId,
    webhook: NewWebhook,
    /// Why there is none, where nothing opens its secret.
    key: std::result::Result<Key, String>,
}

#[derive(Default)]
struct Queueing {
    fold: Fold,
    /// What the database did not take yet.
    unqueued: Vec<NewDelivery>,
}

/// By the receivers' own names.
#[derive(Default)]
struct Delivering {
    busy: HashSet<String>,
    receivers: HashMap<String, Tries>,
}

#[derive(Default)]
struct Tries {
    failed: u32,
    next: Option<Instant>,
    /// When it last had a thread: whoever waits longest has the next.
    served: Option<Instant>,
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
        self.queue(&known, now, false)?;
        self.start_due(&known)
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

    /// What there is, read again after each change.
    fn known(&self) -> Result<Arc<Known>> {
        let generation = self.store.access.generation();
        let mut kept = self.known.lock();
        if let Some(known) = kept.as_ref().filter(|known| known.generation == generation) {
            return Ok(Arc::clone(known));
        }
        let rows = self.store.access.webhooks()?;
        let groups = match rows.is_empty() {
            true => Vec::new(),
            false => self.store.access.groups()?,
        };
        let uids: Vec<_> = rows.iter().map(|row| row.webhook.uid.as_str()).collect();
        self.store.audit.keep_receivers(&uids)?;
        let is_wanted = rows.iter().any(|row| row.webhook.enabled);
        self.store.audit.notices.want(is_wanted);
        let hook = |row: Webhook| Hook {
            id: row.id,
            key: open(&self.store, &row.webhook).map_err(|error| error.what_and_why()),
            webhook: row.webhook,
        };
        let known = Arc::new(Known {
            generation,
            hooks: rows.into_iter().map(hook).collect(),
            groups: groups
                .into_iter()
                .map(|group| (group.id, (group.path, group.parent)))
                .collect(),
        });
        *kept = Some(Arc::clone(&known));
        Ok(known)
    }

    fn queue(&self, known: &Known, now: Timestamp, is_last: bool) -> Result<()> {
        let (told, lost) = self.store.audit.notices.take();
        let mut queueing = self.queueing.lock();
        let Queueing { fold, unqueued } = &mut *queueing;
        let mut lost = lost;
        for (uid, sum) in fold.sums(now, is_last) {
            let told = Told {
                notice: sum,
                group: None,
                at: now,
            };
            unqueued.push(delivery(&uid, body(&told, None))?);
        }
        for told in told {
            let kind = told.notice.kind();
            let lineage = known.lineage(told.group);
            let path = lineage.first().map(|(_, path)| *path);
            let mut text = None;
            for hook in known.hooks.iter().filter(|hook| hook.hears(kind, &lineage)) {
                if fold.admits(&hook.webhook.uid, kind, now) {
                    let body = text.get_or_insert_with(|| body(&told, path));
                    unqueued.push(delivery(&hook.webhook.uid, body.clone())?);
                }
            }
        }
        let surplus = unqueued.len().saturating_sub(MOST_UNQUEUED);
        unqueued.drain(..surplus);
        lost = lost.saturating_add(surplus as u64);
        self.counters.unqueued.add(lost);
        if !unqueued.is_empty() {
            let dropped = self.store.audit.queue_deliveries(unqueued, MOST_QUEUED)?;
            self.counters.full.add(dropped);
            unqueued.clear();
        }
        Ok(())
    }
}

impl Known {
    /// A group and those above it, nearest first, with their paths.
    fn lineage(&self, group: Option<GroupId>) -> Vec<(GroupId, &str)> {
        let mut lineage = Vec::new();
        let mut next = group;
        while let Some((id, (path, parent))) = next.and_then(|id| Some((id, self.groups.get(&id)?)))
        {
            lineage.push((id, path.as_str()));
            next = *parent;
        }
        lineage
    }

    fn hook(&self, uid: &str) -> Option<&Hook> {
        let mut hooks = self.hooks.iter();
        hooks.find(|hook| hook.webhook.uid == uid && hook.webhook.enabled)
    }
}

impl Hook {
    fn hears(&self, kind: NoticeKind, lineage: &[(GroupId, &str)]) -> bool {
        let webhook = &self.webhook;
        let is_there = |id: GroupId| lineage.iter().any(|(group, _)| *group == id);
        webhook.enabled
            && webhook.group.is_none_or(is_there)
            && (webhook.events.is_empty() || webhook.events.contains(&kind))
    }
}

/// The key that a webhook's events are signed with.
///
/// # Errors
/// `Config` where nothing opens it.
pub fn open(store: &Store, webhook: &NewWebhook) -> Result<Key> {
    let owner = Owner::webhook(&webhook.uid);
    let secret = SealingKeys::find(store.directory())?.open(&owner, &webhook.secret)?;
    Key::parse(&Zeroizing::new(secret))
}

fn delivery(uid: &str, body: String) -> Result<NewDelivery> {
    Ok(NewDelivery {
        receiver: uid.to_owned(),
        message: new_message()?,
        created_at: Timestamp::now(),
        body,
    })
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
