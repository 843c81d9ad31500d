//! Tokens: rows of `tokens`. A secret never comes here, only its SHA-256.
//!
//! - here: what a token is, and reading.
//! - `pages`: lists.
//! - `changes`: making, rotating and revoking.

mod changes;
mod kinship;
mod pages;

use rusqlite::Row;
use serde::Serialize;

use super::members::level;
use super::{AccessDb, GroupId, Level, ProjectId, TokenId, UserId};
use crate::error::Result;
use crate::store::statement::{decoded, find, list, size, unknown_word};
use crate::time::Timestamp;
use crate::words::words;

pub use pages::TokenFilter;

const COLUMNS: &str = "id, kind, name, scopes, user_id, group_id, username, access_level, revoked,
    created_at, expires_at, created_by, project_id, ifnull(family_id, id), maker_user_id, made_by,
    ends_with_maker, revoked_at";

words! {
    "lowercase"
    /// The kinds of tokens.
    pub enum TokenKind {
        /// A user's own (`bwp_`).
        Personal,
        /// A group's (`bwg_`).
        Group,
        /// A project's (`bwr_`).
        Project,
        /// For deployments, with a username of its own (`bwd_`).
        Deploy,
        /// For one job of a pipeline (`bwj_`).
        Job,
    }
}

/// A token's row: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    pub id: TokenId,
    /// What it belongs to.
    pub kind: TokenKind,
    /// What its maker calls it; not unique.
    pub name: String,
    /// Canonical scope words, sorted: the store does not know what they are worth.
    pub scopes: Vec<String>,
    /// The user whom it speaks for.
    pub user_id: Option<UserId>,
    /// The group that it belongs to.
    pub group_id: Option<GroupId>,
    /// The project that it belongs to; a job token's own project.
    pub project_id: Option<ProjectId>,
    /// The first token of the row of rotations that this one ends; itself where it was never rotated.
    pub family: TokenId,
    /// A deploy token's own username.
    pub username: Option<String>,
    /// The level of a group's or project's bot.
    pub access_level: Option<Level>,
    /// Revoked: let in nowhere, kept for lists and audit.
    pub revoked: bool,
    #[serde(skip)]
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused; `None`: never.
    pub expires_at: Option<Timestamp>,
    #[serde(flatten)]
    pub maker: Maker,
    /// It lives no longer than the token that made it, and is revoked with it.
    pub ends_with_maker: bool,
    /// Always `None` from [`AccessDb`]: uses are written to `cache.sqlite`, so that they invalidate nothing
    /// here. Whoever shows a token fills it from [`crate::store::CacheDb::token_last_used`].
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    /// Whether its time has come.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Whether it still lets somebody in.
    pub fn is_active(&self, now: Timestamp) -> bool {
        !self.revoked && !self.is_expired(now)
    }
}

/// A token to be made. `digest` is the SHA-256 of the secret.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// As [`Token::kind`].
    pub kind: TokenKind,
    /// As [`Token::name`].
    pub name: String,
    /// SHA-256 of the secret; the secret itself is never stored.
    pub digest: [u8; 32],
    /// Words without spaces; stored sorted and once each.
    pub scopes: Vec<String>,
    /// As [`Token::user_id`].
    pub user_id: Option<UserId>,
    /// As [`Token::group_id`].
    pub group_id: Option<GroupId>,
    /// As [`Token::project_id`].
    pub project_id: Option<ProjectId>,
    /// As [`Token::username`]; a deploy token without one gets `gitlab+deploy-token-ID`.
    pub username: Option<String>,
    /// As [`Token::access_level`].
    pub access_level: Option<Level>,
    /// As [`Token::expires_at`].
    pub expires_at: Option<Timestamp>,
    /// As [`Token::maker`].
    pub maker: Maker,
}

/// Who makes a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Maker {
    /// As lists show it: a user's name, a token's label such as `alice (token 7)`, or `box` for the command line.
    #[serde(rename = "created_by")]
    pub label: String,
    #[serde(rename = "made_by_user_id")]
    pub user_id: Option<UserId>,
    /// The token that was used for it. Names its row also when that is gone.
    #[serde(rename = "made_by")]
    pub token_id: Option<TokenId>,
}

impl Maker {
    /// The command line, which needs no login.
    pub fn on_the_box() -> Self {
        Self {
            label: "box".to_owned(),
            user_id: None,
            token_id: None,
        }
    }
}

impl AccessDb {
    /// How many tokens of each kind are neither revoked nor expired.
    pub fn active_tokens(&self, now: Timestamp) -> Result<Vec<(TokenKind, u64)>> {
        self.database.scan(|connection| {
            list(
                connection,
                "count tokens",
                "SELECT kind, count(*) FROM tokens
                 WHERE revoked = 0 AND (expires_at IS NULL OR expires_at > ?1) GROUP BY kind",
                [now.0],
                |row| Ok((decoded(row, 0, kind)?, size(row, 1)?)),
            )
        })
    }

    /// The token with this id, revoked or not.
    pub fn token(&self, id: TokenId) -> Result<Option<Token>> {
        self.database.read(|connection| {
            let text = select("WHERE id = ?1");
            find(connection, "find token", &text, [id.0], token)
        })
    }

    /// The token whose secret has this SHA-256, revoked or not.
    pub fn token_by_digest(&self, digest: &[u8; 32]) -> Result<Option<Token>> {
        self.database.read(|connection| {
            let text = select("WHERE digest = ?1");
            find(
                connection,
                "find token by digest",
                &text,
                [digest.as_slice()],
                token,
            )
        })
    }

    /// All, or those of one user, by id; revoked ones too.
    pub fn tokens(&self, user: Option<UserId>) -> Result<Vec<Token>> {
        self.database.scan(|connection| match user {
            None => {
                let text = select("ORDER BY id");
                list(connection, "list tokens", &text, [], token)
            }
            Some(user) => {
                let text = select("WHERE user_id = ?1 ORDER BY id");
                list(connection, "list a user's tokens", &text, [user.0], token)
            }
        })
    }

    /// What this token made, and what those made in turn; by id, revoked ones too. A token that was rotated counts as
    /// one with what it was rotated from and into.
    pub fn tokens_made_by(&self, id: TokenId) -> Result<Vec<Token>> {
        self.database.read(|connection| {
            // The token itself may be gone with its user; what it made still names it.
            let text = format!(
                "WITH RECURSIVE makers (family) AS (
                     SELECT ?1
                     UNION SELECT ifnull(family_id, id) FROM tokens WHERE id = ?1
                     UNION SELECT maker_family FROM tokens WHERE made_by = ?1
                     UNION SELECT ifnull(tokens.family_id, tokens.id)
                         FROM makers JOIN tokens ON tokens.maker_family = makers.family
                 )
                 SELECT {COLUMNS} FROM tokens
                 WHERE maker_family IN (SELECT family FROM makers) ORDER BY id"
            );
            list(connection, "list what a token made", &text, [id.0], token)
        })
    }
}

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM tokens {rest}")
}

fn kind(word: &str) -> Result<TokenKind> {
    word.parse()
        .map_err(|_| unknown_word("a token's kind", word))
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let scopes = row.get_ref(3)?.as_str()?;
    Ok(Token {
        id: TokenId(row.get(0)?),
        kind: decoded(row, 1, kind)?,
        name: row.get(2)?,
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        user_id: row.get::<_, Option<i64>>(4)?.map(UserId),
        group_id: row.get::<_, Option<i64>>(5)?.map(GroupId),
        username: row.get(6)?,
        access_level: match row.get::<_, Option<i64>>(7)? {
            None => None,
            Some(_) => Some(level(row, 7)?),
        },
        revoked: row.get(8)?,
        created_at: Timestamp(row.get(9)?),
        expires_at: row.get::<_, Option<i64>>(10)?.map(Timestamp),
        maker: Maker {
            label: row.get(11)?,
            user_id: row.get(14)?,
            token_id: row.get(15)?,
        },
        project_id: row.get::<_, Option<i64>>(12)?.map(ProjectId),
        family: TokenId(row.get(13)?),
        ends_with_maker: row.get(16)?,
        revoked_at: row.get::<_, Option<i64>>(17)?.map(Timestamp),
        last_used_at: None,
    })
}
