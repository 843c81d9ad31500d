//! Groups, which nest by path, with their settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::{forbidden, needs};
use super::filters::{PlaceFilters, quota};
use super::{Admin, Named, Operation, refused};
use crate::auth::administration::{names, places, publishers};
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::{
    Group, GroupChanges, GroupId, Level, OnReadOnlyMiss, Page, SeenFilter, Visibility, Window,
};
use crate::time::Timestamp;

/// The groups that the caller may see, by path
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListGroups {
    #[serde(flatten)]
    pub filters: PlaceFilters,
    /// only those that lie in no other
    pub top_level_only: Option<bool>,
    /// Those that lie in this one.
    #[schemars(skip)]
    pub group: Option<Named<GroupId>>,
    /// However deep they lie in it.
    #[serde(default)]
    #[schemars(skip)]
    pub deep: bool,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetGroup {
    #[schemars(skip)]
    pub group: Named<GroupId>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddGroup {
    /// the last part of its path
    pub path: String,
    /// the group to make it in; none: at the top, for administrators
    #[schemars(with = "Option<i64>")]
    pub parent_id: Option<Named<GroupId>>,
    /// private unless given
    pub visibility: Option<Visibility>,
    /// off: its dependency proxy answers 404
    pub dependency_proxy_enabled: Option<bool>,
    /// what who may not fill gets of what is not kept
    pub on_read_only_miss: Option<OnReadOnlyMiss>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetGroup {
    #[schemars(skip)]
    pub group: Named<GroupId>,
    /// cannot be changed
    pub path: Option<String>,
    #[serde(flatten)]
    pub settings: GroupSettings,
}

/// What of a group can be changed.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupSettings {
    /// who may know of it
    pub visibility: Option<Visibility>,
    /// off: its dependency proxy answers 404
    pub dependency_proxy_enabled: Option<bool>,
    /// what who may not fill gets of what is not kept
    pub on_read_only_miss: Option<OnReadOnlyMiss>,
    /// bytes that may be pushed, here and below; 0: no limit of its own; for administrators
    pub quota: Option<u64>,
    /// bytes that may be cached of what the group has pulled; 0: no limit of its own; for administrators
    pub max_size: Option<u64>,
    /// of paths that name none; empty: as above it
    pub default_upstream: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveGroup {
    #[schemars(skip)]
    pub group: Named<GroupId>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Group")]
#[serde(deny_unknown_fields)]
pub struct GroupView {
    pub id: GroupId,
    /// The same as path
    pub name: String,
    pub path: String,
    pub full_name: String,
    pub full_path: String,
    pub parent_id: Option<GroupId>,
    pub visibility: Visibility,
    pub dependency_proxy_enabled: bool,
    pub on_read_only_miss: OnReadOnlyMiss,
    pub default_upstream: Option<String>,
    /// Bytes
    pub quota: Option<u64>,
    /// Bytes of what it has pulled that may be cached
    pub max_size: Option<u64>,
    pub created_at: Timestamp,
    /// What is to be considered about a new group's name: only in the answer that makes it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub warning: Option<String>,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        let last = group.path.rsplit('/').next().unwrap_or_default();
        Self {
            id: group.id,
            name: last.to_owned(),
            path: last.to_owned(),
            full_name: group.path.replace('/', " / "),
            full_path: group.path,
            parent_id: group.parent,
            visibility: group.visibility,
            dependency_proxy_enabled: group.dependency_proxy_enabled,
            on_read_only_miss: group.on_read_only_miss,
            default_upstream: group.default_upstream.map(|host| host.to_string()),
            quota: group.quota,
            max_size: group.max_size,
            created_at: group.created_at,
            warning: None,
        }
    }
}

impl Operation for ListGroups {
    const NAME: &'static str = "groups.list";
    type View = Page<GroupView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<GroupView>> {
        let group = self.group.map(|named| admin.group(&named)).transpose()?;
        let filter = SeenFilter {
            top_level: self.top_level_only == Some(true),
            parent: group.as_ref().map(|group| group.id).filter(|_| !self.deep),
            below: group.map(|group| group.path).filter(|_| self.deep),
            ..self.filters.seen()
        };
        let access = &admin.store.access;
        let groups = access.seen_groups(&admin.caller.viewer(), &filter, self.window)?;
        Ok(groups.map(GroupView::from))
    }
}

impl Operation for GetGroup {
    const NAME: &'static str = "groups.get";
    type View = GroupView;

    fn perform(self, admin: &Admin<'_>) -> Result<GroupView> {
        Ok(admin.group(&self.group)?.into())
    }
}

impl Operation for AddGroup {
    const NAME: &'static str = "groups.add";
    type View = GroupView;

    fn perform(self, admin: &Admin<'_>) -> Result<GroupView> {
        let path = match &self.parent_id {
            Some(Named::Id(id)) => format!("{}/{}", owned(admin, *id)?, self.path),
            // The command line alone names it so, and is told of a missing one below.
            Some(Named::Text(path)) => format!("{path}/{}", self.path),
            None if admin.caller.is_administrator() => self.path.clone(),
            None => return Err(forbidden()),
        };
        if self.path.contains('/') {
            let why = "is the last part alone: name the group above by parent_id";
            return Err(Error::new(Kind::Usage, why).about("path"));
        }
        let mirror = admin.mirror();
        names::check_group_path(&path, mirror.group).map_err(refused("path"))?;
        places::check_new_group(admin.store, mirror, &path).map_err(refused("path"))?;
        let access = &admin.store.access;
        let visibility = self.visibility.unwrap_or(Visibility::Private);
        let id = access.create_group(&admin.actor, &path, visibility)?;
        let changes = GroupChanges {
            dependency_proxy_enabled: self.dependency_proxy_enabled,
            on_read_only_miss: self.on_read_only_miss,
            ..GroupChanges::default()
        };
        if changes != GroupChanges::default() {
            access.set_group(&admin.actor, id, &changes)?;
        }
        let group = GroupView::from(admin.group(&Named::Id(id))?);
        let warning = names_taken_from_mirror(admin, &path);
        if let Some(warning) = &warning {
            tracing::warn!("{warning}");
        }
        Ok(GroupView { warning, ..group })
    }
}

/// What the mirror serves no more because of a new group: what is kept below its name was refused before.
fn names_taken_from_mirror(admin: &Admin<'_>, path: &str) -> Option<String> {
    if !admin.config.mirror.enabled || path.contains('/') {
        return None;
    }
    let default = &admin.config.mirror.default;
    let asked = admin.server.and_then(|server| server.refused_image(path));
    let why = match asked {
        Some(image) => format!("{image} was asked of the mirror, and refused, within the last day"),
        None if default.as_str() == "docker.io" && publishers::is_known(path) => {
            format!("docker.io/{path}/… are well-known images")
        }
        None => return None,
    };
    Some(format!(
        "the group {path} takes {path}/… from the mirror, and {why}: clients that pull them through the mirror look into this group from now on; if that is not meant, run `breakwater group remove {path}` and choose another name"
    ))
}

/// The path of a group that the caller owns.
fn owned(admin: &Admin<'_>, id: GroupId) -> Result<String> {
    let group = admin.group(&Named::Id(id));
    let group = group.map_err(|error| error.about("Group"))?;
    let authority = admin.caller.on_group(&group)?;
    let hidden = || Error::new(Kind::NotFound, "there is no such group").about("Group");
    needs(authority.ok_or_else(hidden)?, Level::Owner)?;
    Ok(group.path)
}

impl Operation for SetGroup {
    const NAME: &'static str = "groups.set";
    type View = GroupView;

    fn perform(self, admin: &Admin<'_>) -> Result<GroupView> {
        let group = admin.group(&self.group)?;
        let last = group.path.rsplit('/').next();
        if self.path.is_some() && self.path.as_deref() != last {
            return Err(Error::new(Kind::Usage, "cannot be changed").about("path"));
        }
        let changes = self.settings.changes(admin, &group)?;
        admin
            .store
            .access
            .set_group(&admin.actor, group.id, &changes)?;
        Ok(admin.group(&Named::Id(group.id))?.into())
    }
}

impl GroupSettings {
    fn changes(self, admin: &Admin<'_>, group: &Group) -> Result<GroupChanges> {
        Ok(GroupChanges {
            visibility: self.visibility,
            dependency_proxy_enabled: self.dependency_proxy_enabled,
            on_read_only_miss: self.on_read_only_miss,
            quota: quota(admin, self.quota)?,
            max_size: quota(admin, self.max_size)?,
            default_upstream: match self.default_upstream.as_deref() {
                None => None,
                Some("") => Some(None),
                Some(host) => Some(Some(default_upstream(admin, group, host)?)),
            },
        })
    }
}

fn default_upstream(admin: &Admin<'_>, group: &Group, host: &str) -> Result<RegistryHost> {
    const FIELD: &str = "default_upstream";
    let host = RegistryHost::parse(host).map_err(refused(FIELD))?;
    let mut configured = admin.config.upstreams.iter();
    let is_configured = configured.any(|one| one.name == host);
    places::check_default_upstream(admin.store, is_configured, group, &host)
        .map_err(refused(FIELD))?;
    Ok(host)
}

impl Operation for RemoveGroup {
    const NAME: &'static str = "groups.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let group = admin.group(&self.group)?;
        places::check_group_removal(admin.mirror(), &group.path)?;
        for project in admin.store.access.projects_below(&group.path)? {
            admin.caller.may_remove(project)?;
        }
        admin.store.access.remove_group(&admin.actor, group.id)
    }
}
