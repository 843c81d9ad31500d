//! The webhooks as they were at a generation of the access database, with the groups that were asked for since.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{Key, Webhooks};
use crate::auth::seal::{Owner, SealingKeys};
use crate::error::Result;
use crate::store::{GroupId, NewWebhook, NoticeKind, Store, Webhook, WebhookId};

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
    pub(super) key: std::result::Result<Key, String>,
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
            .and_then(|keys| open_with(keys, &row.webhook).map_err(|error| error.what_and_why()));
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
/// `Config` where nothing opens it.
pub fn open(store: &Store, webhook: &NewWebhook) -> Result<Key> {
    open_with(&SealingKeys::find(store.directory())?, webhook)
}

fn open_with(keys: &SealingKeys, webhook: &NewWebhook) -> Result<Key> {
    let owner = Owner::webhook(&webhook.uid);
    let opened = |sealed: &[u8]| keys.open(&owner, sealed).map(Zeroizing::new);
    let key = Key::parse(&opened(&webhook.secret)?)?;
    match &webhook.old_secret {
        Some((old, until)) => key.and_old(&opened(old)?, *until),
        None => Ok(key),
    }
}
