//! What goes with a project or a group: said before it is removed, or instead. The box's own administrator is above
//! the rules that keep images from others, so the command says what they protect.

use std::sync::Arc;

use super::output::print;
use crate::auth::policy::protection::{TagRules, keeps};
use crate::error::Result;
use crate::store::{HostedRepository, Project, RuleOwner, Store, Window};

/// Says which repositories `projects` have, in the order of their paths.
pub(super) fn tell_images(store: &Store, projects: &[Project]) -> Result<()> {
    let (registry, expressions) = (&store.registry, Arc::default());
    for project in projects {
        let rules = store.access.rules(RuleOwner::Project(project.id))?;
        let tag_rules = TagRules::new(&store.access.tag_rules(project.id)?, &expressions);
        let images = registry.manifests_of_project(project.id)?;
        for row in registry.rows_of(&[project.id], Window::ALL)?.entries {
            let place = HostedRepository {
                project: project.id,
                path: &row.path,
            };
            let tags = registry.tags(place, "", u64::MAX)?;
            let count = images.iter().filter(|image| image.repository == row.path);
            let protected = match keeps(&rules, &tag_rules, &row.path, &tags) {
                true => ", protected by a rule",
                false => "",
            };
            print(&format!(
                "  {}: {} images, {} tags{protected}",
                row.path,
                count.count(),
                tags.len()
            ))?;
        }
    }
    Ok(())
}
