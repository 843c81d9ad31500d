//! What goes with a project or a group. The box's own administrator is above the rules that keep images from others, so
//! what they protect is shown.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named::Place;
use super::{Admin, NamedPlace, Operation};
use crate::auth::administration::places;
use crate::auth::policy::protection::{TagRules, keeps};
use crate::error::Result;
use crate::store::{HostedRepository, ProjectId, RuleOwner, Window};

/// The repositories that would go, by path.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowRemoval {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RepositoryToGo {
    pub path: String,
    pub images: u64,
    pub tags: u64,
    pub is_protected: bool,
}

impl Operation for ShowRemoval {
    const NAME: &'static str = "removals.show";
    type View = Vec<RepositoryToGo>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<RepositoryToGo>> {
        let projects = match admin.place(&self.place)? {
            Place::Project(project) => vec![project.id],
            Place::Group(group) => {
                places::check_group_removal(admin.mirror(), &group.path)?;
                admin.store.access.projects_below(&group.path)?
            }
        };
        let mut repositories = Vec::new();
        for project in projects {
            of_project(admin, project, &mut repositories)?;
        }
        Ok(repositories)
    }
}

fn of_project(
    admin: &Admin<'_>,
    project: ProjectId,
    repositories: &mut Vec<RepositoryToGo>,
) -> Result<()> {
    let (registry, access) = (&admin.store.registry, &admin.store.access);
    let rules = access.rules(RuleOwner::Project(project))?;
    let tag_rules = TagRules::new(&access.tag_rules(project)?, &Arc::default());
    let images = registry.manifests_of_project(project)?;
    for row in registry.rows_of(&[project], Window::ALL)?.entries {
        let place = HostedRepository {
            project,
            path: &row.path,
        };
        let tags = registry.tags(place, "", u64::MAX)?;
        let count = images.iter().filter(|image| image.repository == row.path);
        repositories.push(RepositoryToGo {
            images: count.count() as u64,
            tags: tags.len() as u64,
            is_protected: keeps(&rules, &tag_rules, &row.path, &tags),
            path: row.path,
        });
    }
    Ok(())
}
