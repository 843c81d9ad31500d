//! Sessions of the page: rows of `sessions`, found by the digest of the secret that the browser has.

use std::time::Duration;

use rusqlite::{Row, params};

use super::AccessDb;
use crate::error::Result;
use crate::store::audit::{Actor, Event, EventKind};
pub use crate::store::ids::SessionId;
use crate::store::ids::{TokenId, UserId};
use crate::store::statement::{find, list, run};
use crate::time::Timestamp;

/// How many one user, or one token, has at once: the one that was used least lately goes for the next.
const MOST: i64 = 20;
/// A use is noted when the last note is so old: each note is a write.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// How somebody signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedIn {
    /// With the password of this version.
    Password { user: UserId, version: i64 },
    /// With a token, which may be one of a group or a project.
    Token { id: TokenId, user: Option<UserId> },
}

impl SignedIn {
    fn columns(self) -> (Option<UserId>, Option<i64>, Option<TokenId>) {
        match self {
            Self::Password { user, version } => (Some(user), Some(version), None),
            Self::Token { id, user } => (user, None, Some(id)),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Session {
    pub id: SessionId,
    pub signed_in: SignedIn,
    pub created_at: Timestamp,
    /// To the minute.
    pub last_used_at: Timestamp,
    /// However much it is used.
    pub ends_at: Timestamp,
    pub remote_ip: String,
    /// What the browser calls itself.
    pub browser: String,
}

const COLUMNS: &str = "id, user_id, password_version, token_id, created_at, last_used_at, ends_at, remote_ip, browser";

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let user: Option<UserId> = row.get(1)?;
    let signed_in = match (row.get::<_, Option<TokenId>>(3)?, user) {
        (Some(id), user) => SignedIn::Token { id, user },
        (None, user) => SignedIn::Password {
            user: user.unwrap_or(UserId(0)),
            version: row.get(2)?,
        },
    };
    Ok(Session {
        id: row.get(0)?,
        signed_in,
        created_at: row.get(4)?,
        last_used_at: row.get(5)?,
        ends_at: row.get(6)?,
        remote_ip: row.get(7)?,
        browser: row.get(8)?,
    })
}

impl AccessDb {
    /// Adds it, and drops what has ended, and what its owner has too many of.
    pub fn add_session(&self, actor: &Actor, digest: &[u8; 32], new: &Session) -> Result<()> {
        let (user, version, token) = new.signed_in.columns();
        self.database.change(actor, |connection| {
            run(
                connection,
                "drop ended sessions",
                "DELETE FROM sessions WHERE ends_at <= ?1",
                [new.created_at],
            )?;
            let (column, of) = owner(user, token);
            run(
                connection,
                "drop a session too many",
                &format!(
                    "DELETE FROM sessions WHERE id IN (
                         SELECT id FROM sessions WHERE {column} = ?1
                         ORDER BY last_used_at DESC, id DESC LIMIT -1 OFFSET ?2)"
                ),
                params![of, MOST.saturating_sub(1)],
            )?;
            run(
                connection,
                "add session",
                "INSERT INTO sessions (digest, user_id, password_version, token_id, created_at, last_used_at, ends_at,
                     remote_ip, browser)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8)",
                params![
                    digest.as_slice(),
                    user,
                    version,
                    token,
                    new.created_at,
                    new.ends_at,
                    new.remote_ip,
                    new.browser
                ],
            )?;
            let id = connection.last_insert_rowid().to_string();
            let event = Event::new(EventKind::SessionBegan).subject("session", &id, None);
            Ok(((), Some(event)))
        })
    }

    pub fn session_by_digest(&self, digest: &[u8; 32]) -> Result<Option<Session>> {
        let text = selecting("WHERE digest = ?1");
        self.database.read(|connection| {
            find(
                connection,
                "find session",
                &text,
                [digest.as_slice()],
                session,
            )
        })
    }

    /// Those of a user, or those that were begun with one token; the one that was used last comes first.
    pub fn sessions(&self, user: Option<UserId>, token: Option<TokenId>) -> Result<Vec<Session>> {
        let (column, of) = owner(user, token);
        let text = selecting(&format!(
            "WHERE {column} = ?1 ORDER BY last_used_at DESC, id DESC"
        ));
        self.database
            .read(|connection| list(connection, "list sessions", &text, [of], session))
    }

    /// Notes that it was used, at most once a minute.
    pub fn note_session(&self, actor: &Actor, known: &Session, now: Timestamp) -> Result<()> {
        if now.since(known.last_used_at) < NOTED_EVERY {
            return Ok(());
        }
        self.database.change(actor, |connection| {
            run(
                connection,
                "note a session's use",
                "UPDATE sessions SET last_used_at = ?2 WHERE id = ?1",
                params![known.id, now],
            )?;
            Ok(((), None))
        })
    }

    /// Ends it; whether it was there. `revoked`: by somebody who is not signing out of it.
    pub fn end_session(&self, actor: &Actor, id: SessionId, revoked: bool) -> Result<bool> {
        self.database.change(actor, |connection| {
            let ended = run(
                connection,
                "end session",
                "DELETE FROM sessions WHERE id = ?1",
                [id],
            )?;
            let subject = id.0.to_string();
            let event = Event::new(EventKind::SessionRevoked).subject("session", &subject, None);
            Ok((ended > 0, Some(event).filter(|_| revoked && ended > 0)))
        })
    }
}

fn selecting(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM sessions {rest}")
}

/// The column and the id by which sessions are one owner's.
fn owner(user: Option<UserId>, token: Option<TokenId>) -> (&'static str, i64) {
    match user {
        Some(user) => ("user_id", user.0),
        None => ("token_id", token.map_or(0, |token| token.0)),
    }
}
