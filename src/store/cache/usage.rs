//! How much a part of the cache takes.

use super::CacheDb;
use crate::error::Result;
use crate::oci::RegistryHost;
use crate::store::content::reach::REFERRED_BLOB;
use crate::store::statement::{get, size};
use crate::store::{GroupId, Scope};

impl CacheDb {
    /// The bytes of what belongs to a part of the cache, each file once. It reads all rows of that part.
    pub fn used_by(&self, scope: &Scope) -> Result<u64> {
        match scope {
            Scope::All => self.used(),
            Scope::Upstream(name) => self.used_by_upstream(name),
            Scope::Group(group) => self.used_by_group(*group),
        }
    }

    fn used_by_upstream(&self, name: &RegistryHost) -> Result<u64> {
        self.database.scan(|connection| {
            get(
                connection,
                "add up what came from an upstream",
                "WITH theirs (id) AS (
                     SELECT repositories.id FROM origins
                     JOIN repositories ON repositories.origin_id = origins.id
                     WHERE origins.upstream = ?1)
                 SELECT CAST(total(size) AS INTEGER) FROM blobs WHERE id IN (
                     SELECT blob_id FROM theirs CROSS JOIN blob_links ON repository_id = theirs.id
                     UNION
                     SELECT blob_id FROM theirs CROSS JOIN manifests ON repository_id = theirs.id)",
                [name.as_str()],
                |row| size(row, 0),
            )
        })
    }

    fn used_by_group(&self, group: GroupId) -> Result<u64> {
        self.database.scan(|connection| {
            get(
                connection,
                "add up what a group has pulled",
                &format!(
                    "WITH theirs (id) AS (
                         SELECT DISTINCT manifest_id FROM pulls WHERE group_id = ?1)
                     SELECT CAST(total(size) AS INTEGER) FROM blobs WHERE id IN (
                         SELECT blob_id FROM theirs CROSS JOIN manifests ON manifests.id = theirs.id
                         UNION
                         SELECT blobs.id FROM theirs
                         CROSS JOIN manifest_references ON manifest_id = theirs.id
                         CROSS JOIN blobs ON {REFERRED_BLOB})"
                ),
                [group],
                |row| size(row, 0),
            )
        })
    }
}
