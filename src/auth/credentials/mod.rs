//! From credentials to an [`Identity`]: Basic (passwords and tokens) and Bearer (our JWTs).
//!
//! - here: who a JWT is of.
//! - `login`: who logs in, by a password or a token's secret, and what becomes of failures.
//! - `refusal`: why a credential lets nobody in.
//! - `facts`: what is stored about users, groups and projects, kept in memory until it changes.

mod facts;
mod login;
mod refusal;

use std::sync::Arc;

use facts::Memo;
pub use facts::{hosted_project_now, stored_principal};
use parking_lot::{Mutex, MutexGuard};
use refusal::Row;

use super::address::ClientAddress;
use super::bans::{Ban, Bans, FailureKey, RefusedRows};
use super::identity::{Identity, Principal};
use super::jwt::{Bearer, Jwts};
use super::password::Verifier;
use super::policy::protection::Expressions;
use crate::error::{Error, Kind, Result};
use crate::metrics::counters;
use crate::store::{Session, SignedIn, Store, Token};
use crate::time::Timestamp;

pub(super) use refusal::Refused;
pub use refusal::{CredentialRefusal, NotLetIn};

/// Answers who somebody is.
pub struct Authenticator {
    store: Arc<Store>,
    passwords: Verifier,
    jwts: Jwts,
    bans: Mutex<Bans>,
    refused: Mutex<RefusedRows<Row>>,
    logins: LoginCounters,
    memo: Mutex<Memo>,
    /// Those of rules about tags; they outlive the memo.
    expressions: Arc<Expressions>,
}

/// How it stands now with somebody who was let in once.
enum Standing {
    Valid(Principal),
    Over(&'static str),
}

counters! {
    /// How logins by password or token ended.
    pub struct LoginCounters {
        "breakwater_logins_total" ["result"] "Logins by password or token: accepted, failed, or refused for too many failures (banned)." {
            accepted = "accepted",
            failed = "failed",
            banned = "banned",
        }
        "breakwater_bans_total" ["of"] "Bans that began, of an address or of a user, after too many failed logins." {
            banned_addresses = "address",
            banned_users = "user",
        }
    }
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
            refused: Mutex::default(),
            logins: LoginCounters::default(),
            memo: Mutex::default(),
            expressions: Arc::default(),
        })
    }

    /// Issues and checks JWTs.
    pub fn jwts(&self) -> &Jwts {
        &self.jwts
    }

    /// How logins ended since the start.
    pub fn logins(&self) -> &LoginCounters {
        &self.logins
    }

    /// How many addresses and users may not log in at `now`.
    pub fn active_bans(&self, now: Timestamp) -> usize {
        self.bans().active(now)
    }

    /// Those that may not, and until when.
    pub fn list_bans(&self, now: Timestamp) -> Vec<Ban> {
        self.bans().list(now)
    }

    /// As [`Bans::lift`].
    pub fn lift_ban(&self, named: &str, now: Timestamp) -> Option<FailureKey> {
        self.bans().lift(named, now)
    }

    /// Who sends this JWT: the row that it names, as it stands now.
    ///
    /// # Errors
    /// `Unauthorized` when the JWT or what it names is no longer valid.
    pub fn by_bearer(&self, jwt: &str, address: ClientAddress, now: Timestamp) -> Result<Identity> {
        let claims = self.jwts.check(jwt, now)?;
        match self.standing(claims.bearer, now)? {
            Standing::Valid(principal) => Ok(Identity {
                principal,
                address,
                bound: Some(claims),
            }),
            Standing::Over(why) => {
                let what = "what this token was issued for is no longer valid";
                Err(Error::new(Kind::Unauthorized, what)
                    .remedy("log in again")
                    .logged(format!("{what}: {why}")))
            }
        }
    }

    /// Whom a session of the page is of, as they stand now; `None` when it is over: it has ended by itself, or what it was
    /// begun with lets nobody in any more.
    ///
    /// # Errors
    /// `Sql`.
    pub fn by_session(
        &self,
        session: &Session,
        address: ClientAddress,
        now: Timestamp,
    ) -> Result<Option<Identity>> {
        if session.is_over(now) {
            return Ok(None);
        }
        let bearer = match session.signed_in {
            SignedIn::Password { user, version } => Bearer::Password { user, version },
            SignedIn::Token { id, .. } => Bearer::Token { id },
        };
        Ok(match self.standing(bearer, now)? {
            Standing::Valid(principal) => Some(Identity {
                principal,
                address,
                bound: None,
            }),
            Standing::Over(_) => None,
        })
    }

    fn standing(&self, bearer: Bearer, now: Timestamp) -> Result<Standing> {
        use Standing::{Over, Valid};
        Ok(match bearer {
            Bearer::Anonymous => Valid(Principal::Anonymous),
            Bearer::Password { user, version } => match self.user(user)? {
                None => Over("its user is gone"),
                Some(user) if user.password_version != version => Over("the password was changed"),
                Some(user) if user.blocked => Over("user blocked"),
                Some(user) => Valid(Principal::Password(user)),
            },
            Bearer::Token { id } => match self.token(id)? {
                None => Over("the token is gone"),
                Some(token) => {
                    let of = self.token_principal(Arc::clone(&token))?;
                    let name = token.username.as_deref();
                    let why = CredentialRefusal::of_token(&token, of.as_ref(), name, now);
                    match (of, why) {
                        (Some(principal), None) => Valid(principal),
                        (_, why) => Over(why.map_or("its owner is gone", |why| why.why())),
                    }
                }
            },
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
        Ok(Principal::of_token(token, user, group, project))
    }

    fn bans(&self) -> MutexGuard<'_, Bans> {
        self.bans.lock()
    }
}
