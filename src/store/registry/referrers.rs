//! Manifests that have a subject, as lists of referrers show them: found first, by what is short, and read one after
//! the other, because their annotations are megabytes that whoever pushes chooses.

use rusqlite::params;

use super::{HostedRepository, RegistryDb};
use crate::error::{Error, Result};
use crate::oci::Digest;
use crate::store::statement::{list, size, sql};

/// A manifest that has a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundReferrer {
    row: i64,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How long its annotations are, in bytes.
    pub annotations: u64,
}

/// The same with all that a list says of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Referrer<'a> {
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it was pushed as.
    pub media_type: &'a str,
    /// Its own bytes.
    pub size: u64,
    /// Its `artifactType`, or its config's media type.
    pub artifact_type: Option<&'a str>,
    /// Its annotations as JSON.
    pub annotations: Option<&'a str>,
}

impl RegistryDb {
    /// Manifests of the repository whose subject is `subject`, of one artifact type or of all, by digest, behind
    /// `after`, at most `count`. The subject itself need not be here.
    pub fn find_referrers(
        &self,
        repository: HostedRepository<'_>,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: &str,
        count: u64,
    ) -> Result<Vec<FoundReferrer>> {
        self.database.scan(|connection| {
            list(
                connection,
                "list hosted referrers",
                // octet_length() looks at no byte of the text.
                "SELECT manifests.id, blobs.digest, ifnull(octet_length(manifests.annotations), 0)
                 FROM repositories
                 CROSS JOIN manifests ON manifests.repository_id = repositories.id
                     AND manifests.subject = ?3
                 CROSS JOIN blobs ON blobs.id = manifests.blob_id
                 WHERE repositories.project_id = ?1 AND repositories.path = ?2
                 AND (?4 IS NULL OR manifests.artifact_type = ?4) AND blobs.digest > ?5
                 ORDER BY blobs.digest LIMIT ?6",
                params![
                    repository.project,
                    repository.path,
                    subject,
                    artifact_type,
                    after,
                    i64::try_from(count).unwrap_or(i64::MAX)
                ],
                |row| {
                    Ok(FoundReferrer {
                        row: row.get(0)?,
                        digest: row.get(1)?,
                        annotations: size(row, 2)?,
                    })
                },
            )
        })
    }

    /// Gives what is known of each of them to `take`, one after the other. One that was deleted since is left out.
    ///
    /// # Errors
    /// `Sql`, and those of `take`.
    pub fn read_referrers(
        &self,
        found: &[FoundReferrer],
        mut take: impl FnMut(Referrer<'_>) -> Result<()>,
    ) -> Result<()> {
        let failed = |error| sql("find hosted referrer", error);
        self.database.scan(|connection| {
            let text =
                "SELECT blobs.digest, manifests.media_type, blobs.size, manifests.artifact_type,
                     manifests.annotations
                 FROM manifests JOIN blobs ON blobs.id = manifests.blob_id
                 WHERE manifests.id = ?1";
            let mut prepared = connection.prepare_cached(text).map_err(failed)?;
            for found in found {
                let mut rows = prepared.query([found.row]).map_err(failed)?;
                let Some(row) = rows.next().map_err(failed)? else {
                    continue;
                };
                // What SQLite holds is not copied once more.
                let text = |at| {
                    let value = row.get_ref(at).map_err(failed)?;
                    value.as_str_or_null().map_err(|error| {
                        Error::internal("a referrer's text is none").because(error)
                    })
                };
                take(Referrer {
                    digest: row.get(0).map_err(failed)?,
                    media_type: text(1)?.unwrap_or_default(),
                    size: size(row, 2).map_err(failed)?,
                    artifact_type: text(3)?,
                    annotations: text(4)?,
                })?;
            }
            Ok(())
        })
    }
}
