//! Who may see and change users, groups and projects by the REST API: pure.
//!
//! Two questions, in this order: what is hidden looks like what does not exist ([`on_group`] and
//! [`on_project`] give nothing); what is seen may be changed from a level on ([`Authority::has`]).
//! Which level which change takes stands in the routing table of `server::api`.

use crate::auth::identity::Principal;
use crate::store::{Group, GroupId, Level, Project, Viewer};

/// What a principal is on a group or project that it may know of, where the REST API changes them. Not its
/// `Membership`, which protection rules judge: there deploy tokens count, and a job is its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority {
    /// An administrator of the box, who may everything everywhere.
    pub is_administrator: bool,
    /// A member's level, inherited ones included; a bot's own.
    pub level: Option<Level>,
}

impl Authority {
    /// Whether it may what takes `level`.
    pub fn has(self, level: Level) -> bool {
        self.is_administrator || self.level >= Some(level)
    }
}

/// Whether it is an administrator: by the user behind it. Tokens of groups and projects never are.
pub fn is_administrator(principal: &Principal) -> bool {
    match principal {
        Principal::Password(user) | Principal::PersonalToken(user, _) => user.admin,
        // A job's token is for its project alone, whoever started the job: see `on_project`.
        _ => false,
    }
}

/// What a principal is on a group; `None` where it may not know that the group exists. `lineage` is the group
/// and its ancestors, `level` the highest level of the principal's user there, `is_public` whether all of the
/// lineage is public: below a private group nothing is shown to strangers.
pub fn on_group(
    principal: &Principal,
    group: &Group,
    lineage: &[GroupId],
    level: Option<Level>,
    is_public: bool,
) -> Option<Authority> {
    let own = match principal {
        Principal::GroupToken(own, token) if lineage.contains(&own.id) => token.access_level,
        _ => user_level(principal, level),
    };
    // A project's bot sees the groups that its project lies in, but is nobody there.
    let lies_in = matches!(principal, Principal::ProjectToken(placed, _) if placed.groups.contains(&group.id));
    authority(principal, own, is_public, lies_in)
}

/// What a principal is on a project; as [`on_group`], with the lineage of the project's group. `is_public`
/// is about the project and all of the lineage.
pub fn on_project(
    principal: &Principal,
    project: &Project,
    lineage: &[GroupId],
    level: Option<Level>,
    is_public: bool,
) -> Option<Authority> {
    let own = match principal {
        Principal::GroupToken(own, token) if lineage.contains(&own.id) => token.access_level,
        Principal::ProjectToken(placed, token) if placed.project.id == project.id => {
            token.access_level
        }
        Principal::JobToken(user, placed, _) if placed.project.id == project.id => {
            let is_administrator = user.admin;
            return (is_administrator || level.is_some()).then_some(Authority {
                is_administrator,
                level,
            });
        }
        _ => user_level(principal, level),
    };
    authority(principal, own, is_public, false)
}

/// What [`on_group`] and [`on_project`] let a principal see, for lists.
pub fn viewer(principal: &Principal) -> Viewer {
    let seen = Viewer {
        public: true,
        ..Viewer::default()
    };
    match principal {
        Principal::Password(user) | Principal::PersonalToken(user, _) => Viewer {
            all: user.admin,
            user: Some(user.id),
            ..seen
        },
        Principal::GroupToken(own, token) if token.access_level.is_some() => Viewer {
            group: Some((own.id, token.access_level)),
            ..seen
        },
        Principal::ProjectToken(placed, token) => Viewer {
            project: token
                .access_level
                .map(|level| (placed.project.id, Some(level))),
            groups: placed.groups.to_vec(),
            ..seen
        },
        // A job's own project is not among the lists: they do not take its token.
        Principal::GroupToken(..) | Principal::JobToken(..) => seen,
        Principal::Anonymous
        | Principal::GroupDeployToken(..)
        | Principal::ProjectDeployToken(..) => Viewer::default(),
    }
}

fn user_level(principal: &Principal, level: Option<Level>) -> Option<Level> {
    match principal {
        Principal::Password(_) | Principal::PersonalToken(..) => level,
        _ => None,
    }
}

fn authority(
    principal: &Principal,
    level: Option<Level>,
    is_public: bool,
    lies_in: bool,
) -> Option<Authority> {
    let is_administrator = is_administrator(principal);
    let is_shown = is_public
        && !matches!(
            principal,
            Principal::Anonymous
                | Principal::GroupDeployToken(..)
                | Principal::ProjectDeployToken(..)
        );
    (is_administrator || level.is_some() || is_shown || lies_in).then_some(Authority {
        is_administrator,
        level,
    })
}
