//! Lists (distribution-spec 1.1, "Content Discovery"): tags, referrers, and the catalog of repositories.

use serde_json::value::RawValue;

use super::{Registry, check, repository};
use crate::auth::policy::{RepositoryGrant, Wanted, unknown};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::{CatalogEntry, Referrer};

/// How much of a list of referrers is put into one answer.
const REFERRERS_BYTES: usize = 2 * 1024 * 1024;
/// How many repositories are read at once on the way to a page of those that the caller may see.
const CATALOG_STEP: u64 = 500;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, sorted.
    pub entries: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// A part of the list of referrers.
pub type ReferrersPage = Page<Referrer>;

impl<T> Page<T> {
    /// The first `count` of `entries`, of which one more was asked for.
    fn first(mut entries: Vec<T>, count: u64) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let more = entries.len() > count;
        entries.truncate(count);
        Self { entries, more }
    }
}

impl Registry {
    /// At most `count` tags behind `after`.
    ///
    /// # Errors
    /// `NameUnknown` for a repository that nothing was pushed to.
    pub fn list_tags(
        &self,
        grant: &RepositoryGrant,
        after: &str,
        count: u64,
    ) -> Result<Page<String>> {
        check(grant, Wanted::Pull)?;
        let (rows, place) = (&self.store.registry, repository(grant));
        if !rows.has_repository(place)? {
            return Err(unknown(grant.repository().as_str()));
        }
        let tags = rows.tags(place, after, count.saturating_add(1))?;
        Ok(Page::first(tags, count))
    }

    /// At most `count` manifests with this subject, of one artifact type or of all, whose digest is behind
    /// `after`. Nothing for a subject or a repository that is not here: it may come later.
    ///
    /// # Errors
    /// `Sql`.
    pub fn referrers(
        &self,
        grant: &RepositoryGrant,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: &str,
        count: u64,
    ) -> Result<ReferrersPage> {
        check(grant, Wanted::Pull)?;
        let (entries, more) = self.store.registry.referrers(
            repository(grant),
            subject,
            artifact_type,
            after,
            count,
            REFERRERS_BYTES,
        )?;
        Ok(Page { entries, more })
    }

    /// At most `count` repositories behind `after` that `is_visible`.
    ///
    /// # Errors
    /// `Sql`, and those of `is_visible`.
    pub fn catalog(
        &self,
        after: &str,
        count: u64,
        mut is_visible: impl FnMut(&CatalogEntry) -> Result<bool>,
    ) -> Result<Page<String>> {
        let mut found = Vec::new();
        let mut after = after.to_owned();
        let wanted = count.saturating_add(1);
        while (found.len() as u64) < wanted {
            let step = self.store.registry.catalog(&after, CATALOG_STEP)?;
            let Some(last) = step.last() else {
                break;
            };
            after.clone_from(&last.path);
            for entry in step {
                if is_visible(&entry)? {
                    found.push(entry.path);
                }
            }
        }
        Ok(Page::first(found, count))
    }
}

/// A referrer as an entry of an index (image-spec image-index.md).
impl serde::Serialize for Referrer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("mediaType", &self.media_type)?;
        map.serialize_entry("digest", self.digest.as_str())?;
        map.serialize_entry("size", &self.size)?;
        if let Some(artifact_type) = &self.artifact_type {
            map.serialize_entry("artifactType", artifact_type)?;
        }
        // Those of a damaged row are left out: they must not take the list of the others with them.
        let annotations = self.annotations.as_deref().map(serde_json::from_str);
        if let Some(Ok(raw)) = annotations {
            map.serialize_entry::<_, &RawValue>("annotations", &raw)?;
        }
        map.end()
    }
}
