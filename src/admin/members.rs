//! Members of groups and projects, the inherited ones apart. Nobody gives, changes or takes away a level above
//! their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::needs;
use super::named::Place;
use super::users::UserState;
use super::{Admin, Named, NamedPlace, Operation};
use crate::auth::policy::administration::Authority;
use crate::error::{Error, Kind, Result};
use crate::store::{Level, Member, MemberFilter, Page, UserId, Window};

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListMembers {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    /// a part of the name
    pub query: Option<String>,
    /// With those of the groups above that the caller may see, each with the highest level.
    #[serde(default)]
    #[schemars(skip)]
    pub inherited: bool,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetMember {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    #[schemars(skip)]
    pub user_id: UserId,
    #[serde(default)]
    #[schemars(skip)]
    pub inherited: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddMember {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    /// the user
    pub user_id: Option<UserId>,
    /// the user, by name
    pub username: Option<String>,
    /// at most the caller's own
    pub access_level: Level,
    /// not supported: memberships do not expire
    pub expires_at: Option<String>,
    /// Whether a member gets the level too.
    #[serde(default)]
    #[schemars(skip)]
    pub or_change: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct EditMember {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    #[schemars(skip)]
    pub user_id: UserId,
    /// at most the caller's own
    pub access_level: Level,
    /// not supported: memberships do not expire
    pub expires_at: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveMember {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    #[schemars(skip)]
    pub user_id: Named<UserId>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Member")]
#[serde(deny_unknown_fields)]
pub struct MemberView {
    pub id: UserId,
    pub username: String,
    pub name: String,
    pub state: UserState,
    #[schemars(extend("enum" = ["active"]))]
    pub membership_state: String,
    pub access_level: Level,
    /// Always null: memberships do not expire
    pub expires_at: Option<String>,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            id: member.user_id,
            username: member.user.clone(),
            name: member.user,
            state: UserState::new(member.is_blocked),
            membership_state: "active".to_owned(),
            access_level: member.level,
            expires_at: None,
        }
    }
}

impl Place {
    /// The place's own members.
    fn direct(&self) -> MemberFilter {
        let (project, groups) = match self {
            Self::Group(group) => (None, vec![group.id]),
            Self::Project(project) => (Some(project.id), Vec::new()),
        };
        MemberFilter {
            project,
            groups,
            ..MemberFilter::default()
        }
    }

    /// Its members and those of the groups above it that the caller may know of.
    fn members(&self, admin: &Admin<'_>, inherited: bool) -> Result<MemberFilter> {
        let mut filter = self.direct();
        if !inherited {
            return Ok(filter);
        }
        let nearest = match self {
            Self::Group(group) => group.id,
            Self::Project(project) => project.group,
        };
        filter.groups.clear();
        let access = &admin.store.access;
        for id in access.lineage(nearest)? {
            if let Some(group) = access.group(id)?
                && admin.caller.on_group(&group)?.is_some()
            {
                filter.groups.push(id);
            }
        }
        Ok(filter)
    }

    /// What the caller is there.
    pub(super) fn authority(&self, admin: &Admin<'_>) -> Result<Authority> {
        let authority = match self {
            Self::Group(group) => admin.caller.on_group(group)?,
            Self::Project(project) => admin.caller.on_project(project.id)?,
        };
        Ok(authority.unwrap_or(Authority {
            is_administrator: false,
            level: None,
        }))
    }

    fn path(&self) -> &str {
        match self {
            Self::Group(group) => &group.path,
            Self::Project(project) => &project.path,
        }
    }

    /// Gives the user the level, which must not be above the caller's own.
    fn set(
        &self,
        admin: &Admin<'_>,
        user: UserId,
        level: Level,
        expires_at: Option<String>,
    ) -> Result<MemberView> {
        if expires_at.is_some_and(|text| !text.is_empty()) {
            let why = "is not supported: memberships do not expire";
            return Err(Error::new(Kind::Usage, why).about("expires_at"));
        }
        needs(self.authority(admin)?, level)?;
        let (access, actor) = (&admin.store.access, &admin.actor);
        match self {
            Self::Group(group) => access.set_member(actor, group.id, user, level)?,
            Self::Project(project) => access.set_project_member(actor, project.id, user, level)?,
        }
        Ok(one(admin, self.direct(), user)?.into())
    }
}

/// The user among the members, if it is one.
fn find(admin: &Admin<'_>, members: MemberFilter, user: UserId) -> Result<Option<Member>> {
    let filter = MemberFilter {
        user: Some(user),
        ..members
    };
    let found = admin.store.access.members_page(&filter, Window::ALL)?;
    Ok(found.entries.into_iter().next())
}

fn one(admin: &Admin<'_>, members: MemberFilter, user: UserId) -> Result<Member> {
    let missing = || Error::new(Kind::NotFound, "there is no such member").about("Member");
    find(admin, members, user)?.ok_or_else(missing)
}

impl Operation for ListMembers {
    const NAME: &'static str = "members.list";
    type View = Page<MemberView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<MemberView>> {
        let filter = MemberFilter {
            search: self.query,
            ..admin.place(&self.place)?.members(admin, self.inherited)?
        };
        let members = admin.store.access.members_page(&filter, self.window)?;
        Ok(members.map(MemberView::from))
    }
}

impl Operation for GetMember {
    const NAME: &'static str = "members.get";
    type View = MemberView;

    fn perform(self, admin: &Admin<'_>) -> Result<MemberView> {
        let members = admin.place(&self.place)?.members(admin, self.inherited)?;
        Ok(one(admin, members, self.user_id)?.into())
    }
}

impl Operation for AddMember {
    const NAME: &'static str = "members.add";
    type View = MemberView;

    fn perform(self, admin: &Admin<'_>) -> Result<MemberView> {
        let named = match (self.user_id, self.username) {
            (Some(id), _) => Named::Id(id),
            (None, name) => Named::Text(name.unwrap_or_default()),
        };
        let user = admin.user(&named)?.id;
        let place = admin.place(&self.place)?;
        if !self.or_change && find(admin, place.direct(), user)?.is_some() {
            return Err(Error::new(Kind::Conflict, "Member already exists"));
        }
        place.set(admin, user, self.access_level, self.expires_at)
    }
}

impl Operation for EditMember {
    const NAME: &'static str = "members.edit";
    type View = MemberView;

    fn perform(self, admin: &Admin<'_>) -> Result<MemberView> {
        let place = admin.place(&self.place)?;
        let member = one(admin, place.direct(), self.user_id)?;
        needs(place.authority(admin)?, member.level)?;
        place.set(admin, member.user_id, self.access_level, self.expires_at)
    }
}

impl Operation for RemoveMember {
    const NAME: &'static str = "members.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let user = match &self.user_id {
            Named::Id(id) => *id,
            named => admin.user(named)?.id,
        };
        let place = admin.place(&self.place)?;
        let authority = place.authority(admin)?;
        let is_own = admin.caller.user().is_some_and(|own| own.id == user);
        let least = match place {
            Place::Project(_) => Level::Maintainer,
            Place::Group(_) => Level::Owner,
        };
        if !is_own {
            needs(authority, least)?;
        }
        let Some(member) = find(admin, place.direct(), user)? else {
            let name = match self.user_id {
                Named::Text(name) => name,
                Named::Id(id) => id.0.to_string(),
            };
            let path = place.path();
            let what = format!("`{name}` is no member of `{path}` itself");
            let missing = Error::new(Kind::NotFound, what).about("Member");
            return Err(missing.remedy(format!(
                "see `breakwater member list {path}`, and the groups above"
            )));
        };
        if !is_own {
            needs(authority, member.level)?;
        }
        let (access, actor) = (&admin.store.access, &admin.actor);
        match place {
            Place::Group(group) => access.remove_member(actor, group.id, user)?,
            Place::Project(project) => access.remove_project_member(actor, project.id, user)?,
        };
        Ok(())
    }
}
