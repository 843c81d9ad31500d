//! Names by how they begin, a few of them: for completions.

use rusqlite::params;

use super::AccessDb;
use crate::error::Result;
use crate::store::statement::{list, stored_size};

/// Whose names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesOf {
    User,
    Group,
    Project,
}

impl NamesOf {
    fn statement(self) -> (&'static str, &'static str) {
        match self {
            Self::User => (
                "list names of users",
                "SELECT name FROM users WHERE name >= ?1 ORDER BY name LIMIT ?2",
            ),
            Self::Group => (
                "list paths of groups",
                "SELECT path FROM groups WHERE path >= ?1 ORDER BY path LIMIT ?2",
            ),
            Self::Project => (
                "list paths of projects",
                "SELECT path FROM projects WHERE path >= ?1 ORDER BY path LIMIT ?2",
            ),
        }
    }
}

impl AccessDb {
    /// The first `most` names that begin so, sorted.
    ///
    /// # Errors
    /// `Sql`.
    pub fn names(&self, of: NamesOf, beginning: &str, most: u64) -> Result<Vec<String>> {
        let (statement, text) = of.statement();
        let mut names: Vec<String> = self.database.scan(|connection| {
            let parameters = params![beginning, stored_size(most)];
            list(connection, statement, text, parameters, |row| row.get(0))
        })?;
        names.retain(|name| name.starts_with(beginning));
        Ok(names)
    }
}
