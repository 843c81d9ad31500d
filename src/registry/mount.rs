//! Mounts (distribution-spec 1.1, "Mounting a blob from another repository"): a blob that the caller may pull
//! elsewhere is linked here without being sent again.

use super::{Registry, check, limits, repository};
use crate::auth::policy::{RepositoryGrant, Wanted};
use crate::error::Result;
use crate::oci::Digest;
use crate::time::Timestamp;

/// How many repositories that have a blob are looked at for one that the caller may pull.
const LOOKED_AT: u32 = 64;

impl Registry {
    /// Links a blob of the repository that `from` may pull; says whether there was one. Otherwise the client
    /// uploads it.
    ///
    /// # Errors
    /// `Denied` for a quota; `Io`, `Sql`.
    pub fn mount_blob(
        &self,
        grant: &RepositoryGrant,
        from: &RepositoryGrant,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool> {
        check(grant, Wanted::Push)?;
        check(from, Wanted::Pull)?;
        let rows = &self.store.registry;
        let Some(size) = rows.blob(repository(from), digest)? else {
            return Ok(false);
        };
        // A damaged one is to be sent again, not to be spread.
        if self.store.blobs.size_of(digest)? != Some(size) {
            return Ok(false);
        }
        rows.mount_blob(
            repository(from),
            repository(grant),
            digest,
            &limits(grant),
            now,
        )
    }

    /// As [`Self::mount_blob`], from wherever `may_pull` gives a grant for.
    ///
    /// # Errors
    /// Also those of `may_pull`.
    pub fn mount_blob_from_anywhere(
        &self,
        grant: &RepositoryGrant,
        digest: &Digest,
        now: Timestamp,
        may_pull: impl Fn(&str) -> Result<Option<RepositoryGrant>>,
    ) -> Result<bool> {
        check(grant, Wanted::Push)?;
        for (project, path) in self.store.registry.repositories_with(digest, LOOKED_AT)? {
            let from = may_pull(&path)?.filter(|from| from.project() == project);
            if let Some(from) = from
                && self.mount_blob(grant, &from, digest, now)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
