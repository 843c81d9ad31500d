//! From an identity and a path to the policy's verdict: gathers the stored facts that the rules need.

use super::Appliance;
use super::router::Place;
use crate::auth::features::Flags;
use crate::auth::policy::{
    self, GroupFacts, HostedProject, Refusal, RepositoryFacts, RepositoryGrant, TagAction, Wanted,
};
use crate::auth::{Grant, Identity};
use crate::context;
use crate::error::Result;
use crate::oci::{RepositoryName, Tag};
use crate::proxy::Target;
use crate::store::{Group, GroupId, HostedRepository, Level, ProjectId, Visibility, Window};

/// So many rules are judged in no time; more can be made to take some, by whoever makes them.
const JUDGED_AT_ONCE: usize = 20;

/// What the policy says of one request.
#[must_use]
pub(super) enum Verdict<G> {
    Granted(G),
    Refused(Refusal),
}

impl<G> Verdict<G> {
    pub(super) fn is_granted(&self) -> bool {
        matches!(self, Self::Granted(_))
    }

    pub(super) fn granted(self) -> Option<G> {
        match self {
            Self::Granted(granted) => Some(granted),
            Self::Refused(_) => None,
        }
    }

    /// What is granted; otherwise the refusal as an error about `name`.
    pub(super) fn or_error(self, name: &str) -> Result<G> {
        match self {
            Self::Granted(granted) => Ok(granted),
            Self::Refused(refusal) => Err(refusal.error(name)),
        }
    }
}

impl<G> From<Result<G, Refusal>> for Verdict<G> {
    fn from(judged: Result<G, Refusal>) -> Self {
        match judged {
            Ok(granted) => Self::Granted(granted),
            Err(refusal) => Self::Refused(refusal),
        }
    }
}

impl Appliance {
    /// Judges an identity by the policy of a group's dependency proxy.
    pub(super) fn authorize_group(
        &self,
        identity: &Identity,
        path: &str,
    ) -> Result<Verdict<Grant>> {
        let Some(group) = self.authenticator.group(path)? else {
            return Ok(policy::dependency_proxy(identity, None).into());
        };
        self.with_facts(identity, &group, |facts| {
            let judged = policy::dependency_proxy(identity, Some(facts));
            if judged.is_err() {
                self.tell_of_not_trusted(identity, |trusted| {
                    policy::dependency_proxy(trusted, Some(facts)).is_ok()
                });
            }
            judged.into()
        })
    }

    fn with_facts<T>(
        &self,
        identity: &Identity,
        group: &Group,
        judge: impl FnOnce(GroupFacts<'_>) -> T,
    ) -> Result<T> {
        let authenticator = &self.authenticator;
        let level = match identity.principal.user() {
            Some(user) => authenticator.level(group.id, user.id)?,
            None => None,
        };
        let lineage = authenticator.lineage(group.id)?;
        Ok(judge(GroupFacts {
            group,
            lineage: &lineage,
            level,
            is_public: self.are_public(&lineage)?,
            is_mirror: self.mirror_group() == Some(group.path.as_str()),
            networks: &authenticator.networks()?,
            flags: Flags::of(&authenticator.features()?, &lineage),
        }))
    }

    /// What a push to `repository` needs where the caller sees no project that owns it: the path of a project below the
    /// innermost group that the caller sees, if there is one. It is the same whether the project is not there or
    /// hidden.
    pub(super) fn project_to_make(
        &self,
        identity: &Identity,
        repository: &RepositoryName,
    ) -> Result<Option<String>> {
        let path = repository.as_str();
        let mut seen = None;
        for (end, _) in path.match_indices('/') {
            let group = path.get(..end).unwrap_or_default();
            let Some(group) = self.authenticator.group(group)? else {
                break;
            };
            if !self.with_facts(identity, &group, |facts| {
                policy::sees(&identity.principal, facts)
            })? {
                break;
            }
            seen = Some(end);
        }
        let Some(below) = seen.map(|end| end.saturating_add(1)) else {
            return Ok(None);
        };
        let rest = path.get(below..).unwrap_or_default();
        let name = rest.split('/').next().unwrap_or_default();
        let end = below.saturating_add(name.len());
        Ok(path.get(..end).map(str::to_owned))
    }

    /// Tells the log what spoke against trusting the address of `identity`, which was refused, if `would_be_allowed`
    /// says that it was for this reason alone.
    pub(super) fn tell_of_not_trusted(
        &self,
        identity: &Identity,
        would_be_allowed: impl FnOnce(&Identity) -> bool,
    ) {
        let Some(not_trusted) = identity.address.not_trusted else {
            return;
        };
        let trusted = Identity {
            address: identity.address.as_if_trusted(),
            ..identity.clone()
        };
        if would_be_allowed(&trusted) {
            self.addresses.tell(identity.address.ip, not_trusted);
        }
    }

    /// Whether all the groups are public. One that was removed just now is not.
    pub(super) fn are_public(&self, groups: &[GroupId]) -> Result<bool> {
        for &id in groups {
            let group = self.authenticator.group_by_id(id)?;
            if group.is_none_or(|group| group.visibility != Visibility::Public) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The grant for one image: it only reads what a rule of the group, or of one above it, protects against
    /// being filled by this identity.
    pub(super) fn keep_to_rules(&self, grant: Grant, target: &Target) -> Result<Grant> {
        let rules = self.authenticator.group_rules(grant.group())?;
        if rules.len() > JUDGED_AT_ONCE {
            context::waits();
        }
        Ok(grant.under(&rules, target.upstream.name(), &target.repository))
    }

    /// Judges an identity by the policy of the mirror's group.
    pub(super) fn authorize_mirror(&self, identity: &Identity) -> Result<Verdict<Grant>> {
        match self.mirror_group() {
            Some(group) => self.authorize_group(identity, group),
            None => Ok(policy::dependency_proxy(identity, None).into()),
        }
    }

    /// The hosted repository that a place is, if it is one: a path below a group of this box never means a
    /// stranger's image of the same name, unless `ns` or a host says so.
    pub(super) fn hosted_repository<'a>(
        &self,
        place: &'a Place,
    ) -> Result<Option<&'a RepositoryName>> {
        let Place::Mirror {
            host: None,
            image,
            by_ns: false,
        } = place
        else {
            return Ok(None);
        };
        let first = image.components().next().unwrap_or_default();
        Ok(self.authenticator.group(first)?.map(|_| image))
    }

    /// Judges an identity by the policy of hosted repositories, and the rules of the project that owns the path.
    pub(super) fn authorize_repository(
        &self,
        identity: &Identity,
        repository: &RepositoryName,
        wanted: Wanted,
    ) -> Result<Verdict<RepositoryGrant>> {
        let Some(project) = self.authenticator.project_owning(repository)? else {
            return Ok(policy::repository(identity, None, wanted).into());
        };
        let facts = RepositoryFacts {
            project: &project,
            repository,
            level: self.level_on(identity, &project)?,
        };
        Ok(policy::repository(identity, Some(facts), wanted).into())
    }

    /// Refuses to take away all that a project holds, with the project, where a rule keeps a repository of it from
    /// the identity.
    pub(super) fn judge_removal(&self, identity: &Identity, project: ProjectId) -> Result<()> {
        let Some(hosted) = self.authenticator.hosted_project(project)? else {
            return Ok(());
        };
        let level = self.level_on(identity, &hosted)?;
        let registry = &self.store.registry;
        for row in registry.rows_of(&[project], Window::ALL)?.entries {
            let repository = RepositoryName::parse(&row.path)?;
            let facts = RepositoryFacts {
                project: &hosted,
                repository: &repository,
                level,
            };
            let place = HostedRepository {
                project,
                path: &row.path,
            };
            let tags = registry.tags(place, "", u64::MAX)?;
            let judged = policy::repository(identity, Some(facts), Wanted::Delete);
            let judged = judged.and_then(|grant| {
                let mut tags = tags.iter().filter_map(|tag| Tag::parse(tag).ok());
                tags.try_for_each(|tag| grant.judge_tag(&tag, TagAction::Delete).map(drop))
            });
            judged.map_err(|refusal| {
                let path = &row.path;
                refusal.error(path).remedy(format!("it is about {path}"))
            })?;
        }
        Ok(())
    }

    /// Whether a list of repositories shows those of a project.
    pub(super) fn lists_project(&self, identity: &Identity, project: ProjectId) -> Result<bool> {
        let Some(project) = self.authenticator.hosted_project(project)? else {
            return Ok(false);
        };
        let level = self.level_on(identity, &project)?;
        Ok(policy::lists_project(identity, &project, level))
    }

    fn level_on(&self, identity: &Identity, project: &HostedProject) -> Result<Option<Level>> {
        match identity.principal.user() {
            Some(user) => self
                .authenticator
                .project_level(project.placed.project.id, user.id),
            None => Ok(None),
        }
    }

    /// The flags as they hold for the box: for logins, which name no group.
    pub(super) fn box_flags(&self) -> Result<Flags> {
        Ok(Flags::of(&self.authenticator.features()?, &[]))
    }

    /// The flags as they hold for a group; the box's where there is no such group.
    pub(super) fn group_flags(&self, path: &str) -> Result<Flags> {
        match self.authenticator.group(path)? {
            Some(group) => {
                let lineage = self.authenticator.lineage(group.id)?;
                Ok(Flags::of(&self.authenticator.features()?, &lineage))
            }
            None => self.box_flags(),
        }
    }
}
