//! What a principal is to a project or a group, apart from what its credential may do: the level that
//! rules compare with their minimum. Pure.

use crate::auth::identity::Principal;
use crate::store::{GroupId, Level, MinimumLevel, ProjectId, Viewer};

/// What somebody is to a project or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    /// An administrator of the box.
    Administrator,
    /// A member, here or above; or a bot with this level.
    Member(Level),
    /// No member: a user where the public may see, or nobody whom a network rule lets in.
    Visitor,
    /// A deploy token: no member of anything, judged by its scopes.
    DeployToken,
}

impl Membership {
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

    /// The projects to which `principal` is something by [`Self::on_project`].
    pub(super) fn viewer(principal: &Principal) -> Viewer {
        let seen = Viewer::default();
        match principal {
            Principal::Anonymous => seen,
            Principal::Password(user)
            | Principal::PersonalToken(user, _)
            | Principal::JobToken(user, ..) => Viewer {
                all: user.admin,
                user: Some(user.id),
                public: true,
                ..seen
            },
            Principal::GroupToken(group, _) | Principal::GroupDeployToken(group, _) => Viewer {
                group: Some((group.id, None)),
                ..seen
            },
            Principal::ProjectToken(own, _) | Principal::ProjectDeployToken(own, _) => Viewer {
                project: Some((own.project.id, None)),
                ..seen
            },
        }
    }

    /// What `principal` is to a group, given the group and its ancestors: for rules about what the group has
    /// in the cache. Whether it may read that is not decided here.
    pub(super) fn on_group(
        principal: &Principal,
        lineage: &[GroupId],
        level: Option<Level>,
    ) -> Self {
        match principal {
            Principal::Password(user)
            | Principal::PersonalToken(user, _)
            | Principal::JobToken(user, ..) => match level {
                _ if user.admin => Self::Administrator,
                Some(level) => Self::Member(level),
                None => Self::Visitor,
            },
            Principal::GroupToken(group, token) if lineage.contains(&group.id) => {
                Self::Member(token.access_level.unwrap_or(Level::Guest))
            }
            // A project's token has its level on the project, not on the groups above it.
            Principal::Anonymous | Principal::GroupToken(..) | Principal::ProjectToken(..) => {
                Self::Visitor
            }
            Principal::GroupDeployToken(..) | Principal::ProjectDeployToken(..) => {
                Self::DeployToken
            }
        }
    }

    /// As a part of a sentence about who has it.
    pub(super) fn words(self) -> String {
        match self {
            Self::Administrator => "an administrator of the box".to_owned(),
            Self::Member(level) => format!("a member with the level {}", <&str>::from(level)),
            Self::Visitor => "no member where the public may see".to_owned(),
            Self::DeployToken => "a deploy token".to_owned(),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::policy::tests::{
        ASKED, LINEAGE, ON, group, identity, project, token, user, verdict,
    };
    use crate::auth::policy::{GroupFacts, dependency_proxy};
    use crate::oci::{RegistryHost, RepositoryName};
    use crate::store::{ProtectionRule, RuleId, RuleOwner, TokenKind, Visibility};
    use crate::time::Timestamp;

    #[test]
    fn a_rule_of_the_group_takes_the_right_to_fill_from_whoever_is_less() {
        let filler = |level| {
            let mut token = token(TokenKind::Group, "write_registry");
            Arc::make_mut(&mut token).access_level = Some(level);
            Principal::GroupToken(Arc::new(group(1, Visibility::Private)), token)
        };
        let deploy = Principal::GroupDeployToken(
            Arc::new(group(ASKED, Visibility::Private)),
            token(TokenKind::Deploy, "write_registry"),
        );
        let of_project = Principal::ProjectToken(
            project(&[ASKED]),
            token(TokenKind::Project, "write_registry"),
        );
        let password = |admin| Principal::Password(user(admin));
        struct Case<'a> {
            who: &'a str,
            principal: Principal,
            level: Option<Level>,
            minimum: MinimumLevel,
            expected: &'a str,
        }
        let table: &[Case<'_>] = &[
            Case {
                who: "developer",
                principal: password(false),
                level: Some(Level::Developer),
                minimum: MinimumLevel::Maintainer,
                expected: "read",
            },
            Case {
                who: "maintainer",
                principal: password(false),
                level: Some(Level::Maintainer),
                minimum: MinimumLevel::Maintainer,
                expected: "fill",
            },
            Case {
                who: "owner",
                principal: password(false),
                level: Some(Level::Owner),
                minimum: MinimumLevel::Admin,
                expected: "read",
            },
            Case {
                who: "administrator",
                principal: password(true),
                level: None,
                minimum: MinimumLevel::Admin,
                expected: "fill",
            },
            Case {
                who: "administrator",
                principal: password(true),
                level: None,
                minimum: MinimumLevel::NoAccess,
                expected: "read",
            },
            Case {
                who: "group token, developer",
                principal: filler(Level::Developer),
                level: None,
                minimum: MinimumLevel::Maintainer,
                expected: "read",
            },
            Case {
                who: "group token, owner",
                principal: filler(Level::Owner),
                level: None,
                minimum: MinimumLevel::Owner,
                expected: "fill",
            },
            Case {
                who: "deploy token",
                principal: deploy,
                level: None,
                minimum: MinimumLevel::Maintainer,
                expected: "read",
            },
            Case {
                who: "project token",
                principal: of_project,
                level: None,
                minimum: MinimumLevel::Maintainer,
                expected: "read",
            },
        ];
        let group = group(ASKED, Visibility::Private);
        for Case {
            who,
            principal,
            level,
            minimum,
            expected,
        } in table
        {
            let facts = GroupFacts {
                group: &group,
                lineage: &LINEAGE,
                level: *level,
                is_public: false,
                is_mirror: false,
                networks: &[],
                flags: ON,
            };
            let identity = identity(principal.clone(), "192.0.2.1", true);
            let grant = dependency_proxy(&identity, Some(facts)).unwrap();
            assert!(grant.may_fill(), "{who}");
            let rules = [ProtectionRule {
                id: RuleId(1),
                owner: RuleOwner::Group(GroupId(1)),
                pattern: "library/*".into(),
                tag_pattern: None,
                min_push: Some(*minimum),
                min_delete: None,
                created_at: Timestamp(0),
            }];
            let hub = RegistryHost::parse("docker.io").unwrap();
            let under = |name: &str| {
                let name = RepositoryName::parse(name).unwrap();
                verdict(Ok(grant.clone().under(&rules, &hub, &name)))
            };
            assert_eq!(under("library/alpine"), *expected, "{who} {minimum:?}");
            assert_eq!(under("org/alpine"), "fill", "{who} {minimum:?}");
        }
    }
}
