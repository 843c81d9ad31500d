//! Lists (distribution-spec 1.1, "Content Discovery"): tags, and the catalog of repositories.

use std::collections::BTreeSet;

use super::{Registry, check, repository};
use crate::auth::policy::{RepositoryGrant, Wanted, unknown};
use crate::error::Result;
use crate::store::{Page, Viewer};

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
