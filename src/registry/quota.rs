//! What a push may still add under the quotas above it: kept bytes count, and those that other uploads have staged.
//!
//! Says early what would not fit. That two pushes together stay within a quota is made sure of in the transaction
//! that keeps a blob, not here.

use super::{Piece, Registry, limits};
use crate::auth::policy::RepositoryGrant;
use crate::error::{Error, Kind, Result};

impl Registry {
    /// Where a file that is `at` bytes long must end, if a quota says so; fails before anything is read where the
    /// piece is known to be too long. `upload` is the one that it belongs to.
    pub(super) fn most(
        &self,
        grant: &RepositoryGrant,
        upload: Option<&str>,
        at: u64,
        piece: &Piece<'_>,
    ) -> Result<Option<u64>> {
        let announced = piece.announced();
        let mut most: Option<u64> = None;
        for limit in limits(grant) {
            let mut used = self.store.registry.usage(&limit.path)?;
            // Who adds nothing more was let in before, and others who are on their way do not stand against it.
            if announced != Some(0) {
                used = used.saturating_add(self.staged_below(&limit.path, upload)?);
            }
            let room = limit.max_bytes.saturating_sub(used);
            most = Some(most.map_or(room, |most| most.min(room)));
        }
        let known = at.saturating_add(announced.unwrap_or(0));
        match most {
            Some(most) if known > most => Err(over_quota(grant)),
            most => Ok(most),
        }
    }

    /// Bytes that uploads at or below a path have staged, without those of `except`.
    fn staged_below(&self, path: &str, except: Option<&str>) -> Result<u64> {
        let mut bytes: u64 = 0;
        for id in self.store.registry.uploads_below(path)? {
            if except != Some(&*id)
                && let Some(file) = self.store.blobs.upload(&id)?
            {
                bytes = bytes.saturating_add(file.length);
            }
        }
        Ok(bytes)
    }
}

pub(super) fn over_quota(grant: &RepositoryGrant) -> Error {
    let quotas: Vec<String> = grant
        .quotas()
        .iter()
        .map(|quota| format!("{} ({} bytes)", quota.path, quota.max_bytes))
        .collect();
    Error::new(
        Kind::Denied,
        format!(
            "this push does not fit into the storage quota of {}, in which unfinished uploads count too",
            quotas.join(" and ")
        ),
    )
    .remedy("delete images there, or have the quota raised")
}
