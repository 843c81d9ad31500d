//! Names of cached repositories and their tags by how they begin, a few of them: for completions.

use rusqlite::{Connection, params};

use super::CacheDb;
use crate::error::Result;
use crate::store::statement::{list, stored_size};

/// Sets of credentials of one upstream that are looked through.
const MOST_ORIGINS: i64 = 20;

impl CacheDb {
    /// Repositories of an upstream whose names begin so, sorted, `most` of each set of credentials.
    ///
    /// # Errors
    /// `Sql`.
    pub fn repository_names(
        &self,
        upstream: &str,
        beginning: &str,
        most: u64,
    ) -> Result<Vec<String>> {
        self.of_each_origin(upstream, beginning, |connection, origin| {
            list(
                connection,
                "list names of an origin's repositories",
                "SELECT name FROM repositories
                 WHERE origin_id = ?1 AND name >= ?2 AND removed_from IS NULL
                 ORDER BY name LIMIT ?3",
                params![origin, beginning, stored_size(most)],
                |row| row.get(0),
            )
        })
    }

    /// Tags of a repository that begin so, sorted, `most` of each set of credentials.
    ///
    /// # Errors
    /// `Sql`.
    pub fn tag_names(
        &self,
        upstream: &str,
        repository: &str,
        beginning: &str,
        most: u64,
    ) -> Result<Vec<String>> {
        self.of_each_origin(upstream, beginning, |connection, origin| {
            list(
                connection,
                "list names of tags",
                "SELECT name FROM tags
                 WHERE repository_id = (SELECT id FROM repositories
                                        WHERE origin_id = ?1 AND name = ?2)
                 AND name >= ?3 ORDER BY name LIMIT ?4",
                params![origin, repository, beginning, stored_size(most)],
                |row| row.get(0),
            )
        })
    }

    /// What `read` finds with each set of credentials of the upstream: names that begin so, each once, sorted.
    fn of_each_origin(
        &self,
        upstream: &str,
        beginning: &str,
        read: impl Fn(&Connection, i64) -> Result<Vec<String>>,
    ) -> Result<Vec<String>> {
        self.database.scan(|connection| {
            let origins: Vec<i64> = list(
                connection,
                "list origins of an upstream",
                "SELECT id FROM origins WHERE upstream = ?1 ORDER BY fingerprint LIMIT ?2",
                params![upstream, MOST_ORIGINS],
                |row| row.get(0),
            )?;
            let mut names = Vec::new();
            for origin in origins {
                names.extend(read(connection, origin)?);
            }
            names.retain(|name| name.starts_with(beginning));
            names.sort_unstable();
            names.dedup();
            Ok(names)
        })
    }
}
