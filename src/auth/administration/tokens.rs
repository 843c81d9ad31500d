//! Tokens: which scopes a kind may have, and the making of one, secret included.

use crate::auth::scope::{TokenScope, parse_scopes};
use crate::auth::secret::Secret;
use crate::error::{Error, Kind, Result};
use crate::store::{Actor, Maker, NewToken, Store, Token, TokenId, TokenKind};
use crate::time::Timestamp;

/// What a deploy token may be worth: registries, never the REST API.
pub const DEPLOY_SCOPES: [TokenScope; 4] = [
    TokenScope::ReadRegistry,
    TokenScope::WriteRegistry,
    TokenScope::ReadVirtualRegistry,
    TokenScope::WriteVirtualRegistry,
];

/// The scope words to store for a new token of `kind`: canonical, sorted. A job token has none.
///
/// # Errors
/// `BadRequest` for an unknown one or none at all; `Usage` for one that a deploy token cannot have.
pub fn scope_words<'a>(
    kind: TokenKind,
    words: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>> {
    if kind == TokenKind::Job {
        return Ok(Vec::new());
    }
    let scopes = parse_scopes(words)?;
    if kind == TokenKind::Deploy
        && let Some(scope) = scopes.iter().find(|scope| !DEPLOY_SCOPES.contains(scope))
    {
        let what = format!("a deploy token cannot have the scope {}", scope.as_str());
        let known = DEPLOY_SCOPES.map(TokenScope::as_str).join(", ");
        return Err(Error::new(Kind::Usage, what).remedy(format!("use {known}")));
    }
    let mut words: Vec<_> = scopes
        .iter()
        .map(|scope| scope.as_str().to_owned())
        .collect();
    words.sort();
    Ok(words)
}

/// Makes the token with a new secret, which nobody will see again; `token.digest` is filled in here.
///
/// # Errors
/// As [`crate::store::AccessDb::create_token`]; `Internal` without randomness.
pub fn create_token(store: &Store, actor: &Actor, mut token: NewToken) -> Result<(Token, Secret)> {
    let secret = Secret::mint(token.kind)?;
    token.digest = secret.digest();
    let id = store.access.create_token(actor, &token)?;
    Ok((made(store, id)?, secret))
}

/// Replaces a token by one with another secret and id. `None` where it was revoked already and rotates itself: somebody
/// uses a secret that should be gone, and the whole family is revoked now.
///
/// # Errors
/// `NotFound` where there is none; `Conflict` for one that was revoked already, and for a job token, which ends with its
/// job; `Internal` without randomness.
pub fn rotate_token(
    store: &Store,
    actor: &Actor,
    id: TokenId,
    expires_at: Option<Timestamp>,
    maker: &Maker,
) -> Result<Option<(Token, Secret)>> {
    let old = store.access.token(id)?.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("there is no token {}", id.0))
            .remedy("see `breakwater token list`")
    })?;
    if old.kind == TokenKind::Job {
        let what = format!("token {} is a job's, and ends with it", id.0);
        return Err(Error::new(Kind::Conflict, what)
            .remedy("make another one with `breakwater token create --job`"));
    }
    let secret = Secret::mint(old.kind)?;
    let new = store
        .access
        .rotate_token(actor, id, secret.digest(), expires_at, maker)?;
    new.map(|id| Ok((made(store, id)?, secret))).transpose()
}

fn made(store: &Store, id: TokenId) -> Result<Token> {
    store
        .access
        .token(id)?
        .ok_or_else(|| Error::internal("a token that was just made is gone"))
}
