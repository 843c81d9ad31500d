//! `access.sqlite`: users, groups, projects and their members, tokens, protection rules, flags, networks, upstreams,
//! external registries. Precious, so `synchronous=FULL`.
//!
//! Owns the rows and their relations: uniqueness, cascades, inheritance of levels. Judges nothing: what a
//! scope or a level is worth, and which names are allowed, is decided above. A file per noun.

mod audited;
mod external_registries;
mod features;
mod groups;
mod members;
mod minimum_level;
mod networks;
mod projects;
mod rules;
mod schema;
mod seen;
mod tokens;
mod upstreams;
mod users;

pub use external_registries::{ExternalRegistry, SigningAlgorithm};
pub use features::Feature;
pub use groups::{Group, GroupChanges, OnReadOnlyMiss, Visibility};
pub use members::{Level, Member, MemberFilter};
pub use minimum_level::MinimumLevel;
pub use networks::{Ability, Network};
pub use projects::{Project, ProjectChanges};
pub use rules::{MAX_RULES, ProtectionRule, RuleOwner, TagRule};
pub(super) use schema::MIGRATIONS;
pub use seen::{SeenFilter, Viewer};
pub use tokens::{Maker, NewToken, Token, TokenFilter, TokenKind};
pub use upstreams::{NewUpstream, UpstreamRow};
pub use users::{User, UserFilter};

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::audit::AuditDb;
use super::database::{Database, Synchronous};
pub use super::ids::{ExternalRegistryId, GroupId, ProjectId, RuleId, TokenId, UpstreamId, UserId};
use super::statement::get;
use crate::error::{Error, Kind, Result};
use audited::AuditedDatabase;

/// The access database: one writer, a pool of readers. Whatever changes it takes the [`super::Actor`] who does,
/// and is recorded in `audit.sqlite`; what cannot be recorded is not changed.
pub struct AccessDb {
    database: AuditedDatabase,
    watch: Mutex<Watch>,
    /// How often a commit of whomsoever was noticed.
    noticed: AtomicU64,
}

/// Watches the database from a connection that never writes, so that every commit is somebody else's.
struct Watch {
    watcher: Connection,
    data_version: i64,
}

impl AccessDb {
    pub(super) fn open(path: &Path, audit: Arc<AuditDb>) -> Result<Self> {
        let database = Database::open(path, Synchronous::Full, MIGRATIONS)?;
        let watcher = database.dedicated_reader()?;
        let data_version = data_version(&watcher)?;
        Ok(Self {
            database: AuditedDatabase::new(database, audit),
            watch: Mutex::new(Watch {
                watcher,
                data_version,
            }),
            noticed: AtomicU64::new(0),
        })
    }

    pub(super) fn database(&self) -> &AuditedDatabase {
        &self.database
    }

    /// Changes whenever anything in the database changed, by this process or another: a few microseconds for one
    /// `PRAGMA data_version`.
    ///
    /// Whoever keeps something in memory reads the epoch *before* the rows: then a change in between makes
    /// the kept thing too old, never too new. Numbers of two processes, or of two runs, are not comparable.
    pub fn epoch(&self) -> Result<u64> {
        let mut watch = self.watch.lock();
        let data_version = data_version(&watch.watcher)?;
        if data_version != watch.data_version {
            watch.data_version = data_version;
            self.noticed.fetch_add(1, Ordering::Release);
        }
        Ok(self.known_epoch())
    }

    /// The epoch without asking: what this process changed is in it at once, what others did as soon as somebody
    /// asks. A server asks once at the start of each request, with [`Self::notice_changes`].
    pub fn known_epoch(&self) -> u64 {
        let noticed = self.noticed.load(Ordering::Acquire);
        noticed.wrapping_add(self.database.changes())
    }

    /// Asks whether another process has changed something. Where that cannot be known it counts as changed, so that
    /// nothing kept is believed.
    pub fn notice_changes(&self) {
        if self.epoch().is_err() {
            self.noticed.fetch_add(1, Ordering::Release);
        }
    }
}

fn data_version(watcher: &Connection) -> Result<i64> {
    get(
        watcher,
        "ask whether the access database changed",
        "PRAGMA data_version",
        [],
        |row| row.get(0),
    )
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
