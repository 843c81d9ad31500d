//! `access.sqlite`: users, groups, projects and their members, tokens, protection rules, flags, networks, upstreams,
//! external registries, pins. Precious, so `synchronous=FULL`.
//!
//! Owns the rows and their relations: uniqueness, cascades, inheritance of levels. Judges nothing: what a
//! scope or a level is worth, and which names are allowed, is decided above. A file per noun.

mod audited;
mod cleanup;
mod external_registries;
mod features;
mod groups;
mod members;
mod minimum_level;
mod names;
mod networks;
mod pins;
mod projects;
mod rules;
mod schema;
mod seen;
mod sessions;
mod tokens;
mod upstreams;
mod users;
mod webhooks;

pub use cleanup::{Cadence, CleanupPolicy, OlderThan};
pub use external_registries::{ExternalRegistry, SigningAlgorithm};
pub use features::Feature;
pub use groups::{Group, GroupChanges, OnReadOnlyMiss, Visibility};
pub use members::{Level, Member, MemberFilter};
pub use minimum_level::MinimumLevel;
pub use names::NamesOf;
pub use networks::{Ability, Network};
pub use pins::{Pin, Pins};
pub use projects::{Project, ProjectChanges};
pub use rules::{MAX_RULES, ProtectionRule, RuleOwner, TagRule};
pub(super) use schema::MIGRATIONS;
pub use seen::{SeenFilter, Viewer};
pub use sessions::{Session, SessionId, SignedIn};
pub use tokens::{Maker, NewToken, Token, TokenFilter, TokenKind};
pub use upstreams::{NewUpstream, UpstreamRow};
pub use users::{User, UserFilter};
pub use webhooks::{NewWebhook, Webhook, WebhookChanges};

use std::path::Path;
use std::sync::Arc;

use super::audit::AuditDb;
use super::database::{Database, Synchronous};
pub use super::ids::{
    ExternalRegistryId, GroupId, ProjectId, RuleId, TokenId, UpstreamId, UserId, WebhookId,
};
use crate::error::{Error, Kind, Result};
use audited::AuditedDatabase;

/// The access database: one writer, a pool of readers. Whatever changes it takes the [`super::Actor`] who does,
/// and is recorded in `audit.sqlite`; what cannot be recorded is not changed.
pub struct AccessDb {
    database: AuditedDatabase,
}

impl AccessDb {
    pub(super) fn open(path: &Path, audit: Arc<AuditDb>) -> Result<Self> {
        let database = Database::open(path, Synchronous::Full, MIGRATIONS)?;
        Ok(Self {
            database: AuditedDatabase::new(database, audit),
        })
    }

    pub(super) fn database(&self) -> &AuditedDatabase {
        &self.database
    }

    /// Moves with every change but those of sessions, which nobody keeps in memory. Only the process that holds the lock
    /// makes any, so this costs no look at the database.
    ///
    /// Whoever keeps something in memory reads the generation *before* the rows: then a change in between makes
    /// the kept thing too old, never too new. Numbers of two runs are not comparable.
    pub fn generation(&self) -> u64 {
        self.database.changes()
    }
}

/// The error for a row that is not there (any more).
fn no_such(noun: &str, id: i64) -> Error {
    Error::new(
        Kind::NotFound,
        format!("there is no {noun} with the id {id}"),
    )
}

/// Replaces a broken uniqueness by a sentence that names the thing.
fn taken(error: Error, sentence: impl FnOnce() -> String) -> Error {
    if error.kind() == Kind::Conflict {
        Error::new(Kind::Conflict, sentence())
    } else {
        error
    }
}
