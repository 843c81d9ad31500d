//! From credentials to an [`Identity`]: Basic (passwords and tokens) and Bearer (our JWTs).
//!
//! What is stored about a user or a token is kept in memory until `access.sqlite` changes, by this
//! process or another: then the very next request reads it again. A request that finds nothing changed
//! makes no query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::address::ClientAddress;
use super::bans::Bans;
use super::identity::{Identity, JOB_USERNAME, PlacedProject, Principal};
use super::jwt::{Bearer, Jwts};
use super::login_events::LoginEvents;
use super::password::Verifier;
use super::secret::{self, Shape};
use crate::error::{Error, Kind, Result};
use crate::store::{
    AccessDb, Feature, Group, GroupId, Level, Network, ProjectId, Store, Token, TokenId, TokenKind,
    User, UserId,
};
use crate::time::Timestamp;

/// Entries kept of each kind; beyond that all of that kind are dropped and read again.
const MEMO_ENTRIES: usize = 10_000;

/// Answers who somebody is.
pub struct Authenticator {
    store: Arc<Store>,
    passwords: Verifier,
    jwts: Jwts,
    bans: Mutex<Bans>,
    memo: Mutex<Memo>,
}

/// Why a token's secret lets nobody in. Only who holds the secret learns more than that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretRefusal {
    /// No such token, or its owner is blocked or gone.
    Unknown,
    /// This one was revoked.
    Revoked(TokenId),
    /// It has expired.
    Expired,
}

/// What a token is refused for, if it is.
fn refusal(token: &Token, now: Timestamp) -> SecretRefusal {
    if token.revoked {
        SecretRefusal::Revoked(token.id)
    } else if token.expires_at.is_some_and(|at| at <= now) {
        SecretRefusal::Expired
    } else {
        SecretRefusal::Unknown
    }
}

/// What was read from `access.sqlite` since `epoch`.
#[derive(Default)]
struct Memo {
    epoch: u64,
    users: HashMap<UserId, Option<Arc<User>>>,
    tokens: HashMap<TokenId, Option<Arc<Token>>>,
    groups: HashMap<String, Option<Arc<Group>>>,
    levels: HashMap<(GroupId, UserId), Option<Level>>,
    groups_by_id: HashMap<GroupId, Option<Arc<Group>>>,
    lineages: HashMap<GroupId, Arc<[GroupId]>>,
    projects: HashMap<ProjectId, Option<Arc<PlacedProject>>>,
    networks: HashMap<(), Arc<[Network]>>,
    features: HashMap<(), Arc<[Feature]>>,
}

impl Authenticator {
    /// An authenticator over the store's access database.
    ///
    /// # Errors
    /// `Internal` when the system gives no randomness.
    pub fn new(store: Arc<Store>, jwts: Jwts, bans: Bans) -> Result<Self> {
        Ok(Self {
            store,
            passwords: Verifier::new()?,
            jwts,
            bans: Mutex::new(bans),
            memo: Mutex::default(),
        })
    }

    /// Issues and checks JWTs.
    pub fn jwts(&self) -> &Jwts {
        &self.jwts
    }

    /// Who sends `username` and `password` by Basic.
    ///
    /// A password that looks like one of our tokens is only ever looked up as a token. The audit hears of it,
    /// under the request's id.
    ///
    /// # Errors
    /// `Unauthorized` with one text for every wrong credential; `TooManyRequests` after too many failures, or
    /// when too many passwords are being checked.
    pub fn by_basic(
        &self,
        username: &str,
        password: &str,
        address: ClientAddress,
        correlation_id: &str,
        now: Timestamp,
    ) -> Result<Identity> {
        let shape = secret::shape(password);
        let account = (shape == Shape::Other).then_some(username);
        let login = LoginEvents {
            audit: &self.store.audit,
            shape,
            address,
            correlation_id,
            now,
        };
        let banned = self.bans().check(address.ip, account, now);
        if let Err(error) = banned {
            login.turned_away("banned", self.known(account)?.as_deref());
            return Err(error);
        }
        let found = match shape {
            Shape::Mistyped(_) => Ok(None),
            Shape::Token(_) => self.by_token(username, password, address, now),
            Shape::Other => self.by_password(username, password),
        };
        if let Err(error) = &found
            && matches!(error.kind(), Kind::TooManyRequests { .. })
        {
            login.turned_away("too many at once", None);
        }
        match found? {
            Some(principal) if principal.is_valid(now) => {
                self.bans().succeeded(address.ip, account);
                login.succeeded(&principal);
                Ok(Identity {
                    principal,
                    address,
                    bound: None,
                })
            }
            wrong => {
                let known = self.known(account)?;
                login.failed(wrong.as_ref(), known.as_deref());
                let begun = self.bans().failed(address.ip, account, now);
                for whose in begun {
                    login.banned(whose, known.as_deref());
                }
                let why = match shape {
                    Shape::Mistyped(_) => "this looks like a token, but its checksum is wrong",
                    _ => "wrong user name, password or token",
                };
                Err(
                    Error::new(Kind::Unauthorized, format!("login failed: {why}"))
                        .remedy("check the user name and the password or token"),
                )
            }
        }
    }

    /// The account, if there is one of this name.
    fn known(&self, account: Option<&str>) -> Result<Option<String>> {
        let user = account.map(|name| self.store.access.user_by_name(name));
        Ok(user.transpose()?.flatten().map(|user| user.name))
    }

    /// The principal of a token's secret, if the user name fits its kind: a deploy token's own, the fixed one
    /// of job tokens, and for the others any that is not empty.
    fn by_token(
        &self,
        username: &str,
        secret: &str,
        address: ClientAddress,
        now: Timestamp,
    ) -> Result<Option<Principal>> {
        let found = self.store.access.token_by_digest(&secret::digest(secret))?;
        let fits = |token: &Token| match token.kind {
            TokenKind::Deploy => token.username.as_deref() == Some(username),
            TokenKind::Job => username == JOB_USERNAME,
            TokenKind::Personal | TokenKind::Group | TokenKind::Project => !username.is_empty(),
        };
        match found.filter(fits) {
            Some(token) => {
                self.store.cache.note_token_used(token.id, address.ip, now);
                self.token_principal(Arc::new(token))
            }
            None => Ok(None),
        }
    }

    /// Who sends a token's secret alone, as the REST API takes it. Deploy tokens, which log in with a name of
    /// their own, and whatever is no token of ours are as unknown as a secret that was never given out. The
    /// audit hears of what fails; what succeeds is no login, but one request.
    ///
    /// # Errors
    /// `TooManyRequests` after too many failures; `Sql`.
    pub fn by_secret(
        &self,
        secret: &str,
        address: ClientAddress,
        correlation_id: &str,
        now: Timestamp,
    ) -> Result<std::result::Result<Identity, SecretRefusal>> {
        let shape = secret::shape(secret);
        let login = LoginEvents {
            audit: &self.store.audit,
            shape,
            address,
            correlation_id,
            now,
        };
        let banned = self.bans().check(address.ip, None, now);
        if let Err(error) = banned {
            login.turned_away("banned", None);
            return Err(error);
        }
        let found = match shape {
            Shape::Token(_) => self.store.access.token_by_digest(&secret::digest(secret))?,
            Shape::Mistyped(_) | Shape::Other => None,
        };
        let token = found.filter(|token| token.kind != TokenKind::Deploy);
        let refusal = token
            .as_ref()
            .map_or(SecretRefusal::Unknown, |token| refusal(token, now));
        let principal = match token {
            Some(token) => self.token_principal(Arc::new(token))?,
            None => None,
        };
        match principal {
            Some(principal) if principal.is_valid(now) => {
                if let Some(token) = principal.token() {
                    self.store.cache.note_token_used(token.id, address.ip, now);
                }
                self.bans().succeeded(address.ip, None);
                Ok(Ok(Identity {
                    principal,
                    address,
                    bound: None,
                }))
            }
            wrong => {
                login.failed(wrong.as_ref(), None);
                let begun = self.bans().failed(address.ip, None, now);
                for whose in begun {
                    login.banned(whose, None);
                }
                Ok(Err(refusal))
            }
        }
    }

    /// The user of this name, if the password is right. An unknown one costs as much.
    fn by_password(&self, username: &str, password: &str) -> Result<Option<Principal>> {
        let user = self.store.access.user_by_name(username)?;
        let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
        let matches = self.passwords.verify(password, stored)?;
        Ok(user
            .filter(|_| matches)
            .map(|user| Principal::Password(Arc::new(user))))
    }

    /// Who sends this JWT: the row that it names, as it stands now.
    ///
    /// # Errors
    /// `Unauthorized` when the JWT or what it names is no longer valid.
    pub fn by_bearer(&self, jwt: &str, address: ClientAddress, now: Timestamp) -> Result<Identity> {
        let claims = self.jwts.check(jwt, now)?;
        let principal = match claims.bearer {
            Bearer::Anonymous => Some(Principal::Anonymous),
            Bearer::Password { user, version } => {
                let user = self
                    .user(user)?
                    .filter(|user| user.password_version == version);
                user.map(Principal::Password)
            }
            Bearer::Token { id } => match self.token(id)? {
                Some(token) => self.token_principal(token)?,
                None => None,
            },
        };
        let principal = principal
            .filter(|principal| principal.is_valid(now))
            .ok_or_else(|| {
                Error::new(
                    Kind::Unauthorized,
                    "what this token was issued for is no longer valid",
                )
                .remedy("log in again")
            })?;
        Ok(Identity {
            principal,
            address,
            bound: Some(claims.access),
        })
    }

    /// Whether a user of this name exists: decides only whether credentials for Docker Hub may be taken
    /// as anonymous.
    ///
    /// # Errors
    /// `Sql`.
    pub fn knows_user(&self, name: &str) -> Result<bool> {
        Ok(self.store.access.user_by_name(name)?.is_some())
    }

    /// A group by its path.
    ///
    /// # Errors
    /// `Sql`.
    pub fn group(&self, path: &str) -> Result<Option<Arc<Group>>> {
        let read = |access: &AccessDb| Ok(access.group_by_path(path)?.map(Arc::new));
        self.remember(|memo| &mut memo.groups, path.to_owned(), read)
    }

    /// The user's level on a group, inherited ones included.
    ///
    /// # Errors
    /// `Sql`.
    pub fn level(&self, group: GroupId, user: UserId) -> Result<Option<Level>> {
        self.remember(
            |memo| &mut memo.levels,
            (group, user),
            |access| access.level(group, user),
        )
    }

    /// All network rules.
    ///
    /// # Errors
    /// `Sql`.
    pub fn networks(&self) -> Result<Arc<[Network]>> {
        self.remember(
            |memo| &mut memo.networks,
            (),
            |access| Ok(access.networks()?.into()),
        )
    }

    /// A user by its id.
    ///
    /// # Errors
    /// `Sql`.
    pub fn user(&self, id: UserId) -> Result<Option<Arc<User>>> {
        self.remember(
            |memo| &mut memo.users,
            id,
            |access| Ok(access.user(id)?.map(Arc::new)),
        )
    }

    fn token(&self, id: TokenId) -> Result<Option<Arc<Token>>> {
        self.remember(
            |memo| &mut memo.tokens,
            id,
            |access| Ok(access.token(id)?.map(Arc::new)),
        )
    }

    /// The principal of a token's kind; `None` where what it belongs to is gone.
    fn token_principal(&self, token: Arc<Token>) -> Result<Option<Principal>> {
        let user = token.user_id.map(|id| self.user(id)).transpose()?.flatten();
        let group = token
            .group_id
            .map(|id| self.group_by_id(id))
            .transpose()?
            .flatten();
        let project = token
            .project_id
            .map(|id| self.project(id))
            .transpose()?
            .flatten();
        Ok(match (token.kind, user, group, project) {
            (TokenKind::Personal, Some(user), ..) => Some(Principal::PersonalToken(user, token)),
            (TokenKind::Group, _, Some(group), _) => Some(Principal::GroupToken(group, token)),
            (TokenKind::Project, _, _, Some(project)) => {
                Some(Principal::ProjectToken(project, token))
            }
            (TokenKind::Deploy, _, Some(group), _) => {
                Some(Principal::GroupDeployToken(group, token))
            }
            (TokenKind::Deploy, _, None, Some(project)) => {
                Some(Principal::ProjectDeployToken(project, token))
            }
            (TokenKind::Job, Some(user), _, Some(project)) => {
                Some(Principal::JobToken(user, project, token))
            }
            _ => None,
        })
    }

    /// A group and its ancestors, nearest first; ends early where one of them was removed just now.
    ///
    /// # Errors
    /// `Sql`.
    pub fn lineage(&self, group: GroupId) -> Result<Arc<[GroupId]>> {
        self.remember(
            |memo| &mut memo.lineages,
            group,
            |access| lineage(access, group),
        )
    }

    /// All values of feature flags that were set.
    ///
    /// # Errors
    /// `Sql`.
    pub fn features(&self) -> Result<Arc<[Feature]>> {
        self.remember(
            |memo| &mut memo.features,
            (),
            |access| Ok(access.features()?.into()),
        )
    }

    /// A group by its id.
    ///
    /// # Errors
    /// `Sql`.
    pub fn group_by_id(&self, id: GroupId) -> Result<Option<Arc<Group>>> {
        self.remember(
            |memo| &mut memo.groups_by_id,
            id,
            |access| Ok(access.group(id)?.map(Arc::new)),
        )
    }

    /// A project by its id, with the groups that it lies in.
    ///
    /// # Errors
    /// `Sql`.
    pub fn project(&self, id: ProjectId) -> Result<Option<Arc<PlacedProject>>> {
        self.remember(
            |memo| &mut memo.projects,
            id,
            |access| {
                let Some(project) = access.project(id)? else {
                    return Ok(None);
                };
                let groups = lineage(access, project.group)?;
                Ok(Some(Arc::new(PlacedProject { project, groups })))
            },
        )
    }

    fn bans(&self) -> MutexGuard<'_, Bans> {
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the memo has under `key` for the current epoch, or what `read` reads.
    fn remember<K: std::hash::Hash + Eq, V: Clone>(
        &self,
        map: fn(&mut Memo) -> &mut HashMap<K, V>,
        key: K,
        read: impl FnOnce(&AccessDb) -> Result<V>,
    ) -> Result<V> {
        let epoch = self.store.access.epoch()?;
        if let Some(value) = map(&mut self.memo(epoch)).get(&key) {
            return Ok(value.clone());
        }
        let value = read(&self.store.access)?;
        let mut memo = self.memo(epoch);
        // What was read belongs to the epoch asked before it, or to a later one: kept under the earlier
        // one, it can only be dropped too soon, never too late.
        if memo.epoch == epoch {
            let map = map(&mut memo);
            if map.len() >= MEMO_ENTRIES {
                map.clear();
            }
            map.insert(key, value.clone());
        }
        Ok(value)
    }

    /// The memo, emptied if it is of an earlier epoch.
    fn memo(&self, epoch: u64) -> MutexGuard<'_, Memo> {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        if memo.epoch != epoch {
            *memo = Memo {
                epoch,
                ..Memo::default()
            };
        }
        memo
    }
}

/// A group and its ancestors, nearest first.
fn lineage(access: &AccessDb, group: GroupId) -> Result<Arc<[GroupId]>> {
    let mut lineage = Vec::new();
    let mut next = Some(group);
    while let Some(id) = next {
        lineage.push(id);
        next = access.group(id)?.and_then(|group| group.parent);
    }
    Ok(lineage.into())
}
