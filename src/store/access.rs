//! `access.sqlite`: users, groups, memberships, tokens, networks. `synchronous=FULL`.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::time::Timestamp;

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
    TokenId
);

/// A user, or a service account (a user without a password that can be set).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub admin: bool,
    pub service: bool,
    pub blocked: bool,
    /// argon2id in PHC form.
    #[serde(skip)]
    pub password_hash: Option<String>,
    /// Counts up at each change of the password; a password's JWT names it.
    #[serde(skip)]
    pub password_version: i64,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    Private,
    Public,
}

/// Access levels as in GitLab: 10, 20, 30, 40, 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Guest = 10,
    Reporter = 20,
    Developer = 30,
    Maintainer = 40,
    Owner = 50,
}

/// A group; groups nest by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    pub id: GroupId,
    /// `acme` or `acme/backend`.
    pub path: String,
    pub parent: Option<GroupId>,
    pub visibility: Visibility,
    pub dependency_proxy_enabled: bool,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    pub user: String,
    pub user_id: UserId,
    pub level: Level,
}

/// The kinds of tokens; only personal ones are made yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    Personal,
    Group,
    Project,
    Deploy,
    Job,
}

/// A token's row: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    pub id: TokenId,
    pub kind: TokenKind,
    pub name: String,
    /// Canonical scope words, sorted: the store does not know what they are worth.
    pub scopes: Vec<String>,
    pub user_id: Option<UserId>,
    pub group_id: Option<GroupId>,
    pub username: Option<String>,
    pub access_level: Option<Level>,
    pub revoked: bool,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// Who made it: a user's name, or `box` for the command line.
    pub created_by: String,
    pub last_used_at: Option<Timestamp>,
}

/// A token to be made. `digest` is the SHA-256 of the secret.
#[derive(Debug, Clone)]
pub struct NewToken {
    pub kind: TokenKind,
    pub name: String,
    pub digest: [u8; 32],
    pub scopes: Vec<String>,
    pub user_id: Option<UserId>,
    pub group_id: Option<GroupId>,
    pub username: Option<String>,
    pub access_level: Option<Level>,
    pub expires_at: Option<Timestamp>,
    pub created_by: String,
}

/// What a network rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ability {
    Read,
    Fill,
}

/// A network that is trusted without login. `group` None: the mirror's group alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    pub cidr: IpNet,
    pub ability: Ability,
    pub group: Option<GroupId>,
}

/// The access database: one writer, a pool of readers.
pub struct AccessDb {
    _private: (),
}

impl AccessDb {
    /// Changes whenever anything in the database changed, by this process or another; cheap enough for every request
    /// (one `PRAGMA data_version` plus an own counter).
    pub fn epoch(&self) -> Result<u64> {
        todo!()
    }

    /// `Conflict` if the name is taken.
    pub fn create_user(
        &self,
        _name: &str,
        _admin: bool,
        _service: bool,
        _password_hash: Option<&str>,
    ) -> Result<UserId> {
        todo!()
    }
    pub fn user(&self, _id: UserId) -> Result<Option<User>> {
        todo!()
    }
    pub fn user_by_name(&self, _name: &str) -> Result<Option<User>> {
        todo!()
    }
    pub fn users(&self) -> Result<Vec<User>> {
        todo!()
    }
    pub fn set_blocked(&self, _id: UserId, _blocked: bool) -> Result<()> {
        todo!()
    }
    /// Bumps the password's version.
    pub fn set_password(&self, _id: UserId, _password_hash: &str) -> Result<()> {
        todo!()
    }
    /// Removes the user, memberships, and tokens.
    pub fn remove_user(&self, _id: UserId) -> Result<()> {
        todo!()
    }

    /// Makes a group below its parent path, which must exist; `Conflict` if taken.
    pub fn create_group(&self, _path: &str, _visibility: Visibility) -> Result<GroupId> {
        todo!()
    }
    pub fn group_by_path(&self, _path: &str) -> Result<Option<Group>> {
        todo!()
    }
    pub fn group(&self, _id: GroupId) -> Result<Option<Group>> {
        todo!()
    }
    pub fn groups(&self) -> Result<Vec<Group>> {
        todo!()
    }
    pub fn set_group(
        &self,
        _id: GroupId,
        _visibility: Option<Visibility>,
        _dependency_proxy_enabled: Option<bool>,
    ) -> Result<()> {
        todo!()
    }
    /// Removes the group, what is below it, and memberships.
    pub fn remove_group(&self, _id: GroupId) -> Result<()> {
        todo!()
    }

    pub fn set_member(&self, _group: GroupId, _user: UserId, _level: Level) -> Result<()> {
        todo!()
    }
    pub fn remove_member(&self, _group: GroupId, _user: UserId) -> Result<bool> {
        todo!()
    }
    /// Direct members.
    pub fn members(&self, _group: GroupId) -> Result<Vec<Member>> {
        todo!()
    }
    /// The highest level on the group or any ancestor.
    pub fn level(&self, _group: GroupId, _user: UserId) -> Result<Option<Level>> {
        todo!()
    }

    pub fn create_token(&self, _token: &NewToken) -> Result<TokenId> {
        todo!()
    }
    pub fn token(&self, _id: TokenId) -> Result<Option<Token>> {
        todo!()
    }
    pub fn token_by_digest(&self, _digest: &[u8; 32]) -> Result<Option<Token>> {
        todo!()
    }
    /// All, or those of one user.
    pub fn tokens(&self, _user: Option<UserId>) -> Result<Vec<Token>> {
        todo!()
    }
    /// `NotFound` if there is none; revoking twice is fine.
    pub fn revoke_token(&self, _id: TokenId) -> Result<()> {
        todo!()
    }

    pub fn networks(&self) -> Result<Vec<Network>> {
        todo!()
    }
    pub fn add_network(&self, _network: &Network) -> Result<()> {
        todo!()
    }
    pub fn remove_network(&self, _cidr: IpNet, _group: Option<GroupId>) -> Result<bool> {
        todo!()
    }
}
