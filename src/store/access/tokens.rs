//! Tokens: rows of `tokens`. A secret never comes here, only its SHA-256.

use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::members::level;
use super::{AccessDb, GroupId, Level, ProjectId, TokenId, UserId, no_such, taken};
use crate::error::{Error, Result};
use crate::store::audit::{Actor, Detail, Event, EventKind};
use crate::store::statement::{decoded, find, get, list, run, size, unknown_word};
use crate::time::Timestamp;

const COLUMNS: &str = "id, kind, name, scopes, user_id, group_id, username, access_level, revoked,
    created_at, expires_at, created_by, project_id, ifnull(family_id, id)";

/// The kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

impl TokenKind {
    const ALL: [Self; 5] = [
        Self::Personal,
        Self::Group,
        Self::Project,
        Self::Deploy,
        Self::Job,
    ];

    /// The word in commands, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Group => "group",
            Self::Project => "project",
            Self::Deploy => "deploy",
            Self::Job => "job",
        }
    }
}

/// A token's row: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// The row.
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
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Who made it: a user's name, or `box` for the command line.
    pub created_by: String,
    /// Always `None` from [`AccessDb`]: uses are written to `cache.sqlite`, so that they invalidate nothing
    /// here. Whoever shows a token fills it from [`crate::store::CacheDb::token_last_used`].
    pub last_used_at: Option<Timestamp>,
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
    /// As [`Token::created_by`].
    pub created_by: String,
}

impl AccessDb {
    /// `NotFound` if its user or group is gone; `Conflict` if there is a token with the same digest.
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
                let id = insert(connection, token, &scopes, None)?;
                let event = about(connection, EventKind::TokenCreated, id)?
                    .detail("kind", token.kind.as_str())
                    .detail("scopes", Detail::names(&scopes))
                    .detail_if("access_level", token.access_level.map(Level::number))
                    .detail_if("expires_at", token.expires_at);
                Ok((id, Some(event)))
            })
            .map_err(|error| taken(error, || "there is a token with this secret already".into()))
    }

    /// How many tokens of each kind are neither revoked nor expired.
    pub fn active_tokens(&self, now: Timestamp) -> Result<Vec<(TokenKind, u64)>> {
        self.database.read(|connection| {
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

    /// Replaces a token by a new one with another secret (its SHA-256 in `digest`) and expiry, and the rest as
    /// it was; the old one is revoked. `None` where it was revoked already: then somebody uses a secret that
    /// should be gone, and the whole family is revoked. `NotFound` if there is none.
    pub fn rotate_token(
        &self,
        actor: &Actor,
        id: TokenId,
        digest: [u8; 32],
        expires_at: Option<Timestamp>,
    ) -> Result<Option<TokenId>> {
        self.database.change(actor, |connection| {
            let text = select("WHERE id = ?1");
            let old = find(connection, "find the token to rotate", &text, [id.0], token)?
                .ok_or_else(|| no_such("token", id.0))?;
            if old.revoked {
                run(
                    connection,
                    "revoke a token's family",
                    "UPDATE tokens SET revoked = 1 WHERE ifnull(family_id, id) = ?1",
                    [old.family.0],
                )?;
                let event = about(connection, EventKind::TokenFamilyRevoked, id)?;
                return Ok((None, Some(event)));
            }
            run(
                connection,
                "revoke the rotated token",
                "UPDATE tokens SET revoked = 1 WHERE id = ?1",
                [id.0],
            )?;
            let new = NewToken {
                kind: old.kind,
                name: old.name,
                digest,
                scopes: old.scopes,
                user_id: old.user_id,
                group_id: old.group_id,
                project_id: old.project_id,
                username: old.username,
                access_level: old.access_level,
                expires_at,
                created_by: old.created_by,
            };
            let new_id = insert(connection, &new, &new.scopes, Some(old.family))?;
            let event = about(connection, EventKind::TokenRotated, id)?
                .detail("new_id", new_id.0)
                .detail_if("expires_at", expires_at);
            Ok((Some(new_id), Some(event)))
        })
    }
}

/// Adds the row; a deploy token without a username gets its default one, which names its id.
fn insert(
    connection: &Connection,
    token: &NewToken,
    scopes: &[String],
    family: Option<TokenId>,
) -> Result<TokenId> {
    let id = get(
        connection,
        "add token",
        "INSERT INTO tokens (kind, name, digest, scopes, user_id, group_id, username,
                         access_level, created_at, expires_at, created_by, project_id, family_id)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) RETURNING id",
        params![
            token.kind.as_str(),
            token.name,
            token.digest.as_slice(),
            scopes.join(" "),
            token.user_id.map(|id| id.0),
            token.group_id.map(|id| id.0),
            token.username,
            token.access_level.map(Level::number),
            Timestamp::now().0,
            token.expires_at.map(|time| time.0),
            token.created_by,
            token.project_id.map(|id| id.0),
            family.map(|id| id.0),
        ],
        |row| row.get(0).map(TokenId),
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

impl AccessDb {
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
        self.database.read(|connection| match user {
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

    /// `NotFound` if there is none; revoking twice is fine.
    pub fn revoke_token(&self, actor: &Actor, id: TokenId) -> Result<()> {
        self.database.change(actor, |connection| {
            let changed = run(
                connection,
                "revoke token",
                "UPDATE tokens SET revoked = 1 WHERE id = ?1",
                [id.0],
            )?;
            if changed == 0 {
                return Err(no_such("token", id.0));
            }
            Ok(((), Some(about(connection, EventKind::TokenRevoked, id)?)))
        })
    }
}

/// An event about a token: its name, its user, and the path of its group or project.
fn about(connection: &Connection, kind: EventKind, id: TokenId) -> Result<Event> {
    get(
        connection,
        "describe token",
        "SELECT tokens.name, users.name, ifnull(groups.path, projects.path)
         FROM tokens LEFT JOIN users ON users.id = tokens.user_id
             LEFT JOIN groups ON groups.id = tokens.group_id
             LEFT JOIN projects ON projects.id = tokens.project_id
         WHERE tokens.id = ?1",
        [id.0],
        |row| {
            let (name, user, place): (String, Option<String>, Option<String>) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Event::new(kind)
                .subject("token", &name, Some(id.0))
                .user(user.as_deref())
                .group(place.as_deref()))
        },
    )
}

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM tokens {rest}")
}

fn kind(word: &str) -> Result<TokenKind> {
    TokenKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .ok_or_else(|| unknown_word("a token's kind", word))
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
        created_by: row.get(11)?,
        project_id: row.get::<_, Option<i64>>(12)?.map(ProjectId),
        family: TokenId(row.get(13)?),
        last_used_at: None,
    })
}
