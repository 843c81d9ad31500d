//! From credentials to an [`Identity`]: Basic (passwords and tokens) and Bearer (our JWTs).
//!
//! - here: who somebody is.
//! - `facts`: what is stored about users, groups and projects, kept in memory until it changes.

mod facts;

use std::sync::Arc;

use facts::Memo;
use parking_lot::{Mutex, MutexGuard};

use super::address::ClientAddress;
use super::bans::Bans;
use super::identity::{Identity, JOB_USERNAME, Principal};
use super::jwt::{Bearer, Jwts};
use super::login_events::LoginEvents;
use super::password::{Attempt, Verifier};
use super::policy::protection::Expressions;
use super::secret::{self, Shape};
use crate::error::{Error, Kind, Result};
use crate::metrics::counters;
use crate::store::{EventPlace, Store, Token, TokenId, TokenKind, User};
use crate::time::Timestamp;

/// Answers who somebody is.
pub struct Authenticator {
    store: Arc<Store>,
    passwords: Verifier,
    jwts: Jwts,
    bans: Mutex<Bans>,
    logins: LoginCounters,
    memo: Mutex<Memo>,
    /// Those of rules about tags; they outlive the memo.
    expressions: Arc<Expressions>,
}

/// Why a token's secret lets nobody in. Only who holds the secret learns more than that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretRefusal {
    /// No such token, or its owner is blocked or gone.
    Unknown,
    /// This one was revoked.
    Revoked(TokenId),
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

counters! {
    /// How logins by password or token ended.
    pub struct LoginCounters {
        "breakwater_logins_total" ["result"] "Logins by password or token: accepted, failed, or refused for too many failures (banned)." {
            accepted = "accepted",
            failed = "failed",
            banned = "banned",
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
            self.logins.banned.one();
            login.turned_away("banned", self.known(account)?.as_ref());
            return Err(error);
        }
        let found = match shape {
            Shape::Mistyped(_) => Ok(None),
            Shape::Token(_) => self.by_token(username, password, address, now),
            Shape::Other => self.by_password(&Attempt {
                account: username,
                password,
                address: address.ip,
            }),
        };
        if let Err(error) = &found
            && matches!(error.kind(), Kind::TooManyRequests { .. })
        {
            login.turned_away("too many at once", None);
        }
        match found? {
            Some(principal) if principal.is_valid(now) => {
                if let Some(account) = account {
                    self.bans().succeeded(account);
                }
                self.logins.accepted.one();
                login.succeeded(&principal, self.event_place(&principal)?);
                Ok(Identity {
                    principal,
                    address,
                    bound: None,
                })
            }
            wrong => {
                self.logins.failed.one();
                let known = self.known(account)?;
                let place = wrong.as_ref().map(|wrong| self.event_place(wrong));
                login.failed(wrong.as_ref(), place.transpose()?.flatten(), known.as_ref());
                let begun = self.bans().failed(address.ip, account, now);
                for whose in begun {
                    login.banned(whose, known.as_ref());
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
    fn known(&self, account: Option<&str>) -> Result<Option<User>> {
        let user = account.map(|name| self.store.access.user_by_name(name));
        Ok(user.transpose()?.flatten())
    }

    /// The group or project that its token belongs to, if any, as the audit names it.
    fn event_place(&self, principal: &Principal) -> Result<Option<EventPlace>> {
        Ok(match principal {
            Principal::GroupToken(group, _) | Principal::GroupDeployToken(group, _) => {
                let groups = self.lineage(group.id)?;
                Some(EventPlace::in_groups(&group.path, &groups))
            }
            Principal::ProjectToken(placed, _)
            | Principal::ProjectDeployToken(placed, _)
            | Principal::JobToken(_, placed, _) => Some(placed.event_place(&placed.project.path)),
            Principal::Anonymous | Principal::Password(_) | Principal::PersonalToken(..) => None,
        })
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
            self.logins.banned.one();
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
                Ok(Ok(Identity {
                    principal,
                    address,
                    bound: None,
                }))
            }
            wrong => {
                self.logins.failed.one();
                let place = wrong.as_ref().map(|wrong| self.event_place(wrong));
                login.failed(wrong.as_ref(), place.transpose()?.flatten(), None);
                let begun = self.bans().failed(address.ip, None, now);
                for whose in begun {
                    login.banned(whose, None);
                }
                Ok(Err(refusal))
            }
        }
    }

    /// The user of this name, if the password is right. An unknown one costs as much.
    fn by_password(&self, attempt: &Attempt<'_>) -> Result<Option<Principal>> {
        let user = self.store.access.user_by_name(attempt.account)?;
        let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
        let matches = self.passwords.verify(attempt, stored)?;
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

    fn bans(&self) -> MutexGuard<'_, Bans> {
        self.bans.lock()
    }
}
