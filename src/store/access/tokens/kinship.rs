//! What tokens are to those that made them, and to those that they took the place of.
//!
//! What a user makes for himself with a token of his own (personal tokens and those of jobs) ends with that token:
//! it expires no later, and is revoked with it, however long the chain. The tie is to the maker's *family*, the row of
//! rotations that it belongs to, so that rotating a token keeps what it made. What ends is written to every row when
//! it ends, not found out when it is used: a request still looks at one row.

use rusqlite::Connection;

use super::{NewToken, Token, TokenKind, select, token};
use crate::error::{Error, Kind, Result};
use crate::store::access::{AccessDb, TokenId};
use crate::store::statement::{find, get, list, run};
use crate::time::Timestamp;

/// What the row of a token that is made says of others.
pub(super) struct Kinship {
    /// The first of the row of rotations that it continues.
    pub(super) family: Option<TokenId>,
    /// The family of the token that makes it.
    pub(super) maker_family: Option<TokenId>,
    pub(super) ends_with_maker: bool,
    /// When the maker ends, where it ends with it.
    maker_end: Option<Timestamp>,
}

impl AccessDb {
    /// Whether any token is left that came from the same first one.
    pub fn family_lives(&self, id: TokenId) -> Result<bool> {
        self.database.read(|connection| {
            get(
                connection,
                "look for what is left of a family",
                "SELECT EXISTS (
                     SELECT 1 FROM tokens AS used JOIN tokens AS other
                         ON ifnull(other.family_id, other.id) = ifnull(used.family_id, used.id)
                     WHERE used.id = ?1 AND other.revoked = 0)",
                [id.0],
                |row| row.get(0),
            )
        })
    }
}

impl Kinship {
    /// The earlier of what was asked for and the maker's end.
    pub(super) fn end(&self, asked: Option<Timestamp>) -> Option<Timestamp> {
        match (asked, self.maker_end) {
            (Some(asked), Some(maker)) => Some(asked.min(maker)),
            (asked, maker) => asked.or(maker),
        }
    }
}

/// What a new token is to the one that makes it, which must still be good.
pub(super) fn kinship(
    connection: &Connection,
    new: &NewToken,
    family: Option<TokenId>,
) -> Result<Kinship> {
    let Some(maker) = new.maker.token_id else {
        return Ok(Kinship {
            family,
            maker_family: None,
            ends_with_maker: false,
            maker_end: None,
        });
    };
    let text = select("WHERE id = ?1 AND revoked = 0");
    let maker = find(
        connection,
        "find the token that makes one",
        &text,
        [maker.0],
        token,
    )?
    .ok_or_else(|| {
        Error::new(
            Kind::Unauthorized,
            "the token that was to make this one was just revoked",
        )
        .remedy("use another one")
    })?;
    let is_of_its_user = matches!(new.kind, TokenKind::Personal | TokenKind::Job)
        && maker.user_id.is_some()
        && maker.user_id == new.user_id;
    Ok(Kinship {
        family,
        maker_family: Some(maker.family),
        ends_with_maker: is_of_its_user,
        maker_end: maker.expires_at.filter(|_| is_of_its_user),
    })
}

/// What a token that rotates itself was to the one that made it.
pub(super) fn kept_kinship(connection: &Connection, old: &Token) -> Result<Kinship> {
    let maker_family = get(
        connection,
        "find the family of a token's maker",
        "SELECT maker_family FROM tokens WHERE id = ?1",
        [old.id.0],
        |row| row.get::<_, Option<TokenId>>(0),
    )?;
    let maker_end = match maker_family.filter(|_| old.ends_with_maker) {
        Some(family) => {
            let text = select("WHERE ifnull(family_id, id) = ?1 AND revoked = 0");
            find(connection, "find a token's maker", &text, [family.0], token)?
                .and_then(|maker| maker.expires_at)
        }
        None => None,
    };
    Ok(Kinship {
        family: Some(old.family),
        maker_family,
        ends_with_maker: old.ends_with_maker,
        maker_end,
    })
}

/// Revokes a family and all that end with it; what was not revoked before.
pub(super) fn revoke_family(connection: &Connection, family: TokenId) -> Result<Vec<TokenId>> {
    list(
        connection,
        "revoke a token and what ends with it",
        "WITH RECURSIVE ended (family) AS (
             SELECT ?1
             UNION
             SELECT ifnull(tokens.family_id, tokens.id)
             FROM ended JOIN tokens ON tokens.maker_family = ended.family
             WHERE tokens.ends_with_maker = 1 AND tokens.revoked = 0
         )
         UPDATE tokens SET revoked = 1, revoked_at = ?2
         WHERE ifnull(family_id, id) IN (SELECT family FROM ended) AND revoked = 0
         RETURNING id",
        [family.0, Timestamp::now().0],
        |row| row.get(0),
    )
}

/// Lets all that ends with a family end by then, and otherwise when it was made to end. `None`: never.
pub(super) fn end_no_later(
    connection: &Connection,
    family: TokenId,
    end: Option<Timestamp>,
) -> Result<()> {
    let never = i64::MAX;
    run(
        connection,
        "let what a token made end with it",
        "WITH RECURSIVE kept (family, ends) AS (
             SELECT ?1, ?2
             UNION
             SELECT ifnull(tokens.family_id, tokens.id),
                 min(ifnull(tokens.own_expires_at, ?3), kept.ends)
             FROM kept JOIN tokens ON tokens.maker_family = kept.family
             WHERE tokens.ends_with_maker = 1 AND tokens.revoked = 0
         )
         UPDATE tokens SET expires_at = nullif(earliest.ends, ?3)
         FROM (SELECT family, min(ends) AS ends FROM kept WHERE family <> ?1 GROUP BY family)
             AS earliest
         WHERE ifnull(tokens.family_id, tokens.id) = earliest.family AND tokens.revoked = 0",
        [family.0, end.map_or(never, |end| end.0), never],
    )?;
    Ok(())
}
