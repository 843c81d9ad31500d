//! Upstream lists, kept whole for when the upstream is away.

use rusqlite::params;

use super::{CacheDb, KeptListing, ListingKind, RepositoryId};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::statement::{find, run};

pub(super) const FIND_LISTING: &str =
    "SELECT body, content_type, next, filters_applied, fetched_at FROM listings
     WHERE repository_id = ?1 AND kind = ?2 AND key = ?3";

impl ListingKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Referrers => "referrers",
        }
    }

    /// So many are kept of a repository: pages and page sizes of tags, manifests of referrers.
    fn most_kept(self) -> i64 {
        match self {
            Self::Tags => 8,
            Self::Referrers => 32,
        }
    }
}

impl CacheDb {
    /// Forgets the upstream's lists of what refers to a manifest: more does now than they say.
    pub fn forget_referrers(&self, repository: RepositoryId, subject: &Digest) -> Result<()> {
        // Their keys are the digest, `&`, and the client's query.
        let (from, to) = (format!("{subject}&"), format!("{subject}'"));
        self.database.write(|connection| {
            run(
                connection,
                "forget lists of referrers",
                "DELETE FROM listings WHERE repository_id = ?1 AND kind = ?2 AND key >= ?3 AND key < ?4",
                params![repository, ListingKind::Referrers.as_str(), from, to],
            )
        })?;
        Ok(())
    }

    /// Keeps a list, in place of an older one under the same key (its page, or the digest and filter). Keys are
    /// the clients' words: the oldest of a repository make room, so that no client makes the database grow.
    pub fn keep_listing(
        &self,
        repository: RepositoryId,
        kind: ListingKind,
        key: &str,
        listing: &KeptListing,
    ) -> Result<()> {
        self.database.write(|connection| {
            run(
                connection,
                "keep listing",
                "INSERT INTO listings (repository_id, kind, key, body, content_type, next,
                     filters_applied, fetched_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (repository_id, kind, key) DO UPDATE SET
                     body = excluded.body, content_type = excluded.content_type,
                     next = excluded.next, filters_applied = excluded.filters_applied,
                     fetched_at = excluded.fetched_at",
                params![
                    repository,
                    kind.as_str(),
                    key,
                    listing.body,
                    listing.content_type,
                    listing.next,
                    listing.filters_applied,
                    listing.fetched_at
                ],
            )?;
            run(
                connection,
                "forget the oldest listings",
                "DELETE FROM listings WHERE repository_id = ?1 AND kind = ?2 AND key <> ?3
                     AND rowid NOT IN (
                         SELECT rowid FROM listings
                         WHERE repository_id = ?1 AND kind = ?2 AND key <> ?3
                         ORDER BY fetched_at DESC, rowid DESC LIMIT ?4)",
                params![
                    repository,
                    kind.as_str(),
                    key,
                    kind.most_kept().saturating_sub(1)
                ],
            )
        })?;
        Ok(())
    }

    /// The list that was kept under the key.
    pub fn listing(
        &self,
        repository: RepositoryId,
        kind: ListingKind,
        key: &str,
    ) -> Result<Option<KeptListing>> {
        self.database.read(|connection| {
            find(
                connection,
                "find listing",
                FIND_LISTING,
                params![repository, kind.as_str(), key],
                |row| {
                    Ok(KeptListing {
                        body: row.get(0)?,
                        content_type: row.get(1)?,
                        next: row.get(2)?,
                        filters_applied: row.get(3)?,
                        fetched_at: row.get(4)?,
                    })
                },
            )
        })
    }
}
