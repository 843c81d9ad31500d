//! Lists (distribution-spec 1.1, "Content Discovery"): tags, referrers, and the catalog of repositories.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::{Registry, check, repository};
use crate::auth::policy::{RepositoryGrant, Wanted, unknown};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::{Page, Referrer, Viewer};

/// How much of a list of referrers is put into one answer.
const REFERRERS_BYTES: usize = 2 * 1024 * 1024;
/// How many projects are looked into first on the way to a page of the catalog, and by how much more each next time.
const CATALOG_STEP: (u64, u64) = (200, 4);

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
    ) -> Result<Page<Referrer>> {
        check(grant, Wanted::Pull)?;
        let (entries, more) = self.store.registry.referrers(
            repository(grant),
            subject,
            artifact_type,
            after,
            count,
            REFERRERS_BYTES,
        )?;
        Ok(Page {
            entries,
            more,
            total: None,
        })
    }

    /// At most `count` repositories behind `after`, of projects that the viewer sees. Looks into projects in the order of
    /// their paths, and into no more than the page needs.
    ///
    /// # Errors
    /// `Sql`.
    pub fn catalog(&self, viewer: &Viewer, after: &str, count: u64) -> Result<Page<String>> {
        let (access, wanted) = (&self.store.access, count.saturating_add(1));
        let mut first = BTreeSet::new();
        let mut projects = access.seen_projects_named(viewer, &beginnings(after))?;
        let (mut last, mut step) = (after.to_owned(), CATALOG_STEP.0);
        loop {
            for project in &projects {
                // No repository of a project comes before the project itself.
                let is_full = first.len() as u64 >= wanted;
                if is_full && first.last().is_some_and(|last| *last < project.path) {
                    return Ok(Page::first(first.into_iter().collect(), count));
                }
                first.extend(self.store.registry.paths_of(project.id, after, wanted)?);
                while first.len() as u64 > wanted {
                    first.pop_last();
                }
            }
            projects = access.seen_projects_behind(viewer, &last, step)?;
            match projects.last() {
                Some(project) => last.clone_from(&project.path),
                None => return Ok(Page::first(first.into_iter().collect(), count)),
            }
            step = step.saturating_mul(CATALOG_STEP.1);
        }
    }
}

/// The paths of projects that come before `path` or are it, and can have repositories behind it all the same: `a/b` has
/// `a/b/x`, which is behind `a/b-c/d`, because `-` and `.` come before `/`.
fn beginnings(path: &str) -> Vec<&str> {
    let ends = path.match_indices(['-', '.', '/']).map(|(end, _)| end);
    ends.chain([path.len()])
        .filter_map(|end| path.get(..end))
        .collect()
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
