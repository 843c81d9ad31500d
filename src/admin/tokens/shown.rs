//! Which tokens a request about one kind of them is about, and who may do what with them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AccessTokenView, DeployTokenView, JobTokenView, TokenView};
use crate::admin::caller::{forbidden_because, needs};
use crate::admin::named::Place;
use crate::admin::{Admin, NamedPlace};
use crate::error::{Error, Kind, Result};
use crate::store::{Level, Store, Token, TokenId, TokenKind, UserId};
use crate::time::Timestamp;

/// Tokens that are shown in the same way.
pub trait ShownToken: Serialize + DeserializeOwned {
    const NOUN: &'static str;

    fn of(store: &Store, token: Token, now: Timestamp) -> Result<Self>;

    /// Whether a path about the place, or about none, means tokens of this kind.
    fn is_meant(kind: TokenKind, place: Option<&Place>) -> bool;

    /// Whether the caller may know of the token, which is of the place.
    ///
    /// # Errors
    /// `Denied` where it may know of it, but not do this.
    fn may(admin: &Admin<'_>, token: &Token, place: Option<&Place>, wish: Wish) -> Result<bool>;

    /// What is said of a token that is not there, or that the caller may not know of.
    fn missing(_: &Admin<'_>, _: Option<&Place>, id: TokenId) -> Error {
        Error::new(Kind::NotFound, format!("there is no token {}", id.0))
            .remedy("see `breakwater token list`")
            .about(Self::NOUN)
    }
}

impl Place {
    /// The kind of its access tokens.
    pub(super) fn token_kind(&self) -> TokenKind {
        match self {
            Self::Group(_) => TokenKind::Group,
            Self::Project(_) => TokenKind::Project,
        }
    }
}

/// What is to be done with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Show,
    Revoke,
    /// It gives the caller a secret.
    Rotate,
}

/// Of any kind; only the box's own commands ask in this way.
impl ShownToken for TokenView {
    const NOUN: &'static str = "Token";

    fn of(store: &Store, token: Token, now: Timestamp) -> Result<Self> {
        Self::new(store, token, now)
    }

    fn is_meant(_: TokenKind, _: Option<&Place>) -> bool {
        true
    }

    fn may(admin: &Admin<'_>, _: &Token, _: Option<&Place>, _: Wish) -> Result<bool> {
        Ok(admin.caller.is_administrator())
    }
}

/// Without a place, personal tokens.
impl ShownToken for AccessTokenView {
    const NOUN: &'static str = "Access Token";

    fn of(store: &Store, token: Token, now: Timestamp) -> Result<Self> {
        Self::new(store, token, now)
    }

    fn is_meant(kind: TokenKind, place: Option<&Place>) -> bool {
        kind == place.map_or(TokenKind::Personal, Place::token_kind)
    }

    fn may(admin: &Admin<'_>, token: &Token, place: Option<&Place>, wish: Wish) -> Result<bool> {
        let Some(place) = place else {
            return Ok(admin.caller.is_administrator() || is_own(admin, token));
        };
        if wish != Wish::Show {
            refuse_bots(admin)?;
            // Whoever rotates a token gets its secret: it must not be worth more than the caller.
            needs(
                place.authority(admin)?,
                token.access_level.unwrap_or(Level::Owner),
            )?;
        }
        Ok(true)
    }

    /// What others have of personal tokens is answered to everybody but administrators with 401, as in GitLab.
    fn missing(admin: &Admin<'_>, place: Option<&Place>, id: TokenId) -> Error {
        let missing = TokenView::missing(admin, place, id);
        match (place, admin.caller.is_administrator()) {
            (Some(_), _) => missing.about(Self::NOUN),
            (None, true) => missing.about("Personal Access Token"),
            (None, false) => Error::new(Kind::Unauthorized, "401 Unauthorized"),
        }
    }
}

impl ShownToken for DeployTokenView {
    const NOUN: &'static str = "Deploy Token";

    fn of(store: &Store, token: Token, now: Timestamp) -> Result<Self> {
        Self::new(store, token, now)
    }

    fn is_meant(kind: TokenKind, _: Option<&Place>) -> bool {
        kind == TokenKind::Deploy
    }

    fn may(admin: &Admin<'_>, _: &Token, _: Option<&Place>, wish: Wish) -> Result<bool> {
        if wish == Wish::Rotate {
            refuse_bots(admin)?;
        }
        Ok(true)
    }
}

impl ShownToken for JobTokenView {
    const NOUN: &'static str = "Job Token";

    fn of(_: &Store, token: Token, now: Timestamp) -> Result<Self> {
        Ok(Self::new(token, now))
    }

    fn is_meant(kind: TokenKind, _: Option<&Place>) -> bool {
        kind == TokenKind::Job
    }

    fn may(admin: &Admin<'_>, token: &Token, place: Option<&Place>, _: Wish) -> Result<bool> {
        let is_maintainer = match place {
            Some(place) => place.authority(admin)?.has(Level::Maintainer),
            None => admin.caller.is_administrator(),
        };
        Ok(is_maintainer || is_own(admin, token))
    }
}

/// The token of this id, where a path about the place means it and the caller may do this with it.
///
/// # Errors
/// What [`ShownToken::missing`] says, or `Denied`.
pub(super) fn find<V: ShownToken>(
    admin: &Admin<'_>,
    place: Option<&NamedPlace>,
    id: TokenId,
    wish: Wish,
) -> Result<Token> {
    let place = place.map(|named| admin.place(named)).transpose()?;
    let found = admin.store.access.token(id)?;
    let found = found.filter(|token| is_of::<V>(token, place.as_ref()));
    match found {
        Some(token) if V::may(admin, &token, place.as_ref(), wish)? => Ok(token),
        _ => Err(V::missing(admin, place.as_ref(), id)),
    }
}

/// Whether a path about the place, or about none, means the token.
pub(super) fn is_of<V: ShownToken>(token: &Token, place: Option<&Place>) -> bool {
    let is_there = match place {
        None => true,
        Some(Place::Group(group)) => token.group_id == Some(group.id),
        Some(Place::Project(project)) => token.project_id == Some(project.id),
    };
    is_there && V::is_meant(token.kind, place)
}

fn is_own(admin: &Admin<'_>, token: &Token) -> bool {
    let own = admin.caller.user();
    own.is_some_and(|user| token.user_id == Some(user.id))
}

/// The user for whom the caller speaks.
///
/// # Errors
/// `Denied` for tokens of groups and projects, which speak for nobody.
pub(super) fn own_user(admin: &Admin<'_>) -> Result<UserId> {
    let user = admin.caller.user().map(|user| user.id);
    user.ok_or_else(|| forbidden_because("this takes a user's token"))
}

/// Tokens of groups and projects make no others, so that a leaked one ends when it is revoked.
pub(super) fn refuse_bots(admin: &Admin<'_>) -> Result<()> {
    match (admin.caller.user(), admin.caller.maker().token_id) {
        (None, Some(_)) => Err(forbidden_because(
            "tokens of groups and projects make no others",
        )),
        _ => Ok(()),
    }
}
