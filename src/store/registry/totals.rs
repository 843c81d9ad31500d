//! How much was pushed to this box.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RegistryDb;
use crate::error::Result;
use crate::store::ProjectId;
use crate::store::statement::{get, list, size};

/// Counts of everything that was pushed and not deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostedTotals {
    pub repositories: u64,
    pub images: u64,
    pub tags: u64,
    /// Each file once, with what the next garbage collection removes
    pub bytes: u64,
}

impl RegistryDb {
    pub fn totals(&self) -> Result<HostedTotals> {
        self.database.scan(|connection| {
            get(
                connection,
                "count what was pushed",
                "SELECT count(*), CAST(total(manifest_count) AS INTEGER), CAST(total(tag_count) AS INTEGER),
                     (SELECT max(bytes, 0) FROM used WHERE id = 1)
                 FROM repositories WHERE manifest_count > 0 AND removed_from IS NULL",
                [],
                |row| {
                    Ok(HostedTotals {
                        repositories: size(row, 0)?,
                        images: size(row, 1)?,
                        tags: size(row, 2)?,
                        bytes: size(row, 3)?,
                    })
                },
            )
        })
    }

    /// The projects that something was pushed to, with the number of images in each.
    pub fn projects_with_images(&self) -> Result<Vec<(ProjectId, u64)>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list projects with images",
                "SELECT project_id, CAST(total(manifest_count) AS INTEGER) FROM repositories
                 WHERE manifest_count > 0 AND removed_from IS NULL
                 GROUP BY project_id ORDER BY project_id",
                [],
                |row| Ok((row.get(0)?, size(row, 1)?)),
            )
        })
    }
}
