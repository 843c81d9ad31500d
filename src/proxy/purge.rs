//! Purging a group's images: what it has pulled and no other group has goes at once, files included.

use super::Proxy;
use crate::auth::Grant;
use crate::error::Result;
use crate::store::ProtectionRule;

/// What a purge came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PurgeReport {
    /// Manifests that were removed.
    pub manifests: u64,
    /// Files that were removed.
    pub blobs: u64,
    /// Repositories that a rule protects from the caller.
    pub protected: u64,
}

impl Proxy {
    /// Removes the images that only the grant's group has pulled, but for those that `rules` keep from its bearer.
    /// An image that is being fetched or served meanwhile is served to its end.
    ///
    /// # Errors
    /// `Sql`, `Io`: what was removed before stays removed.
    pub fn purge(&self, grant: &Grant, rules: &[ProtectionRule]) -> Result<PurgeReport> {
        let store = &self.store;
        // Pulls are written in batches: one that is not written yet would keep its image.
        store.cache.write_notes()?;
        let mut report = PurgeReport::default();
        for repository in store.cache.repositories_pulled_by(grant.group())? {
            if !grant.may_purge(rules, &repository.host, &repository.name) {
                report.protected = report.protected.saturating_add(1);
                continue;
            }
            let purged = store.cache.purge_repository(grant.group(), repository.id)?;
            report.manifests = report.manifests.saturating_add(purged.manifests);
            for digest in &purged.loose {
                let went = store.release_blob(digest)?;
                report.blobs = report.blobs.saturating_add(u64::from(went));
            }
        }
        Ok(report)
    }
}
