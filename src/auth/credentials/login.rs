//! Logins: by a user name with a password or a token's secret, and by a secret alone. Failures are counted and told to
//! the audit here, and only here.

use std::sync::Arc;
use std::time::Duration;

use super::super::address::ClientAddress;
use super::super::bans;
use super::super::identity::{Identity, Principal};
use super::super::login_events::LoginEvents;
use super::super::password::Attempt;
use super::super::secret::{self, Shape};
use super::{Authenticator, CredentialRefusal, NotLetIn, Refused};
use crate::error::{Kind, Result};
use crate::network;
use crate::store::{EventPlace, User};
use crate::time::Timestamp;

/// Whom a credential lets in.
enum Judged {
    LetIn(Principal),
    Refused(Refused),
}

impl Judged {
    fn of_nobody(why: CredentialRefusal) -> Self {
        Self::Refused(Refused::new(None, why))
    }
}

impl Authenticator {
    /// Who sends `username` and `password` by Basic.
    ///
    /// A password that looks like one of our tokens is only ever looked up as a token. The audit hears of it,
    /// under the request's id.
    ///
    /// # Errors
    /// `Unauthorized` with one text for every credential that is none, and with the reason for one that is no longer
    /// good; `TooManyRequests` after too many failures, or when too many passwords are being checked.
    pub fn by_basic(
        &self,
        username: &str,
        password: &str,
        address: ClientAddress,
        correlation_id: &str,
        now: Timestamp,
    ) -> Result<Identity> {
        let login = self.login(password, address, correlation_id, now);
        let identity = self.judge(&login, Some(username), password)?;
        if login.shape == Shape::Other {
            self.bans().succeeded(username);
        }
        self.logins.accepted.one();
        let principal = &identity.principal;
        login.succeeded(principal, self.event_place(principal)?);
        Ok(identity)
    }

    /// Who sends a token's secret alone, as the REST API takes it. Deploy tokens, which log in with a name of
    /// their own, are for registries alone. The audit hears of what fails; what succeeds is no login, but one request.
    ///
    /// # Errors
    /// Why it lets nobody in; `TooManyRequests` after too many failures; `Sql`.
    pub fn by_secret(
        &self,
        secret: &str,
        address: ClientAddress,
        correlation_id: &str,
        now: Timestamp,
    ) -> std::result::Result<Identity, NotLetIn> {
        let login = self.login(secret, address, correlation_id, now);
        self.judge(&login, None, secret)
    }

    fn login<'a>(
        &'a self,
        secret: &str,
        address: ClientAddress,
        correlation_id: &'a str,
        now: Timestamp,
    ) -> LoginEvents<'a> {
        LoginEvents {
            audit: &self.store.audit,
            shape: secret::shape(secret),
            address,
            correlation_id,
            now,
        }
    }

    /// Whom a secret lets in that comes with a user name, or, over the REST API, alone.
    fn judge(
        &self,
        login: &LoginEvents<'_>,
        username: Option<&str>,
        secret: &str,
    ) -> std::result::Result<Identity, NotLetIn> {
        let (address, now) = (login.address, login.now);
        let account = username.filter(|_| login.shape == Shape::Other);
        self.check_ban(login, account)?;
        let judged = match (login.shape, account) {
            (Shape::Mistyped(_), _) => Judged::of_nobody(CredentialRefusal::Mistyped),
            (Shape::Token(_), _) => self.by_token(username, secret, address, now)?,
            (Shape::Other, None) => Judged::of_nobody(CredentialRefusal::NoToken),
            (Shape::Other, Some(account)) => {
                let attempt = Attempt {
                    account,
                    password: secret,
                    address: address.ip,
                };
                self.by_password(&attempt).inspect_err(|error| {
                    if matches!(error.kind(), Kind::TooManyRequests { .. }) {
                        login.turned_away("too many at once", None);
                    }
                })?
            }
        };
        match judged {
            Judged::LetIn(principal) => Ok(Identity {
                principal,
                address,
                bound: None,
            }),
            Judged::Refused(refused) => {
                let retry_after = self.note_refused(login, &refused, account)?;
                let why = refused.why;
                Err(NotLetIn::Refused { why, retry_after })
            }
        }
    }

    /// Refuses whoever failed too often.
    fn check_ban(&self, login: &LoginEvents<'_>, account: Option<&str>) -> Result<()> {
        let banned = self.bans().check(login.address.ip, account, login.now);
        if banned.is_err() {
            self.logins.banned.one();
            login.turned_away("banned", self.known(account)?.as_ref());
        }
        banned
    }

    /// Counts a credential that lets nobody in, and tells the audit of it, and the log of a ban that it leads to. When to
    /// try again, where it exists and was sent too often within this minute.
    fn note_refused(
        &self,
        login: &LoginEvents<'_>,
        refused: &Refused,
        account: Option<&str>,
    ) -> Result<Option<Duration>> {
        let (address, now) = (login.address.ip, login.now);
        let known = self.known(account)?;
        let place = refused.of.as_ref().map(|of| self.event_place(of));
        let place = place.transpose()?.flatten();
        let row = refused.row();
        let retry_after = row.and_then(|row| self.refused.lock().note(row, now));
        if retry_after.is_some() {
            self.logins.banned.one();
            login.sent_too_often(refused, place, known.as_ref());
            return Ok(retry_after);
        }
        self.logins.failed.one();
        login.failed(refused, place, known.as_ref());
        if !refused.why.is_guess() {
            return Ok(None);
        }
        let begun = self.bans().failed(address, account, now);
        for whose in begun {
            login.banned(whose, known.as_ref());
            self.tell_of_ban(login, whose, known.as_ref());
        }
        Ok(None)
    }

    /// A name that is nobody's is not logged: it may be a password.
    fn tell_of_ban(&self, login: &LoginEvents<'_>, whose: &'static str, user: Option<&User>) {
        let until = self.bans().end(login.now);
        let address = bans::shown(&network::of_machine(login.address.ip));
        let (of, named) = match (whose, user) {
            ("address", _) => {
                self.logins.banned_addresses.one();
                (format!("from {address}"), address.as_str())
            }
            (_, user) => {
                self.logins.banned_users.one();
                let name = user.map(|user| user.name.as_str());
                let of = name.map_or("for a user that does not exist".to_owned(), |name| {
                    format!("with the password of {name}")
                });
                (of, name.unwrap_or("USER"))
            }
        };
        tracing::warn!(
            request_id = login.correlation_id,
            remote_ip = %login.address.ip,
            "logins {of} are refused until {until}, because too many failed: `breakwater audit` has them, `breakwater ban remove {named}` lifts it"
        );
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

    /// The principal of a token's secret, which comes with a user name, or, over the REST API, alone.
    fn by_token(
        &self,
        username: Option<&str>,
        secret: &str,
        address: ClientAddress,
        now: Timestamp,
    ) -> Result<Judged> {
        let found = self.store.access.token_by_digest(&secret::digest(secret))?;
        let Some(token) = found.map(Arc::new) else {
            return Ok(Judged::of_nobody(CredentialRefusal::NoSuchToken));
        };
        let of = self.token_principal(Arc::clone(&token))?;
        let why = CredentialRefusal::of_token(&token, of.as_ref(), username, now);
        // Also of one that has ended: the doctor names those that are still sent.
        if !matches!(
            why,
            Some(CredentialRefusal::OtherName(..) | CredentialRefusal::NotForTheApi)
        ) {
            self.store.cache.note_token_used(token.id, address.ip, now);
        }
        Ok(match (of, why) {
            (Some(principal), None) => Judged::LetIn(principal),
            (of, why) => {
                let why = why.unwrap_or(CredentialRefusal::OwnerGone);
                Judged::Refused(Refused::new(of, why))
            }
        })
    }

    /// The user of this name, if the password is right. An unknown one costs as much.
    fn by_password(&self, attempt: &Attempt<'_>) -> Result<Judged> {
        let user = self.store.access.user_by_name(attempt.account)?;
        let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
        let matches = self.passwords.verify(attempt, stored)?;
        Ok(match user.map(Arc::new) {
            None => Judged::of_nobody(CredentialRefusal::NoSuchUser),
            Some(_) if !matches => Judged::of_nobody(CredentialRefusal::WrongPassword),
            Some(user) if user.blocked => {
                let why = CredentialRefusal::Blocked(user.name.clone());
                Judged::Refused(Refused::new(Some(Principal::Password(user)), why))
            }
            Some(user) => Judged::LetIn(Principal::Password(user)),
        })
    }
}
