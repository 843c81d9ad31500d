//! `access.sqlite`: users, groups, memberships, tokens, networks, upstreams. Precious, so `synchronous=FULL`.
//!
//! Owns the rows and their relations: uniqueness, cascades, inheritance of levels. Judges nothing: what a
//! scope or a level is worth, and which names are allowed, is decided above. A file per noun.

mod audited;
mod external_registries;
mod features;
mod groups;
mod networks;
mod projects;
mod rules;
mod schema;
mod tokens;
mod upstreams;
mod users;

pub use external_registries::{ExternalRegistry, SigningAlgorithm};
pub use rules::{MinimumLevel, ProtectionRule, RuleOwner, TagRule};
pub(super) use schema::MIGRATIONS;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::audit::AuditDb;
use super::database::{Database, Synchronous};
use super::statement::get;
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::time::Timestamp;
use audited::AuditedDatabase;

macro_rules! ids { ($($(#[$doc:meta])* $id:ident),*) => {$(
    $(#[$doc])*
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct $id(pub i64);
)*}; }
ids!(
    /// A user's row; never reused.
    UserId,
    /// A group's row; never reused.
    GroupId,
    /// A token's row; never reused.
    TokenId,
    /// An upstream's row; never reused.
    UpstreamId,
    /// A project's row; never reused.
    ProjectId,
    /// A rule's row, of either kind; never reused.
    RuleId,
    /// An external registry's row; never reused.
    ExternalRegistryId
);

/// A user, or a service account (a user without a password that can be set).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The row.
    pub id: UserId,
    /// The login name, unique.
    pub name: String,
    /// Administrators may everything.
    pub admin: bool,
    /// A service account: no password.
    pub service: bool,
    /// Kept, but let in nowhere.
    pub blocked: bool,
    /// argon2id in PHC form.
    #[serde(skip)]
    pub password_hash: Option<String>,
    /// Counts up at each change of the password; a password's JWT names it.
    #[serde(skip)]
    pub password_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Who may know that a group exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Its members.
    Private,
    /// Everybody who is logged in.
    Public,
}

impl Visibility {
    /// The word in commands, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

/// What somebody who may read but not fill gets of an image that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReadOnlyMiss {
    /// The image, streamed from the upstream; nothing of it is kept.
    PassThrough,
    /// A 404 that says so.
    Deny,
}

impl OnReadOnlyMiss {
    /// The word in commands, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PassThrough => "pass_through",
            Self::Deny => "deny",
        }
    }
}

/// Access levels as in GitLab: 10, 20, 30, 40, 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// 10
    Guest = 10,
    /// 20
    Reporter = 20,
    /// 30
    Developer = 30,
    /// 40
    Maintainer = 40,
    /// 50
    Owner = 50,
}

impl Level {
    /// The level of GitLab's number; `None` for other numbers.
    pub fn from_number(number: i64) -> Option<Self> {
        [
            Self::Guest,
            Self::Reporter,
            Self::Developer,
            Self::Maintainer,
            Self::Owner,
        ]
        .into_iter()
        .find(|level| level.number() == number)
    }

    /// GitLab's number.
    pub fn number(self) -> i64 {
        self as i64
    }
}

/// A group; groups nest by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The row.
    pub id: GroupId,
    /// `acme` or `acme/backend`.
    pub path: String,
    /// The group that it lies in.
    pub parent: Option<GroupId>,
    /// Who may know of it.
    pub visibility: Visibility,
    /// Off: its dependency proxy answers 404.
    pub dependency_proxy_enabled: bool,
    /// Its own: what holds for a group does not hold for those below it.
    pub on_read_only_miss: OnReadOnlyMiss,
    /// The upstream of paths that name none; `None`: as the nearest group above that has one, at last the box's.
    pub default_upstream: Option<RegistryHost>,
    /// The most bytes that may be pushed to the projects in it and below it; `None`: no limit of its own.
    pub quota: Option<u64>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What to change of a group; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupChanges {
    /// As [`Group::visibility`].
    pub visibility: Option<Visibility>,
    /// As [`Group::dependency_proxy_enabled`].
    pub dependency_proxy_enabled: Option<bool>,
    /// As [`Group::on_read_only_miss`].
    pub on_read_only_miss: Option<OnReadOnlyMiss>,
    /// As [`Group::default_upstream`]; `Some(None)` takes it away.
    pub default_upstream: Option<Option<RegistryHost>>,
    /// As [`Group::quota`]; `Some(None)` takes it away.
    pub quota: Option<Option<u64>>,
}

/// An upstream that was added by command.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamRow {
    /// The row.
    pub id: UpstreamId,
    /// When it was added.
    pub created_at: Timestamp,
    /// How it is reached, and whose it is.
    pub upstream: NewUpstream,
}

/// An upstream to be added. `Debug` is missing, as it holds what may be tried for a password.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUpstream {
    /// The word in paths and in `ns=`; unique in its group.
    pub name: RegistryHost,
    /// The group that brings it; `None`: the box's.
    pub group: Option<GroupId>,
    /// `https://HOST[:PORT]`
    pub url: String,
    /// The username and, sealed by `auth::seal`, the password; `None`: anonymous.
    pub credentials: Option<(String, Vec<u8>)>,
    /// A token realm (URL) on another host that may get the credentials.
    pub auth_realm: Option<String>,
    /// Further roots, as PEM.
    pub ca: Option<String>,
    /// Whether it may resolve to loopback, link-local or private addresses.
    pub allow_private_addresses: bool,
}

/// A direct member of a group or a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The user's name.
    pub user: String,
    /// The user's row.
    pub user_id: UserId,
    /// The level given here; a group above may give a higher one.
    pub level: Level,
}

/// A project: a path below a group, which owns hosted repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Project {
    /// The row.
    pub id: ProjectId,
    /// `acme/backend/api`.
    pub path: String,
    /// The group that it lies in: the path without its last part.
    pub group: GroupId,
    /// Who may know of it; public only where every group above it is public too.
    pub visibility: Visibility,
    /// The most bytes that may be pushed to it; `None`: no limit of its own.
    pub quota: Option<u64>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What to change of a project; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProjectChanges {
    /// As [`Project::visibility`].
    pub visibility: Option<Visibility>,
    /// As [`Project::quota`]; `Some(None)` takes it away.
    pub quota: Option<Option<u64>>,
}

/// A feature flag's value, for the box or for a group and those below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// The flag's name; the store does not know which there are.
    pub flag: String,
    /// `None`: the box's value.
    pub group: Option<GroupId>,
    /// On or off.
    pub enabled: bool,
}

/// The kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// A user's own (`bwp_`).
    Personal,
    /// A group's (`bwg_`).
    Group,
    /// A project's (`bwr_`).
    Project,
    /// For deployments, with a username of its own (`bwd_`).
    Deploy,
    /// For one job of a pipeline (`bwj_`).
    Job,
}

impl TokenKind {
    const ALL: [Self; 5] = [
        Self::Personal,
        Self::Group,
        Self::Project,
        Self::Deploy,
        Self::Job,
    ];

    /// The word in commands, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Group => "group",
            Self::Project => "project",
            Self::Deploy => "deploy",
            Self::Job => "job",
        }
    }
}

/// A token's row: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// The row.
    pub id: TokenId,
    /// What it belongs to.
    pub kind: TokenKind,
    /// What its maker calls it; not unique.
    pub name: String,
    /// Canonical scope words, sorted: the store does not know what they are worth.
    pub scopes: Vec<String>,
    /// The user whom it speaks for.
    pub user_id: Option<UserId>,
    /// The group that it belongs to.
    pub group_id: Option<GroupId>,
    /// The project that it belongs to; a job token's own project.
    pub project_id: Option<ProjectId>,
    /// The first token of the row of rotations that this one ends; itself where it was never rotated.
    pub family: TokenId,
    /// A deploy token's own username.
    pub username: Option<String>,
    /// The level of a group's or project's bot.
    pub access_level: Option<Level>,
    /// Revoked: let in nowhere, kept for lists and audit.
    pub revoked: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Who made it: a user's name, or `box` for the command line.
    pub created_by: String,
    /// Always `None` from [`AccessDb`]: uses are written to `cache.sqlite`, so that they invalidate nothing
    /// here. Whoever shows a token fills it from [`super::CacheDb::token_last_used`].
    pub last_used_at: Option<Timestamp>,
}

/// A token to be made. `digest` is the SHA-256 of the secret.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// As [`Token::kind`].
    pub kind: TokenKind,
    /// As [`Token::name`].
    pub name: String,
    /// SHA-256 of the secret; the secret itself is never stored.
    pub digest: [u8; 32],
    /// Words without spaces; stored sorted and once each.
    pub scopes: Vec<String>,
    /// As [`Token::user_id`].
    pub user_id: Option<UserId>,
    /// As [`Token::group_id`].
    pub group_id: Option<GroupId>,
    /// As [`Token::project_id`].
    pub project_id: Option<ProjectId>,
    /// As [`Token::username`]; a deploy token without one gets `gitlab+deploy-token-ID`.
    pub username: Option<String>,
    /// As [`Token::access_level`].
    pub access_level: Option<Level>,
    /// As [`Token::expires_at`].
    pub expires_at: Option<Timestamp>,
    /// As [`Token::created_by`].
    pub created_by: String,
}

/// What a network rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ability {
    /// What is cached, and what passes through.
    Read,
    /// Reading, and writing into the cache what came from an upstream.
    Fill,
}

impl Ability {
    /// The word in commands, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Fill => "fill",
        }
    }
}

/// A network that is trusted without login. `group` None: the mirror's group alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The addresses; host bits are dropped when it is stored.
    pub cidr: IpNet,
    /// What they may.
    pub ability: Ability,
    /// Where they may it.
    pub group: Option<GroupId>,
}

/// The access database: one writer, a pool of readers. Whatever changes it takes the [`super::Actor`] who does,
/// and is recorded in `audit.sqlite` after the commit.
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
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
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

/// A name as it may be shown in an error: short, control characters escaped.
fn shown(name: &str) -> String {
    name.chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect()
}

/// Replaces a broken uniqueness by a sentence that names the thing.
fn taken(error: Error, sentence: impl FnOnce() -> String) -> Error {
    if error.kind() == Kind::Conflict {
        Error::new(Kind::Conflict, sentence())
    } else {
        error
    }
}
