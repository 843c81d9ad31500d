//! Who a request comes from: the principal *with its token*, so that policies judge the token itself.

use std::sync::Arc;

use super::address::ClientAddress;
use super::jwt::Claims;
use super::scope::{Abilities, Ability, TokenScope, abilities_of};
use crate::store::{Actor, EventPlace, Group, GroupId, Maker, Project, Token, TokenKind, User};
use crate::time::Timestamp;

/// The name that a job token logs in with.
pub const JOB_USERNAME: &str = "gitlab-ci-token";

#[derive(Debug, Clone)]
pub enum Principal {
    /// Nobody: judged by the network that the request comes from.
    Anonymous,
    /// A user who logged in with the password.
    Password(Arc<User>),
    /// A personal access token, with the user that it belongs to.
    PersonalToken(Arc<User>, Arc<Token>),
    /// A group access token, with its group.
    GroupToken(Arc<Group>, Arc<Token>),
    /// A project access token, with its project.
    ProjectToken(Arc<PlacedProject>, Arc<Token>),
    /// A deploy token of a group.
    GroupDeployToken(Arc<Group>, Arc<Token>),
    /// A deploy token of a project.
    ProjectDeployToken(Arc<PlacedProject>, Arc<Token>),
    /// A job token, with its user and its project.
    JobToken(Arc<User>, Arc<PlacedProject>, Arc<Token>),
}

/// A project, and the groups that it lies in.
#[derive(Debug, Clone)]
pub struct PlacedProject {
    pub project: Project,
    /// Its group and that group's ancestors, nearest first.
    pub groups: Arc<[GroupId]>,
}

impl PlacedProject {
    /// As the audit names it, or a path below it.
    pub fn event_place(&self, path: &str) -> EventPlace {
        EventPlace::in_project(path, self.project.id, &self.groups)
    }
}

impl Principal {
    /// Whom a token of its kind speaks for, of those that its row names; `None` where one of them is gone.
    pub fn of_token(
        token: Arc<Token>,
        user: Option<Arc<User>>,
        group: Option<Arc<Group>>,
        project: Option<Arc<PlacedProject>>,
    ) -> Option<Self> {
        Some(match (token.kind, user, group, project) {
            (TokenKind::Personal, Some(user), ..) => Self::PersonalToken(user, token),
            (TokenKind::Group, _, Some(group), _) => Self::GroupToken(group, token),
            (TokenKind::Project, _, _, Some(project)) => Self::ProjectToken(project, token),
            (TokenKind::Deploy, _, Some(group), _) => Self::GroupDeployToken(group, token),
            (TokenKind::Deploy, _, None, Some(project)) => Self::ProjectDeployToken(project, token),
            (TokenKind::Job, Some(user), _, Some(project)) => Self::JobToken(user, project, token),
            _ => return None,
        })
    }

    /// The user behind it, if any.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::Password(user) | Self::PersonalToken(user, _) | Self::JobToken(user, ..) => {
                Some(user)
            }
            _ => None,
        }
    }

    /// The same without the rights of an administrator of the box.
    #[must_use]
    pub fn as_member(self) -> Self {
        let member = |user: Arc<User>| {
            let mut user = Arc::unwrap_or_clone(user);
            user.admin = false;
            Arc::new(user)
        };
        match self {
            Self::Password(user) => Self::Password(member(user)),
            Self::PersonalToken(user, token) => Self::PersonalToken(member(user), token),
            Self::JobToken(user, project, token) => Self::JobToken(member(user), project, token),
            other => other,
        }
    }

    /// The token behind it, if any.
    pub fn token(&self) -> Option<&Token> {
        match self {
            Self::Anonymous | Self::Password(_) => None,
            Self::PersonalToken(_, token)
            | Self::GroupToken(_, token)
            | Self::ProjectToken(_, token)
            | Self::GroupDeployToken(_, token)
            | Self::ProjectDeployToken(_, token)
            | Self::JobToken(_, _, token) => Some(token),
        }
    }

    /// Whether it is a deploy token: those are judged whatever the enforcement flag says.
    pub fn is_deploy_token(&self) -> bool {
        matches!(
            self,
            Self::GroupDeployToken(..) | Self::ProjectDeployToken(..)
        )
    }

    /// What the credential allows, whatever it is applied to. A job token's abilities (`build_…`) count
    /// as the plain ones; whoever judges a project sees to it that they end at its own project.
    pub fn abilities(&self) -> Abilities {
        match self {
            Self::Anonymous => Abilities::NONE,
            Self::Password(_) => Abilities::ALL,
            Self::JobToken(..) => Abilities::of(&[
                Ability::ReadContainerImage,
                Ability::CreateContainerImage,
                Ability::DestroyContainerImage,
                Ability::ReadDependencyProxyContainer,
                Ability::WriteDependencyProxyContainer,
            ]),
            _ => self
                .token()
                .map_or(Abilities::NONE, |token| abilities_of(&token.scopes)),
        }
    }

    /// Whether it has a whole pair, as the older rule asks: both abilities of hosted images, or both scopes
    /// of virtual registries, or `api`. Under it no ability implies another.
    pub fn has_older_pair(&self) -> bool {
        let has_scope = |scope: TokenScope| {
            self.token()
                .is_some_and(|token| token.scopes.iter().any(|word| word == scope.as_str()))
        };
        let abilities = self.abilities();
        abilities.has(Ability::ReadContainerImage) && abilities.has(Ability::CreateContainerImage)
            || has_scope(TokenScope::ReadVirtualRegistry)
                && has_scope(TokenScope::WriteVirtualRegistry)
    }

    /// Whether it still counts at `now`: not blocked, revoked or expired.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        let user = self.user().is_none_or(|user| !user.blocked);
        let token = self.token().is_none_or(|token| {
            !token.revoked && token.expires_at.is_none_or(|expires_at| now < expires_at)
        });
        user && token
    }

    /// As the audit names it; where it comes from is to be added.
    pub fn actor(&self) -> Actor {
        match (self, self.user()) {
            (Self::Anonymous, _) => Actor::nobody("anonymous"),
            (_, Some(user)) => Actor::new(self.label()).user(&user.name, user.id),
            (_, None) => Actor::new(self.label()),
        }
    }

    /// As the tokens that it makes name it.
    pub fn maker(&self) -> Maker {
        Maker {
            label: self.label(),
            user_id: self.user().map(|user| user.id),
            token_id: self.token().map(|token| token.id),
        }
    }

    /// The name in logs: `alice`, `alice (token 7)`, `acme (group token 8)`, `anonymous`.
    pub fn label(&self) -> String {
        let of = |owner: &str, kind: &str| {
            format!(
                "{owner} ({kind} {})",
                self.token().map_or(0, |token| token.id.0)
            )
        };
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Password(user) => user.name.clone(),
            Self::PersonalToken(user, _) => of(&user.name, "token"),
            Self::GroupToken(group, _) => of(&group.path, "group token"),
            Self::ProjectToken(placed, _) => of(&placed.project.path, "project token"),
            Self::GroupDeployToken(group, _) => of(&group.path, "deploy token"),
            Self::ProjectDeployToken(placed, _) => of(&placed.project.path, "deploy token"),
            Self::JobToken(user, ..) => of(&user.name, "job token"),
        }
    }
}

/// A principal, where it comes from, and what its JWT is limited to.
#[derive(Debug, Clone)]
pub struct Identity {
    pub principal: Principal,
    pub address: ClientAddress,
    /// The claims of a JWT, whose `access` is what is granted at most; `None` without a JWT.
    pub bound: Option<Arc<Claims>>,
}

impl Identity {
    /// Nobody, from `address`, without a JWT.
    pub fn anonymous(address: ClientAddress) -> Self {
        Self {
            principal: Principal::Anonymous,
            address,
            bound: None,
        }
    }

    /// As the audit names it, in the request with this id.
    pub fn actor(&self, correlation_id: &str) -> Actor {
        self.principal
            .actor()
            .address(self.address.ip)
            .correlation_id(correlation_id)
    }

    /// Whether the JWT, if there is one, lets `action` be done to repository `name`.
    pub fn is_bound_to(&self, name: &str, action: &str) -> bool {
        self.bound.as_ref().is_none_or(|claims| {
            claims.access.iter().any(|entry| {
                entry.kind == "repository"
                    && entry.name == name
                    && entry.actions.iter().any(|a| a == action)
            })
        })
    }
}
