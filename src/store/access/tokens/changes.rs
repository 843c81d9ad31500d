//! Making, rotating and revoking tokens.

use rusqlite::{Connection, params};

use super::kinship::{Kinship, end_no_later, kept_kinship, kinship, revoke_family};
use super::{Maker, NewToken, Token, TokenKind, select, token};
use crate::error::{Error, Kind, Result};
use crate::store::access::groups::group_place;
use crate::store::access::projects::project_place;
use crate::store::access::{AccessDb, Level, TokenId, no_such, taken};
use crate::store::audit::{Actor, Detail, Event, EventKind};
use crate::store::statement::{find, get, run};
use crate::time::Timestamp;

/// How many ids an event names of the tokens that were revoked with another one.
const NAMED: usize = 50;
const MAKE_ANOTHER: &str = "make a new one with `breakwater token create`";

impl AccessDb {
    /// `NotFound` if its user or group is gone; `Conflict` if there is a token with the same digest; `Unauthorized` if
    /// the token that makes it has been revoked.
    pub fn create_token(&self, actor: &Actor, token: &NewToken) -> Result<TokenId> {
        if let Some(word) = token
            .scopes
            .iter()
            .find(|word| word.is_empty() || word.contains(char::is_whitespace))
        {
            return Err(Error::internal(format!("`{word}` is not a scope's word")));
        }
        let mut scopes = token.scopes.clone();
        scopes.sort();
        scopes.dedup();
        self.database
            .change(actor, |connection| {
                let kinship = kinship(connection, token, None)?;
                let id = insert(connection, token, &scopes, &kinship)?;
                let event = about(connection, EventKind::TokenCreated, id)?
                    .detail("kind", token.kind.as_str())
                    .detail("scopes", Detail::names(&scopes))
                    .detail_if("access_level", token.access_level.map(Level::number))
                    .detail_if("expires_at", kinship.end(token.expires_at))
                    .detail_if("made_by", token.maker.token_id.map(|id| id.0));
                Ok((id, Some(event)))
            })
            .map_err(|error| taken(error, || "there is a token with this secret already".into()))
    }

    /// Replaces a token by a new one with another secret (its SHA-256 in `digest`) and expiry, and the rest as
    /// it was; the old one is revoked. `NotFound` if there is none.
    ///
    /// One that rotates itself stays what it was to the token that made it. Whoever rotates another one makes one.
    ///
    /// Of one that was revoked already: `Conflict`, which names what has taken its place, and is about the `id` where
    /// that is to be rotated instead; and `None` where it would rotate itself, because then somebody uses a secret that
    /// should be gone: the whole family is revoked.
    pub fn rotate_token(
        &self,
        actor: &Actor,
        id: TokenId,
        digest: [u8; 32],
        expires_at: Option<Timestamp>,
        maker: &Maker,
    ) -> Result<Option<TokenId>> {
        self.database.change(actor, |connection| {
            let text = select("WHERE id = ?1");
            let old = find(connection, "find the token to rotate", &text, [id.0], token)?
                .ok_or_else(|| no_such("token", id.0))?;
            let is_by_itself = maker.token_id == Some(id);
            if old.revoked && is_by_itself {
                return Ok((None, Some(end_family(connection, &old)?)));
            }
            if old.revoked {
                return Err(revoked_already(connection, &old)?);
            }
            let family = old.family;
            let new = successor(&old, digest, expires_at, maker);
            let kinship = match is_by_itself {
                true => kept_kinship(connection, &old)?,
                false => kinship(connection, &new, Some(family))?,
            };
            run(
                connection,
                "revoke the rotated token",
                "UPDATE tokens SET revoked = 1, revoked_at = ?2 WHERE id = ?1",
                [id.0, Timestamp::now().0],
            )?;
            let new_id = insert(connection, &new, &new.scopes, &kinship)?;
            let end = kinship.end(expires_at);
            end_no_later(connection, family, end)?;
            let event = about(connection, EventKind::TokenRotated, id)?
                .detail("new_id", new_id.0)
                .detail_if("expires_at", end);
            Ok((Some(new_id), Some(event)))
        })
    }

    /// Revokes all that came from the same first token as this one: somebody uses its secret, which should be gone.
    /// `NotFound` if there is none.
    pub fn revoke_family(&self, actor: &Actor, id: TokenId) -> Result<()> {
        self.database.change(actor, |connection| {
            let text = select("WHERE id = ?1");
            let used = find(
                connection,
                "find the token that is used",
                &text,
                [id.0],
                token,
            )?
            .ok_or_else(|| no_such("token", id.0))?;
            Ok(((), Some(end_family(connection, &used)?)))
        })
    }

    /// Revokes a token with all that end with it; these. `NotFound` if there is none; revoking twice is fine.
    pub fn revoke_token(&self, actor: &Actor, id: TokenId) -> Result<Vec<TokenId>> {
        self.database.change(actor, |connection| {
            let text = select("WHERE id = ?1");
            let found = find(connection, "find the token to revoke", &text, [id.0], token)?
                .ok_or_else(|| no_such("token", id.0))?;
            // What was rotated has handed on what it made.
            let mut ended = match found.revoked {
                true => Vec::new(),
                false => revoke_family(connection, found.family)?,
            };
            let event = about(connection, EventKind::TokenRevoked, id)?;
            let event = with_ended(event, id, &ended);
            ended.retain(|other| *other != id);
            ended.sort_unstable();
            Ok((ended, Some(event)))
        })
    }
}

/// The old token with another secret and expiry, as `maker` makes it; itself, where it does.
fn successor(
    old: &Token,
    digest: [u8; 32],
    expires_at: Option<Timestamp>,
    maker: &Maker,
) -> NewToken {
    NewToken {
        kind: old.kind,
        name: old.name.clone(),
        digest,
        scopes: old.scopes.clone(),
        user_id: old.user_id,
        group_id: old.group_id,
        project_id: old.project_id,
        username: old.username.clone(),
        access_level: old.access_level,
        expires_at,
        maker: match maker.token_id == Some(old.id) {
            true => old.maker.clone(),
            false => maker.clone(),
        },
    }
}

/// Adds the row; a deploy token without a username gets its default one, which names its id.
fn insert(
    connection: &Connection,
    token: &NewToken,
    scopes: &[String],
    kinship: &Kinship,
) -> Result<TokenId> {
    let id: TokenId = get(
        connection,
        "add token",
        "INSERT INTO tokens (kind, name, digest, scopes, user_id, group_id, username,
             access_level, created_at, expires_at, created_by, project_id, family_id,
             own_expires_at, maker_user_id, made_by, maker_family, ends_with_maker)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
         RETURNING id",
        params![
            token.kind.as_str(),
            token.name,
            token.digest.as_slice(),
            scopes.join(" "),
            token.user_id,
            token.group_id,
            token.username,
            token.access_level.map(Level::number),
            Timestamp::now().0,
            kinship.end(token.expires_at).map(|time| time.0),
            token.maker.label,
            token.project_id,
            kinship.family,
            token.expires_at.map(|time| time.0),
            token.maker.user_id,
            token.maker.token_id,
            kinship.maker_family,
            kinship.ends_with_maker,
        ],
        |row| row.get(0),
    )?;
    if token.kind == TokenKind::Deploy && token.username.is_none() {
        run(
            connection,
            "name a deploy token's user",
            "UPDATE tokens SET username = 'gitlab+deploy-token-' || id WHERE id = ?1",
            [id.0],
        )?;
    }
    Ok(id)
}

/// Revokes the family of a token whose secret is used after it was revoked; what the audit says of it.
fn end_family(connection: &Connection, used: &Token) -> Result<Event> {
    let ended = revoke_family(connection, used.family)?;
    let event = about(connection, EventKind::TokenFamilyRevoked, used.id)?;
    Ok(with_ended(event, used.id, &ended))
}

/// Why a revoked token is not rotated, with what has taken its place: the newest of its family.
fn revoked_already(connection: &Connection, old: &Token) -> Result<Error> {
    let text = select("WHERE ifnull(family_id, id) = ?1 AND id > ?2 ORDER BY id DESC LIMIT 1");
    let successor = find(
        connection,
        "find what has taken a token's place",
        &text,
        [old.family.0, old.id.0],
        token,
    )?;
    let id = old.id.0;
    let conflict = |what: String| Error::new(Kind::Conflict, what);
    Ok(match successor {
        Some(Token {
            id: new,
            revoked: false,
            ..
        }) => conflict(format!(
            "token {id} was rotated already, and token {} has taken its place",
            new.0
        ))
        .remedy(format!(
            "rotate that one: `breakwater token rotate {}`",
            new.0
        ))
        .about("id"),
        Some(Token { id: new, .. }) => conflict(format!(
            "token {id} was rotated already, and token {}, which took its place, is revoked",
            new.0
        ))
        .remedy(MAKE_ANOTHER),
        None => {
            let when = old
                .revoked_at
                .map(|at| format!(" on {at}"))
                .unwrap_or_default();
            conflict(format!("token {id} was revoked{when}")).remedy(MAKE_ANOTHER)
        }
    })
}

/// What else was revoked with token `id`.
fn with_ended(event: Event, id: TokenId, ended: &[TokenId]) -> Event {
    let others: Vec<_> = ended.iter().filter(|other| **other != id).collect();
    if others.is_empty() {
        return event;
    }
    let named = others.iter().take(NAMED).map(|id| id.0.to_string());
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    event
        .detail("with_it", count)
        .detail("with_it_ids", Detail::names(&named.collect::<Vec<_>>()))
}

/// An event about a token: its name, its user, and the path of its group or project.
fn about(connection: &Connection, kind: EventKind, id: TokenId) -> Result<Event> {
    let text = select("WHERE id = ?1");
    let token = get(connection, "describe token", &text, [id.0], token)?;
    let user = match token.user_id {
        Some(user) => find(
            connection,
            "find a token's user",
            "SELECT name FROM users WHERE id = ?1",
            [user.0],
            |row| Ok((row.get::<_, String>(0)?, user)),
        )?,
        None => None,
    };
    let place = match token.project_id {
        Some(project) => project_place(connection, project)?,
        None => group_place(connection, token.group_id)?,
    };
    Ok(Event::new(kind)
        .subject("token", &token.name, Some(id.0))
        .user(user.as_ref().map(|(name, id)| (name.as_str(), *id)))
        .place(place))
}
