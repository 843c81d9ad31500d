//! What is in a group or project, and so what goes with it. The box's own administrator is above the rules that keep
//! images from others, so what they protect is shown.

use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named::Place;
use super::{Admin, NamedPlace, Operation};
use crate::auth::administration::places;
use crate::auth::policy::protection::{TagRules, keeps};
use crate::error::Result;
use crate::store::{GroupId, HostedRepository, ProjectId, RuleOwner, Scope, Window};
use crate::time::Timestamp;

/// What is in a group with those below it, or in a project.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowContents {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    /// Whether it is asked before a removal, so that what cannot be removed is refused.
    pub removing: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct PlaceContents {
    /// Groups below a group.
    pub groups: u64,
    /// Projects in a group and below it.
    pub projects: u64,
    /// Tokens of all of them that can be used.
    pub tokens: u64,
    /// Upstreams of the groups, with the credentials that they were given.
    pub upstreams: u64,
    /// Pushed ones.
    pub images: u64,
    /// What quotas count of them.
    pub bytes: u64,
    /// What a group has pulled and is cached: it stays when the group goes. Null for a project.
    pub cached_bytes: Option<u64>,
    /// By path.
    pub repositories: Vec<RepositoryContents>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RepositoryContents {
    pub path: String,
    pub images: u64,
    pub tags: u64,
    /// What quotas count here, and in the repositories below.
    pub bytes: u64,
    pub is_protected: bool,
}

impl PlaceContents {
    /// Whether there is nothing but the group or project itself.
    pub fn is_nothing(&self) -> bool {
        let counts = [self.groups, self.projects, self.tokens, self.upstreams];
        counts == [0; 4] && self.repositories.is_empty()
    }
}

impl Operation for ShowContents {
    const NAME: &'static str = "contents.show";
    type View = PlaceContents;

    fn perform(self, admin: &Admin<'_>) -> Result<PlaceContents> {
        let access = &admin.store.access;
        let mut groups: HashSet<GroupId> = HashSet::new();
        let mut cached_bytes = None;
        let (path, projects, below) = match admin.place(&self.place)? {
            Place::Project(project) => (project.path, vec![project.id], 0),
            Place::Group(group) => {
                if self.removing {
                    places::check_group_removal(admin.mirror(), &group.path)?;
                }
                cached_bytes = Some(admin.store.cache.used_by(&Scope::Group(group.id))?);
                let prefix = format!("{}/", group.path);
                let all = access.groups()?.into_iter();
                groups.extend(
                    all.filter(|one| one.id == group.id || one.path.starts_with(&prefix))
                        .map(|one| one.id),
                );
                let projects = access.projects_below(&group.path)?;
                let below = projects.len() as u64;
                (group.path, projects, below)
            }
        };
        let of_groups = |id: Option<GroupId>| id.is_some_and(|id| groups.contains(&id));
        let now = Timestamp::now();
        let tokens = access.tokens(None)?.into_iter().filter(|token| {
            let project = token.project_id;
            let is_living = !token.revoked && token.expires_at.is_none_or(|at| at > now);
            is_living
                && (of_groups(token.group_id) || project.is_some_and(|id| projects.contains(&id)))
        });
        let upstreams = access.upstreams()?.into_iter();
        let upstreams = upstreams.filter(|row| of_groups(row.upstream.group));
        let mut repositories = Vec::new();
        for project in &projects {
            of_project(admin, *project, &mut repositories)?;
        }
        Ok(PlaceContents {
            groups: groups.len().saturating_sub(1) as u64,
            projects: below,
            tokens: tokens.count() as u64,
            upstreams: upstreams.count() as u64,
            images: repositories.iter().map(|one| one.images).sum(),
            bytes: admin.store.registry.usage(&path)?,
            cached_bytes,
            repositories,
        })
    }
}

fn of_project(
    admin: &Admin<'_>,
    project: ProjectId,
    repositories: &mut Vec<RepositoryContents>,
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
        repositories.push(RepositoryContents {
            images: count.count() as u64,
            tags: tags.len() as u64,
            bytes: registry.usage(&row.path)?,
            is_protected: keeps(&rules, &tag_rules, &row.path, &tags),
            path: row.path,
        });
    }
    Ok(())
}
