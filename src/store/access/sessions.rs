//! Sessions of the page: rows of `sessions`, found by the digest of the secret that the browser has. Nobody keeps them in
//! memory, so a change of them leaves there what pulls remember of the rest.

use std::time::Duration;

use rusqlite::{Row, params};

use super::AccessDb;
use crate::error::Result;
use crate::store::audit::{Actor, Event, EventKind};
pub use crate::store::ids::SessionId;
use crate::store::ids::{TokenId, UserId};
use crate::store::statement::{find, list, run};
use crate::time::Timestamp;

/// How many one token has at once, and one user by the password: the one that was used least lately goes for the next.
/// They are counted apart, so that whoever has a token cannot push out those of the password.
const MOST: i64 = 20;
/// One that is not used for so long ends.
const IDLE: Duration = Duration::from_secs(3600);
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

impl Session {
    /// Whether it has ended by itself, whatever has become of what it was begun with.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends_at || now.since(self.last_used_at) >= IDLE
    }
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
    /// Adds it, and drops what has ended, and what is too much of those that were begun with the same password or token.
    pub fn add_session(&self, actor: &Actor, digest: &[u8; 32], new: &Session) -> Result<()> {
        let (user, version, token) = new.signed_in.columns();
        self.database.change_unremembered(actor, |connection| {
            run(
                connection,
                "drop ended sessions",
                "DELETE FROM sessions WHERE ends_at <= ?1",
                [new.created_at],
            )?;
            run(
                connection,
                "drop a session too many",
                "DELETE FROM sessions WHERE id IN (
                     SELECT id FROM sessions WHERE user_id IS ?1 AND token_id IS ?2
                     ORDER BY last_used_at DESC, id DESC LIMIT -1 OFFSET ?3)",
                params![user, token, MOST.saturating_sub(1)],
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
        self.database.change_unremembered(actor, |connection| {
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
        self.database.change_unremembered(actor, |connection| {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Session, SessionId, SignedIn};
    use crate::store::{Actor, Store};
    use crate::time::Timestamp;

    #[test]
    fn sessions_leave_in_memory_what_is_remembered_of_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(&directory.path().join("data")).unwrap();
        let (access, actor) = (&store.access, Actor::on_the_box(None));
        let user = access.create_user(&actor, "alice", false, false, None);
        let user = user.unwrap();
        let before = access.generation();
        let now = Timestamp::now();
        let later = now.plus(Duration::from_secs(120));
        let session = Session {
            id: SessionId(0),
            signed_in: SignedIn::Password { user, version: 1 },
            created_at: now,
            last_used_at: now,
            ends_at: now.plus(Duration::from_secs(3600)),
            remote_ip: String::new(),
            browser: String::new(),
        };
        access.add_session(&actor, &[7; 32], &session).unwrap();
        let known = access.session_by_digest(&[7; 32]).unwrap().unwrap();
        access.note_session(&actor, &known, later).unwrap();
        let noted = access.session_by_digest(&[7; 32]).unwrap().unwrap();
        assert_eq!(noted.last_used_at.since(now), Duration::from_secs(120));
        assert!(access.end_session(&actor, known.id, true).unwrap());
        assert_eq!(access.generation(), before);
        access.remove_user(&actor, user).unwrap();
        assert_ne!(access.generation(), before);
    }
}
