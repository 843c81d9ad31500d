//! Names of cached repositories and their tags by how they begin, a few of them: for completions.

use rusqlite::params;

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
        let mut names = Vec::new();
        for origin in self.origins_of(upstream)? {
            let more: Vec<String> = self.database.scan(|connection| {
                list(
                    connection,
                    "list names of an origin's repositories",
                    "SELECT name FROM repositories
                     WHERE origin_id = ?1 AND name >= ?2 AND removed_from IS NULL
                     ORDER BY name LIMIT ?3",
                    params![origin, beginning, stored_size(most)],
                    |row| row.get(0),
                )
            })?;
            names.extend(more);
        }
        names.retain(|name| name.starts_with(beginning));
        names.sort_unstable();
        names.dedup();
        Ok(names)
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
        let mut names = Vec::new();
        for origin in self.origins_of(upstream)? {
            let more: Vec<String> = self.database.scan(|connection| {
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
            })?;
            names.extend(more);
        }
        names.retain(|name| name.starts_with(beginning));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn origins_of(&self, upstream: &str) -> Result<Vec<i64>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list origins of an upstream",
                "SELECT id FROM origins WHERE upstream = ?1 ORDER BY fingerprint LIMIT ?2",
                params![upstream, MOST_ORIGINS],
                |row| row.get(0),
            )
        })
    }
}
