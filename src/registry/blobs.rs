//! Blobs of a repository (distribution-spec 1.1, "Pulling blobs", "Deleting Blobs").

use super::{Registry, check, lost, repository};
use crate::auth::policy::{RepositoryGrant, Wanted};
use crate::error::{Error, Kind, Result};
use crate::oci::Digest;
use crate::store::{Blob, UnlinkBlob};
use crate::time::Timestamp;

impl Registry {
    /// A blob that is linked to the repository. Whoever may push and finds it here will not push it again, so it
    /// is left alone by garbage collection for a while.
    ///
    /// # Errors
    /// `BlobUnknown`; `Lost` where its file is missing or has another length; `Io`, `Sql`.
    pub fn blob(&self, grant: &RepositoryGrant, digest: &Digest, now: Timestamp) -> Result<Blob> {
        check(grant, Wanted::Pull)?;
        let (rows, place) = (&self.store.registry, repository(grant));
        let linked = if grant.may_push() {
            rows.blob_for_push(place, digest, now)?
        } else {
            rows.blob(place, digest)?
        };
        let size = linked.ok_or_else(|| unknown(digest))?;
        match self.store.blobs.open(digest)? {
            Some(blob) if blob.size() == size => Ok(blob),
            _ => {
                tracing::error!(
                    blob = %digest,
                    repository = grant.repository().as_str(),
                    "a pushed blob's file is gone or has another length: run `breakwater verify`, and push it again"
                );
                Err(lost(&format!("the blob {digest}"), grant))
            }
        }
    }

    /// The same for HEAD, to which one that is lost is answered as if it were not here: so a push sends it again, and
    /// mends it.
    ///
    /// # Errors
    /// `BlobUnknown`; `Io`, `Sql`.
    pub fn head_blob(
        &self,
        grant: &RepositoryGrant,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Blob> {
        self.blob(grant, digest, now)
            .map_err(|error| match error.kind() {
                Kind::Lost => unknown(digest),
                _ => error,
            })
    }

    /// Takes a blob out of the repository.
    ///
    /// # Errors
    /// `BlobUnknown`; `Unsupported` while a manifest of the repository refers to it.
    pub fn delete_blob(&self, grant: &RepositoryGrant, digest: &Digest) -> Result<()> {
        check(grant, Wanted::Delete)?;
        match self.store.registry.unlink_blob(repository(grant), digest)? {
            UnlinkBlob::Unlinked => {
                self.release(digest);
                Ok(())
            }
            UnlinkBlob::Unknown => Err(unknown(digest)),
            UnlinkBlob::NeededBy(manifest) => {
                let what = format!("the blob {digest} is part of the image {manifest}");
                Err(Error::new(Kind::Unsupported, what).remedy("delete that manifest first"))
            }
        }
    }
}

pub(super) fn unknown(digest: &Digest) -> Error {
    Error::new(
        Kind::BlobUnknown,
        format!("this repository has no blob {digest}"),
    )
}
