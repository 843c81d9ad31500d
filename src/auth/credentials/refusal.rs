//! Why a credential lets nobody in: what its holder is told, and what the audit and the log say.
//!
//! Whoever holds a whole secret, a token's or a user's password, learns why it is refused. Everybody else gets one text
//! for whatever is wrong.

use std::time::Duration;

use super::super::identity::{JOB_USERNAME, Principal};
use crate::error::{Error, Kind};
use crate::store::{Token, TokenId, TokenKind, UserId};
use crate::time::Timestamp;

/// A credential that lets nobody in, and whom it is of, where that is known.
#[derive(Debug)]
pub(in crate::auth) struct Refused {
    pub(in crate::auth) of: Option<Principal>,
    pub(in crate::auth) why: CredentialRefusal,
}

/// Why a credential lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialRefusal {
    /// No token has this secret.
    NoSuchToken,
    /// It looks like a token, but its checksum is wrong.
    Mistyped,
    NoSuchUser,
    WrongPassword,
    /// A password where only the secrets of tokens are taken.
    NoToken,
    Revoked(TokenId, Option<Timestamp>),
    Expired(Timestamp),
    /// The user that it speaks for is blocked.
    Blocked(String),
    /// A token that logs in with this user name, under another one.
    OtherName(TokenKind, String),
    /// A deploy token where its secret comes without a user name.
    NotForTheApi,
    /// The user, group or project of the token is gone.
    OwnerGone,
}

impl CredentialRefusal {
    /// What a token is refused for that logs in under `username`, or, where there is none, by its secret alone.
    pub(super) fn of_token(
        token: &Token,
        principal: Option<&Principal>,
        username: Option<&str>,
        now: Timestamp,
    ) -> Option<Self> {
        // First: where it lets nobody in at all, its secret says nothing of it either.
        if token.kind == TokenKind::Deploy && username.is_none() {
            return Some(Self::NotForTheApi);
        }
        if token.revoked {
            return Some(Self::Revoked(token.id, token.revoked_at));
        }
        if let Some(at) = token.expires_at.filter(|&at| at <= now) {
            return Some(Self::Expired(at));
        }
        match principal {
            None => return Some(Self::OwnerGone),
            Some(principal) => {
                if let Some(user) = principal.user().filter(|user| user.blocked) {
                    return Some(Self::Blocked(user.name.clone()));
                }
            }
        }
        let wanted = match (token.kind, username) {
            (_, None) => return None,
            (TokenKind::Deploy, _) => token.username.as_deref().unwrap_or_default(),
            (TokenKind::Job, _) => JOB_USERNAME,
            (_, Some("")) => "",
            (_, Some(_)) => return None,
        };
        let is_under_it = username == Some(wanted) && !wanted.is_empty();
        (!is_under_it).then(|| Self::OtherName(token.kind, wanted.to_owned()))
    }

    /// Whether whoever sends it holds no whole secret: such failures are counted against his address.
    pub(super) fn is_guess(&self) -> bool {
        matches!(
            self,
            Self::NoSuchToken
                | Self::Mistyped
                | Self::NoSuchUser
                | Self::WrongPassword
                | Self::NoToken
        )
    }

    /// In the audit and the log.
    pub fn why(&self) -> &'static str {
        match self {
            Self::NoSuchToken => "no such token",
            Self::Mistyped => "wrong checksum",
            Self::NoSuchUser => "no such user",
            Self::WrongPassword => "wrong password",
            Self::NoToken => "no token",
            Self::Revoked(..) => "revoked",
            Self::Expired(_) => "expired",
            Self::Blocked(_) => "user blocked",
            Self::OtherName(..) => "other user name",
            Self::NotForTheApi => "a deploy token is for registries alone",
            Self::OwnerGone => "its owner is gone",
        }
    }

    /// What is told to whoever sent it.
    pub(super) fn error(&self) -> Error {
        let (what, remedy) = match self {
            Self::Mistyped => (
                "this looks like a token, but its checksum is wrong".to_owned(),
                CHECK.to_owned(),
            ),
            Self::Revoked(_, at) => {
                let when = at.map(|at| format!(" on {at}")).unwrap_or_default();
                (format!("this token was revoked{when}"), ANOTHER.to_owned())
            }
            Self::Expired(at) => (format!("this token expired on {at}"), ANOTHER.to_owned()),
            Self::Blocked(user) => (
                format!("the user {user} is blocked"),
                format!(
                    "an administrator of this box unblocks it with `breakwater user unblock {user}`"
                ),
            ),
            Self::OtherName(kind, wanted) if wanted.is_empty() => (
                format!(
                    "a {} token logs in with a user name, whichever it is",
                    kind.as_str()
                ),
                "give one".to_owned(),
            ),
            Self::OtherName(kind, wanted) => (
                format!(
                    "this {} token logs in under its own user name, and not under another one",
                    kind.as_str()
                ),
                format!("log in as {wanted}"),
            ),
            Self::NoSuchToken
            | Self::NoSuchUser
            | Self::WrongPassword
            | Self::NoToken
            | Self::NotForTheApi
            | Self::OwnerGone => (
                "wrong user name, password or token".to_owned(),
                CHECK.to_owned(),
            ),
        };
        Error::new(Kind::Unauthorized, format!("login failed: {what}"))
            .remedy(remedy)
            .logged(format!("login failed: {}", self.why()))
    }

    /// What is told where it was sent too often.
    fn too_often(&self, retry_after: Duration) -> Error {
        let too_often = "and it was sent too often";
        let what = format!("{}, {too_often}", self.error().what());
        Error::new(Kind::TooManyRequests { retry_after }, what)
            .remedy(format!("try again in {} s", retry_after.as_secs()))
            .logged(format!("login failed: {}, {too_often}", self.why()))
    }
}

/// Why a secret lets nobody in.
#[derive(Debug)]
pub enum NotLetIn {
    Refused {
        why: CredentialRefusal,
        /// When to try again, where it was sent too often within this minute.
        retry_after: Option<Duration>,
    },
    /// A ban, or no fault of the secret.
    Other(Error),
}

impl From<Error> for NotLetIn {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<NotLetIn> for Error {
    fn from(reason: NotLetIn) -> Self {
        match reason {
            NotLetIn::Refused { why, retry_after } => match retry_after {
                Some(retry_after) => why.too_often(retry_after),
                None => why.error(),
            },
            NotLetIn::Other(error) => error,
        }
    }
}

const CHECK: &str = "check the user name and the password or token";
const ANOTHER: &str = "use another one, or ask for one";

/// A credential that exists and is refused, for what is counted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Row {
    Token(TokenId),
    User(UserId),
}

impl Refused {
    pub(super) fn new(of: Option<Principal>, why: CredentialRefusal) -> Self {
        Self { of, why }
    }

    /// The row that it matches; none for a guess.
    pub(super) fn row(&self) -> Option<Row> {
        let of = self.of.as_ref().filter(|_| !self.why.is_guess())?;
        let by_token = of.token().map(|token| Row::Token(token.id));
        by_token.or_else(|| of.user().map(|user| Row::User(user.id)))
    }
}
