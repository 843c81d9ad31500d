//! Projects, which lie in groups and own pushed images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::needs;
use super::cleanup::{CleanupChanges, CleanupPolicyView, Policies};
use super::filters::{PlaceFilters, quota};
use super::{Admin, Named, Operation, refused};
use crate::auth::administration::names;
use crate::auth::policy::administration::Authority;
use crate::error::{Error, Kind, Result};
use crate::store::{
    CleanupPolicy, GroupId, Level, Page, Project, ProjectChanges, ProjectId, SeenFilter,
    Visibility, Window,
};
use crate::time::Timestamp;

/// The projects that the caller may see, by path
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListProjects {
    #[serde(flatten)]
    pub filters: PlaceFilters,
    /// only those that the caller is a member of
    pub membership: Option<bool>,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

/// Those in a group.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListProjectsOfGroup {
    #[serde(flatten)]
    pub list: ListProjects,
    /// also of the groups below
    pub include_subgroups: Option<bool>,
    #[schemars(skip)]
    pub group: Named<GroupId>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetProject {
    #[schemars(skip)]
    pub project: Named<ProjectId>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddProject {
    /// the last part of its path
    pub path: Option<String>,
    /// the same, where path is not given
    pub name: Option<String>,
    /// the group to make it in
    pub namespace_id: Named<GroupId>,
    /// private unless given
    pub visibility: Option<Visibility>,
    /// which pushed tags go by themselves
    pub container_expiration_policy_attributes: Option<CleanupChanges>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetProject {
    #[schemars(skip)]
    pub project: Named<ProjectId>,
    /// cannot be changed
    pub path: Option<String>,
    #[serde(flatten)]
    pub settings: ProjectSettings,
}

/// What of a project can be changed.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectSettings {
    /// who may know of it; for owners
    pub visibility: Option<Visibility>,
    /// bytes that may be pushed, here and below; 0: no limit of its own; for administrators
    pub quota: Option<u64>,
    /// which pushed tags go by themselves
    pub container_expiration_policy_attributes: Option<CleanupChanges>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveProject {
    #[schemars(skip)]
    pub project: Named<ProjectId>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Project")]
#[serde(deny_unknown_fields)]
pub struct ProjectView {
    pub id: ProjectId,
    /// The same as path
    pub name: String,
    pub path: String,
    pub name_with_namespace: String,
    pub path_with_namespace: String,
    pub namespace: NamespaceView,
    pub visibility: Visibility,
    /// Bytes
    pub quota: Option<u64>,
    /// Which pushed tags go by themselves
    pub container_expiration_policy: CleanupPolicyView,
    pub created_at: Timestamp,
}

/// The group that a project lies in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceView {
    pub id: GroupId,
    pub name: String,
    pub path: String,
    #[schemars(extend("enum" = ["group"]))]
    pub kind: String,
    pub full_path: String,
}

impl ProjectView {
    fn of(admin: &Admin<'_>, project: Project) -> Result<Self> {
        let mut policies = Policies::of(admin, &[project.id])?;
        Ok(Self::new(project, &mut policies))
    }

    fn new(project: Project, policies: &mut Policies) -> Self {
        let (group, name) = project.path.rsplit_once('/').unwrap_or_default();
        let last = group.rsplit('/').next().unwrap_or_default();
        Self {
            id: project.id,
            name: name.to_owned(),
            path: name.to_owned(),
            name_with_namespace: project.path.replace('/', " / "),
            namespace: NamespaceView {
                id: project.group,
                name: last.to_owned(),
                path: last.to_owned(),
                kind: "group".to_owned(),
                full_path: group.to_owned(),
            },
            path_with_namespace: project.path,
            visibility: project.visibility,
            quota: project.quota,
            container_expiration_policy: policies.view(project.id),
            created_at: project.created_at,
        }
    }
}

impl ListProjects {
    fn page(self, admin: &Admin<'_>, mut filter: SeenFilter) -> Result<Page<ProjectView>> {
        if self.membership == Some(true) {
            filter.least = filter.least.max(Some(Level::Guest));
        }
        let access = &admin.store.access;
        let projects = access.seen_projects(&admin.caller.viewer(), &filter, self.window)?;
        let ids: Vec<_> = projects.entries.iter().map(|project| project.id).collect();
        let mut policies = Policies::of(admin, &ids)?;
        Ok(projects.map(|project| ProjectView::new(project, &mut policies)))
    }
}

impl Operation for ListProjects {
    const NAME: &'static str = "projects.list";
    type View = Page<ProjectView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<ProjectView>> {
        let filter = self.filters.seen();
        self.page(admin, filter)
    }
}

impl Operation for ListProjectsOfGroup {
    const NAME: &'static str = "projects.list-of-group";
    type View = Page<ProjectView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<ProjectView>> {
        let group = admin.group(&self.group)?;
        let mut filter = self.list.filters.seen();
        match self.include_subgroups {
            Some(true) => filter.below = Some(group.path),
            _ => filter.parent = Some(group.id),
        }
        self.list.page(admin, filter)
    }
}

impl Operation for GetProject {
    const NAME: &'static str = "projects.get";
    type View = ProjectView;

    fn perform(self, admin: &Admin<'_>) -> Result<ProjectView> {
        ProjectView::of(admin, admin.project(&self.project)?)
    }
}

impl Operation for AddProject {
    const NAME: &'static str = "projects.add";
    type View = ProjectView;

    fn perform(self, admin: &Admin<'_>) -> Result<ProjectView> {
        let part = self.path.or(self.name).unwrap_or_default();
        let hidden = || Error::new(Kind::NotFound, "there is no such group").about("Namespace");
        let group = match &self.namespace_id {
            // Said before it is looked for: the name may be wrong from the first letter on.
            Named::Text(group) => {
                let path = format!("{group}/{part}");
                names::check_project_path(&path, admin.mirror().group).map_err(refused("path"))?;
                admin.store.access.group_by_path(group)?.ok_or_else(|| {
                    let what = format!("there is no group `{group}` to make `{path}` in");
                    let missing = Error::new(Kind::NotFound, what).about("Namespace");
                    missing.remedy(format!("make it with `breakwater group add {group}`"))
                })?
            }
            named => admin
                .group(named)
                .map_err(|error| error.about("Namespace"))?,
        };
        let authority = admin.caller.on_group(&group)?;
        needs(authority.ok_or_else(hidden)?, Level::Maintainer)?;
        if part.contains('/') {
            let why = "is the last part alone: name the group by namespace_id";
            return Err(Error::new(Kind::Usage, why).about("path"));
        }
        let path = format!("{}/{part}", group.path);
        names::check_project_path(&path, admin.mirror().group).map_err(refused("path"))?;
        let visibility = self.visibility.unwrap_or(Visibility::Private);
        let access = &admin.store.access;
        let changes = self.container_expiration_policy_attributes;
        let new =
            changes.map(|changes| changes.applied(CleanupPolicy::default(), Timestamp::now()));
        let cleanup = new.transpose()?;
        let id = access.create_project(&admin.actor, &path, visibility)?;
        if cleanup.is_some() {
            let changes = ProjectChanges {
                cleanup,
                ..ProjectChanges::default()
            };
            access.set_project(&admin.actor, id, &changes)?;
        }
        ProjectView::of(admin, admin.project(&Named::Id(id))?)
    }
}

impl Operation for SetProject {
    const NAME: &'static str = "projects.set";
    type View = ProjectView;

    fn perform(self, admin: &Admin<'_>) -> Result<ProjectView> {
        let project = admin.project(&self.project)?;
        let last = project.path.rsplit('/').next();
        if self.path.is_some() && self.path.as_deref() != last {
            return Err(Error::new(Kind::Usage, "cannot be changed").about("path"));
        }
        let visibility = self.settings.visibility;
        let changes = ProjectChanges {
            visibility: visibility.filter(|&new| new != project.visibility),
            quota: quota(admin, self.settings.quota)?,
            cleanup: match self.settings.container_expiration_policy_attributes {
                Some(changes) => {
                    let policy = admin.store.access.cleanup_policy(project.id)?;
                    Some(changes.applied(policy, Timestamp::now())?)
                }
                None => None,
            },
        };
        if changes.visibility.is_some() {
            let nobody = Authority {
                is_administrator: false,
                level: None,
            };
            let authority = admin.caller.on_project(project.id)?;
            needs(authority.unwrap_or(nobody), Level::Owner)?;
        }
        if changes != ProjectChanges::default() {
            let access = &admin.store.access;
            let changed = access.set_project(&admin.actor, project.id, &changes);
            changed.map_err(refused("visibility"))?;
        }
        ProjectView::of(admin, admin.project(&Named::Id(project.id))?)
    }
}

impl Operation for RemoveProject {
    const NAME: &'static str = "projects.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let project = admin.project(&self.project)?;
        admin.caller.may_remove(project.id)?;
        admin.store.access.remove_project(&admin.actor, project.id)
    }
}
