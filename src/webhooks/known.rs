//! The webhooks as they were at a generation of the access database, with the groups that were asked for since.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{Key, Webhooks};
use crate::auth::seal::{Owner, SealingKeys};
use crate::error::{Error, Kind, Result};
use crate::store::{GroupId, NewWebhook, NoticeKind, Store, Webhook, WebhookId};
use crate::time::Timestamp;
use crate::upstream::Unsent;

/// A group and those above it, nearest first, with their paths. Empty for the box, and for a group that is gone.
type Lineage = Vec<(GroupId, String)>;

pub(super) struct Known {
    pub(super) generation: u64,
    /// By their own names.
    pub(super) hooks: HashMap<String, Hook>,
    lineages: Mutex<HashMap<GroupId, Arc<Lineage>>>,
}

pub(super) struct Hook {
    pub(super) id: WebhookId,
    pub(super) webhook: NewWebhook,
    /// Why there is none, where nothing opens its secret.
    pub(super) key: std::result::Result<Key, Unsent>,
}

impl Webhooks {
    /// What there is, read again after each change.
    pub(super) fn known(&self) -> Result<Arc<Known>> {
        let generation = self.store.access.generation();
        let mut kept = self.known.lock();
        if let Some(known) = kept.as_ref().filter(|known| known.generation == generation) {
            return Ok(Arc::clone(known));
        }
        let hooks = read_hooks(&self.store)?;
        let is_wanted = hooks.values().any(|hook| hook.webhook.enabled);
        self.store.audit.notices.want(is_wanted);
        let before = kept.as_ref().map(|known| &known.hooks);
        let is_changed = |uid: &str| {
            let before = before.and_then(|hooks| hooks.get(uid));
            before.map(|hook| &hook.webhook) != hooks.get(uid).map(|hook| &hook.webhook)
        };
        let mut delivering = self.delivering.lock();
        delivering.forget(|uid| !hooks.contains_key(uid));
        let changed = hooks.keys().filter(|uid| is_changed(uid));
        changed.for_each(|uid| delivering.hurry(uid));
        drop(delivering);
        let known = Arc::new(Known {
            generation,
            hooks,
            lineages: Mutex::default(),
        });
        *kept = Some(Arc::clone(&known));
        Ok(known)
    }

    /// Whether any webhook hears what is told of this kind, in this group or of the box.
    ///
    /// # Errors
    /// `Sql`, `Busy`.
    pub fn hear(&self, kind: NoticeKind, group: Option<GroupId>) -> Result<bool> {
        let known = self.known()?;
        let lineage = known.lineage(&self.store, group)?;
        let mut hooks = known.hooks.values();
        Ok(hooks.any(|hook| hook.hears(kind, &lineage)))
    }
}

impl Known {
    /// Read where it is asked for first: most groups never tell anything.
    pub(super) fn lineage(&self, store: &Store, group: Option<GroupId>) -> Result<Arc<Lineage>> {
        let Some(group) = group else {
            return Ok(Arc::default());
        };
        if let Some(lineage) = self.lineages.lock().get(&group) {
            return Ok(Arc::clone(lineage));
        }
        let lineage = Arc::new(store.access.named_lineage(group)?);
        self.lineages.lock().insert(group, Arc::clone(&lineage));
        Ok(lineage)
    }

    /// The top-level group whose webhook it is; `None`: the box's.
    pub(super) fn owner(&self, store: &Store, hook: &Hook) -> Result<Option<GroupId>> {
        let lineage = self.lineage(store, hook.webhook.group)?;
        Ok(lineage.last().map(|(group, _)| *group))
    }

    pub(super) fn enabled(&self, uid: &str) -> Option<&Hook> {
        self.hooks.get(uid).filter(|hook| hook.webhook.enabled)
    }
}

impl Hook {
    pub(super) fn hears(&self, kind: NoticeKind, lineage: &Lineage) -> bool {
        let webhook = &self.webhook;
        let is_there = |id: GroupId| lineage.iter().any(|(group, _)| *group == id);
        webhook.enabled
            && webhook.group.is_none_or(is_there)
            && (webhook.events.is_empty() || webhook.events.contains(&kind))
    }
}

fn read_hooks(store: &Store) -> Result<HashMap<String, Hook>> {
    let rows = store.access.webhooks()?;
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    // One look at the files of keys, for all of them.
    let keys = SealingKeys::find(store.directory()).map_err(|error| error.what_and_why());
    let hook = |row: Webhook| {
        let key = keys
            .as_ref()
            .map_err(String::clone)
            .and_then(|keys| open_with(keys, &row.webhook).map_err(|error| error.what_and_why()))
            .map_err(|why| {
                Unsent::new("its events cannot be signed: its secret cannot be opened")
                    .whole(format!("its events cannot be signed: {why}"))
            });
        let uid = row.webhook.uid.clone();
        let hook = Hook {
            id: row.id,
            key,
            webhook: row.webhook,
        };
        (uid, hook)
    };
    Ok(rows.into_iter().map(hook).collect())
}

/// The key that a webhook's events are signed with.
///
/// # Errors
/// `Config` where nothing opens it; for a group's, without paths of this machine.
pub fn open(store: &Store, webhook: &NewWebhook) -> Result<Key> {
    let keys = SealingKeys::find(store.directory());
    let opened = keys.and_then(|keys| open_with(&keys, webhook));
    opened.map_err(|error| match webhook.group {
        None => error,
        Some(_) => Error::new(Kind::Config, "the webhook's secret cannot be opened")
            .remedy("ask an administrator: the log says why; or give the webhook another secret")
            .logged(error.logged_why()),
    })
}

fn open_with(keys: &SealingKeys, webhook: &NewWebhook) -> Result<Key> {
    let owner = Owner::webhook(&webhook.uid);
    let opened = |sealed: &[u8]| keys.open(&owner, sealed).map(Zeroizing::new);
    let key = Key::parse(&opened(&webhook.secret)?)?;
    let old = webhook.old_secret.as_ref();
    let Some((old, until)) = old.filter(|(_, until)| Timestamp::now() < *until) else {
        return Ok(key);
    };
    // The new one is enough for receivers that know it: better than to sign nothing.
    match opened(old).and_then(|old| Key::parse(&old)) {
        Ok(old) => Ok(key.and_old(old, *until)),
        Err(error) => {
            let receiver = webhook.origin();
            tracing::warn!(
                receiver,
                "a webhook's events are signed with its new secret alone, because the old one cannot be opened: {error}"
            );
            Ok(key)
        }
    }
}
