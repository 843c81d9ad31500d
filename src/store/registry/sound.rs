//! What `verify` finds wrong with the rows.

use super::RegistryDb;
use crate::error::Result;
use crate::store::statement::list;

impl RegistryDb {
    /// Tags whose manifest's row is missing, as `PATH:TAG`.
    pub(in crate::store) fn dangling_tags(&self) -> Result<Vec<String>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list dangling hosted tags",
                "SELECT ifnull(repositories.path, '?') || ':' || tags.name
                 FROM tags LEFT JOIN repositories ON repositories.id = tags.repository_id
                 WHERE NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.id = tags.manifest_id)",
                [],
                |row| row.get(0),
            )
        })
    }
}
