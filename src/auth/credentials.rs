//! From credentials to an [`Identity`]: Basic (passwords and tokens) and Bearer (our JWTs).
//!
//! What is stored about a user or a token is kept in memory until `access.sqlite` changes, by this
//! process or another: then the very next request reads it again. A request that finds nothing changed
//! makes no query.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::address::ClientAddress;
use super::identity::{Identity, Principal};
use super::jwt::{Bearer, Jwts};
use super::password::Verifier;
use super::secret::{self, Shape};
use crate::error::{Error, Kind, Result};
use crate::store::{AccessDb, Group, GroupId, Level, Network, Store, Token, TokenId, User, UserId};
use crate::time::Timestamp;

/// Entries kept of each kind; beyond that all of that kind are dropped and read again.
const MEMO_ENTRIES: usize = 10_000;

/// Answers who somebody is.
pub struct Authenticator {
    store: Arc<Store>,
    passwords: Verifier,
    jwts: Jwts,
    memo: Mutex<Memo>,
}

/// What was read from `access.sqlite` since `epoch`.
#[derive(Default)]
struct Memo {
    epoch: u64,
    users: HashMap<UserId, Option<Arc<User>>>,
    tokens: HashMap<TokenId, Option<Arc<Token>>>,
    groups: HashMap<String, Option<Arc<Group>>>,
    levels: HashMap<(GroupId, UserId), Option<Level>>,
    networks: Option<Arc<[Network]>>,
}

impl Authenticator {
    /// An authenticator over the store's access database.
    ///
    /// # Errors
    /// `Internal` when the system gives no randomness.
    pub fn new(store: Arc<Store>, jwts: Jwts) -> Result<Self> {
        Ok(Self {
            store,
            passwords: Verifier::new()?,
            jwts,
            memo: Mutex::default(),
        })
    }

    /// Issues and checks JWTs.
    pub fn jwts(&self) -> &Jwts {
        &self.jwts
    }

    /// Who sends `username` and `password` by Basic.
    ///
    /// A password that looks like one of our tokens is only ever looked up as a token.
    ///
    /// # Errors
    /// `Unauthorized` with one text for every wrong credential; `TooManyRequests` when too many
    /// passwords are being checked.
    pub fn by_basic(
        &self,
        username: &str,
        password: &str,
        address: ClientAddress,
        now: Timestamp,
    ) -> Result<Identity> {
        let refused = |why: &str| {
            Error::new(Kind::Unauthorized, format!("login failed: {why}"))
                .remedy("check the user name and the password or token")
        };
        let principal = match secret::shape(password) {
            Shape::Mistyped(_) => {
                return Err(refused(
                    "this looks like a token, but its checksum is wrong",
                ));
            }
            Shape::Token(_) if username.is_empty() => {
                return Err(refused("the user name is empty"));
            }
            Shape::Token(_) => {
                let token = self
                    .store
                    .access
                    .token_by_digest(&secret::digest(password))?;
                let token = token.ok_or_else(|| refused("wrong user name, password or token"))?;
                self.store.cache.note_token_used(token.id, address.ip, now);
                self.token_principal(Arc::new(token))?
            }
            Shape::Other => {
                let user = self.store.access.user_by_name(username)?;
                let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
                let matches = self.passwords.verify(password, stored)?;
                user.filter(|_| matches)
                    .map(|user| Principal::Password(Arc::new(user)))
            }
        };
        let principal = principal.filter(|principal| principal.is_valid(now));
        let principal = principal.ok_or_else(|| refused("wrong user name, password or token"))?;
        Ok(Identity {
            principal,
            address,
            bound: None,
        })
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
        let epoch = self.store.access.epoch()?;
        if let Some(networks) = &self.memo(epoch).networks {
            return Ok(Arc::clone(networks));
        }
        let networks: Arc<[Network]> = self.store.access.networks()?.into();
        self.memo(epoch).networks = Some(Arc::clone(&networks));
        Ok(networks)
    }

    fn user(&self, id: UserId) -> Result<Option<Arc<User>>> {
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
        let user = token
            .user_id
            .map(|user| self.user(user))
            .transpose()?
            .flatten();
        Ok(user.map(|user| Principal::PersonalToken(user, token)))
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
    fn memo(&self, epoch: u64) -> std::sync::MutexGuard<'_, Memo> {
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
