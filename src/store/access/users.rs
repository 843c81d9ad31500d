//! Users: rows of `users`.

use rusqlite::{Row, ToSql, params};
use serde::Serialize;

use super::{AccessDb, UserId, no_such, taken};
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::audit::{Actor, Event, EventKind};
use crate::store::page::{Conditions, Listing, Page, Window, page};
use crate::store::statement::{find, get, list};
use crate::time::Timestamp;

const COLUMNS: &str =
    "id, name, admin, service, blocked, password_hash, password_version, created_at";

/// A user, or a service account (a user without a password that can be set).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    pub id: UserId,
    /// The login name, unique.
    pub name: String,
    pub admin: bool,
    /// A service account: no password.
    pub service: bool,
    /// Kept, but let in nowhere.
    pub blocked: bool,
    /// argon2id in PHC form.
    #[serde(skip)]
    pub password_hash: Option<String>,
    /// Counts up at each change of the password; a password's JWT names it.
    #[serde(skip)]
    pub password_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Which users; all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    /// The one of this name.
    pub name: Option<String>,
    /// Those whose name holds this.
    pub search: Option<String>,
    /// Those who are not blocked.
    pub active: bool,
    pub blocked: bool,
    /// Those who administer the box.
    pub admin: bool,
}

impl AccessDb {
    /// `Conflict` if the name is taken, `NameInvalid` if it is empty.
    pub fn create_user(
        &self,
        actor: &Actor,
        name: &str,
        admin: bool,
        service: bool,
        password_hash: Option<&str>,
    ) -> Result<UserId> {
        if name.is_empty() {
            return Err(Error::new(Kind::NameInvalid, "a user's name is empty"));
        }
        self.database
            .change(actor, |connection| {
                let id = get(
                    connection,
                    "add user",
                    "INSERT INTO users (name, admin, service, password_hash, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id",
                    params![name, admin, service, password_hash, Timestamp::now().0],
                    |row| row.get(0).map(UserId),
                )?;
                let event = about(EventKind::UserCreated, id, name)
                    .detail("admin", admin)
                    .detail("service", service);
                Ok((id, Some(event)))
            })
            .map_err(|error| {
                taken(error, || {
                    format!("there is a user `{}` already", excerpt(name))
                })
            })
    }

    /// The user with this id.
    pub fn user(&self, id: UserId) -> Result<Option<User>> {
        self.database.read(|connection| {
            let text = select("WHERE id = ?1");
            find(connection, "find user", &text, [id.0], user)
        })
    }

    /// The user with this name, exactly as written.
    pub fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        self.database.read(|connection| {
            let text = select("WHERE name = ?1");
            find(connection, "find user by name", &text, [name], user)
        })
    }

    /// All users, by name.
    pub fn users(&self) -> Result<Vec<User>> {
        self.database.scan(|connection| {
            let text = select("ORDER BY name");
            list(connection, "list users", &text, [], user)
        })
    }

    /// Users by name.
    pub fn users_page(&self, filter: &UserFilter, window: Window) -> Result<Page<User>> {
        let listing = Listing {
            statement: "list users",
            with: "",
            columns: COLUMNS,
            from: "FROM users",
            order: "name",
        };
        let mut conditions = Conditions::default();
        conditions.and_if("name = ?", filter.name.clone());
        conditions.and_if("instr(name, ?)", filter.search.clone());
        let flags = [
            (filter.active, "blocked = 0"),
            (filter.blocked, "blocked = 1"),
            (filter.admin, "admin = 1"),
        ];
        for (_, condition) in flags.iter().filter(|(is_asked, _)| *is_asked) {
            conditions.and_always(condition);
        }
        self.database
            .scan(|connection| page(connection, &listing, &conditions, window, user))
    }

    /// `NotFound` if there is no such user.
    pub fn set_blocked(&self, actor: &Actor, id: UserId, blocked: bool) -> Result<()> {
        let kind = match blocked {
            true => EventKind::UserBlocked,
            false => EventKind::UserUnblocked,
        };
        self.change_user(
            actor,
            (id, kind),
            "block user",
            "UPDATE users SET blocked = ?2 WHERE id = ?1 RETURNING name",
            params![id.0, blocked],
        )
    }

    /// Bumps the password's version. `NotFound` if there is no such user.
    pub fn set_password(&self, actor: &Actor, id: UserId, password_hash: &str) -> Result<()> {
        self.change_user(
            actor,
            (id, EventKind::UserPasswordChanged),
            "set password",
            "UPDATE users SET password_hash = ?2, password_version = password_version + 1
             WHERE id = ?1 RETURNING name",
            params![id.0, password_hash],
        )
    }

    /// Removes the user, memberships, and tokens. `NotFound` if there is no such user.
    pub fn remove_user(&self, actor: &Actor, id: UserId) -> Result<()> {
        self.change_user(
            actor,
            (id, EventKind::UserRemoved),
            "remove user",
            "DELETE FROM users WHERE id = ?1 RETURNING name",
            params![id.0],
        )
    }

    /// Runs a statement that changes the user's row and returns its name.
    fn change_user(
        &self,
        actor: &Actor,
        (id, kind): (UserId, EventKind),
        statement: &'static str,
        text: &str,
        parameters: &[&dyn ToSql],
    ) -> Result<()> {
        self.database.change(actor, |connection| {
            let name = find(connection, statement, text, parameters, |row| {
                row.get::<_, String>(0)
            })?;
            let name = name.ok_or_else(|| no_such("user", id.0))?;
            Ok(((), Some(about(kind, id, &name))))
        })
    }
}

fn about(kind: EventKind, id: UserId, name: &str) -> Event {
    Event::new(kind)
        .subject("user", name, Some(id.0))
        .user(Some((name, id)))
}

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM users {rest}")
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: UserId(row.get(0)?),
        name: row.get(1)?,
        admin: row.get(2)?,
        service: row.get(3)?,
        blocked: row.get(4)?,
        password_hash: row.get(5)?,
        password_version: row.get(6)?,
        created_at: Timestamp(row.get(7)?),
    })
}
