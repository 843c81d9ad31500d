//! The keys that sign the token endpoint's JWTs: their ids and times, never a key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::auth::jwt::lifetime;
use crate::auth::keys::{Key, Keys};
use crate::error::Result;
use crate::store::{Event, EventKind};
use crate::time::Timestamp;

/// Makes a new key, which signs from the next login on, and removes those that verify nothing any more.
#[derive(Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct RotateKey {
    /// A key has leaked: remove all older ones now; every client has to ask for a new token
    #[arg(long)]
    pub at_once: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListKeys {}

/// What a rotation has done.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Rotated {
    /// The key that signs from now on.
    pub id: String,
    /// Keys that are gone.
    pub removed: Vec<String>,
}

/// A key as it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct KeyView {
    pub id: String,
    pub created_at: Timestamp,
    pub signs: bool,
    /// Null for the one that signs.
    pub verifies_until: Option<Timestamp>,
}

impl From<&Key> for KeyView {
    fn from(key: &Key) -> Self {
        Self {
            id: key.id.clone(),
            created_at: key.made_at,
            signs: key.retires_at.is_none(),
            verifies_until: key.retires_at,
        }
    }
}

impl Operation for RotateKey {
    const NAME: &'static str = "keys.rotate";
    type View = Rotated;

    fn perform(self, admin: &Admin<'_>) -> Result<Rotated> {
        with_keys(admin, |keys| {
            let record = |kind, id: &str| {
                let event = Event::new(kind).subject("key", id, None);
                admin.store.audit.record(&admin.actor, &event);
            };
            let now = Timestamp::now();
            let id = keys.rotate(now)?;
            record(EventKind::KeyRotated, &id);
            let removed = keys.remove_retired(now, self.at_once)?;
            for id in &removed {
                record(EventKind::KeyRemoved, id);
            }
            Ok(Rotated { id, removed })
        })
    }
}

impl Operation for ListKeys {
    const NAME: &'static str = "keys.list";
    type View = Vec<KeyView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<KeyView>> {
        with_keys(admin, |keys| {
            Ok(keys.all().iter().map(|key| KeyView::from(&**key)).collect())
        })
    }
}

/// Those that the server signs with, or those of the data directory where none runs.
fn with_keys<T>(admin: &Admin<'_>, work: impl FnOnce(&Keys) -> Result<T>) -> Result<T> {
    if let Some(server) = admin.server {
        return work(server.keys());
    }
    let directory = admin.store.directory().join("keys");
    let lifetime = lifetime(admin.config.auth.token_ttl);
    work(&Keys::open_or_make(&directory, lifetime)?)
}
