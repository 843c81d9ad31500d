//! What a principal is to a project, apart from what its credential is worth: the level that
//! rules compare with their minimum. Pure.

use crate::auth::identity::Principal;
use crate::store::{GroupId, Level, MinimumLevel, ProjectId};

/// What somebody is to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// An administrator of the box.
    Administrator,
    /// A member, here or above; or a bot with this level.
    Member(Level),
    /// A user who is no member, where the public may see.
    Visitor,
    /// A deploy token: no member of anything, judged by its scopes.
    DeployToken,
}

impl Standing {
    /// What `principal` is to a project in `groups` (nearest first), its user's level there being `level`.
    /// `None`: it may not know that the project exists.
    pub(super) fn on_project(
        principal: &Principal,
        project: ProjectId,
        groups: &[GroupId],
        level: Option<Level>,
        is_public: bool,
    ) -> Option<Self> {
        match principal {
            Principal::Anonymous => None,
            Principal::Password(user)
            | Principal::PersonalToken(user, _)
            | Principal::JobToken(user, ..) => match level {
                _ if user.admin => Some(Self::Administrator),
                Some(level) => Some(Self::Member(level)),
                None => is_public.then_some(Self::Visitor),
            },
            Principal::GroupToken(group, token) => groups
                .contains(&group.id)
                .then(|| Self::Member(token.access_level.unwrap_or(Level::Guest))),
            Principal::ProjectToken(own, token) => (own.project.id == project)
                .then(|| Self::Member(token.access_level.unwrap_or(Level::Guest))),
            Principal::GroupDeployToken(group, _) => {
                groups.contains(&group.id).then_some(Self::DeployToken)
            }
            Principal::ProjectDeployToken(own, _) => {
                (own.project.id == project).then_some(Self::DeployToken)
            }
        }
    }

    /// Whether it is at least a member of this level; administrators are more than any.
    pub(super) fn is_at_least(self, level: Level) -> bool {
        match self {
            Self::Administrator => true,
            Self::Member(own) => own >= level,
            Self::Visitor | Self::DeployToken => false,
        }
    }

    /// Whether it may do what a rule is about. A deploy token never may, and under `no_access` nobody.
    pub(super) fn meets(self, minimum: MinimumLevel) -> bool {
        match minimum {
            MinimumLevel::Maintainer => self.is_at_least(Level::Maintainer),
            MinimumLevel::Owner => self.is_at_least(Level::Owner),
            MinimumLevel::Admin => self == Self::Administrator,
            MinimumLevel::NoAccess => false,
        }
    }
}
