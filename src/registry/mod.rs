//! The hosted registry: what is pushed to this box and pulled from it (distribution-spec 1.1).
//!
//! A blob can be read and used in a repository only where it was uploaded or mounted: naming another tenant's
//! digest gains nothing. Files come before rows, and no row is written while a body streams. Every function takes
//! the grant for the repository that it acts on, and does only what that grant says.
//!
//! Asks no upstream and knows no route. Beside `proxy` and `upkeep`: none of them imports another.

mod blobs;
mod lists;
mod manifests;
mod mount;
mod quota;
mod receive;
mod referrers;
mod uploads;

use std::sync::Arc;

use quick_cache::sync::Cache;

pub use manifests::{ManifestContent, PushedManifest};
pub use receive::Piece;
pub use referrers::{ReferrersPage, ReferrersQuery};
pub use uploads::UploadStatus;

use crate::auth::policy::{RepositoryGrant, Wanted};
use crate::error::{Error, Kind, Result};
use crate::metrics::counters;
use crate::oci::Digest;
use crate::store::{HostedRepository, StorageLimit, Store};
use quota::Reservations;
use receive::Hashed;

/// How many uploads' hashes are kept between two requests; those beyond are hashed again from their files.
const HASHES_KEPT: usize = 1_024;

pub struct Registry {
    store: Arc<Store>,
    /// How far each upload is hashed.
    hashes: Cache<String, Hashed>,
    /// The room under quotas that requests have taken.
    reservations: Reservations,
    counters: Counters,
}

counters! {
    /// What pushes brought since the start.
    pub struct Counters {
        "breakwater_pushed_bytes_total" "Bytes that pushes brought: of blobs as they arrive, of manifests when they are kept." { pushed }
    }
}

impl Registry {
    /// The registry on `store`; asks nobody.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            hashes: Cache::new(HASHES_KEPT),
            reservations: Reservations::default(),
            counters: Counters::default(),
        }
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Removes the file of a blob or manifest whose row has just gone, unless something else needs it. Where
    /// that fails, the next garbage collection finds the file.
    fn release(&self, digest: &Digest) {
        if let Err(error) = self.store.release_blob(digest) {
            tracing::warn!(blob = %digest, "cannot remove what is not needed any more: {error}");
        }
    }
}

/// The repository that a grant is about.
fn repository(grant: &RepositoryGrant) -> HostedRepository<'_> {
    HostedRepository {
        project: grant.project(),
        path: grant.repository().as_str(),
    }
}

/// The quotas that a push must keep.
fn limits(grant: &RepositoryGrant) -> Vec<StorageLimit> {
    grant
        .quotas()
        .iter()
        .map(|quota| StorageLimit {
            path: quota.path.clone(),
            max_bytes: quota.max_bytes,
        })
        .collect()
}

/// What is here by its row, and whose file is not.
fn lost(what: &str, grant: &RepositoryGrant) -> Error {
    let what = format!(
        "{what} of {} was pushed to this box, and its file is missing or damaged here",
        grant.repository()
    );
    Error::new(Kind::Lost, what).remedy(
        "push the image again, or ask the box's administrator to put the file back from a backup (`breakwater doctor`)",
    )
}

/// A grant for something else than what is done with it is a mistake of ours, and goes no further.
fn check(grant: &RepositoryGrant, wanted: Wanted) -> Result<()> {
    let allowed = match wanted {
        Wanted::Pull => grant.may_pull(),
        Wanted::Push => grant.may_push(),
        Wanted::Delete => grant.may_delete(),
    };
    if allowed {
        return Ok(());
    }
    Err(Error::internal(format!(
        "a grant that does not allow to {} was used for it",
        wanted.action()
    )))
}
