//! What a principal may do with a hosted repository. Pure.
//!
//! | what | who, provided that the credential has the ability |
//! |---|---|
//! | know that it exists | members of the project or of a group above it, from guest on; everybody with a user behind, where the project and every group above it are public; tokens of the project, and of a group above it |
//! | pull (`read_container_image`) | of those: reporters and above, deploy tokens; where it is public also guests and users who are no members |
//! | push (`create_container_image`) | developers and above, deploy tokens; a job token only in its own project |
//! | delete (`destroy_container_image`) | maintainers and above, never a deploy token; a job token only in its own project |
//!
//! An administrator's user is more than an owner everywhere. A group's token has its level in the projects of
//! its group and of those below, a project's token in its own project. A job token has its user's level.
//!
//! On top of it, rules can ask for more to push or delete (see `protection`): they are judged before ability
//! and level, so that whoever may see the repository reads that it is protected. What a JWT grants is an upper
//! bound, and judged last: who may not do it at all is told so, and not to get another token.
//!
//! Whether the repository itself exists is asked by whoever has the grant: what is missing in a project that one
//! may pull from is a 404 of the same words as a project that one may not see.

mod grant;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::membership::Membership;
use super::protection::{self, Minimums, RuleInTheWay, TagRules};
use super::{Hidden, Refusal};
use crate::auth::identity::{Identity, PlacedProject, Principal};
use crate::auth::scope::Ability;
use crate::oci::RepositoryName;
use crate::store::{Level, MinimumLevel, ProtectionRule, Viewer};
use grant::{by_path_rule, shown_to};

pub use grant::{RepositoryGrant, TagAction, TagMutability};

/// What is to be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::VariantArray)]
pub enum Wanted {
    /// Read anything of it; mount a blob from it.
    Pull,
    /// Write blobs, manifests, tags. The first push makes the repository.
    Push,
    /// Delete a blob, a manifest, a tag.
    Delete,
}

impl Wanted {
    /// The action in scopes and in a JWT's `access`.
    pub fn action(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    fn ability(self) -> Ability {
        match self {
            Self::Pull => Ability::ReadContainerImage,
            Self::Push => Ability::CreateContainerImage,
            Self::Delete => Ability::DestroyContainerImage,
        }
    }
}

/// The most bytes that the repositories at or below a path may have together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The path of a project or of a group.
    pub path: String,
    /// In bytes.
    pub max_bytes: u64,
}

/// What is stored about a project, as far as decisions need it: the same for everybody.
#[derive(Debug)]
pub struct HostedProject {
    /// The project and its groups.
    pub placed: Arc<PlacedProject>,
    /// Whether it and every group above it are public.
    pub is_public: bool,
    /// Its own quota and those of the groups above that have one.
    pub quotas: Arc<[Quota]>,
    /// Its rules about repositories.
    pub rules: Arc<[ProtectionRule]>,
    /// Its rules about tags.
    pub tag_rules: Arc<TagRules>,
}

/// What a decision about a repository needs to know.
#[derive(Debug, Clone, Copy)]
pub struct RepositoryFacts<'a> {
    /// The project whose path is the longest prefix of the repository's.
    pub project: &'a HostedProject,
    /// The repository's whole path.
    pub repository: &'a RepositoryName,
    /// The highest level of the identity's user on the project or a group above it.
    pub level: Option<Level>,
}

/// Whether `identity` may do what is `wanted` with a hosted repository (`None`: no project owns its path).
///
/// # Errors
/// The refusal: who are you, may you know that it exists, is it protected, are you allowed, does the JWT say so.
pub fn repository(
    identity: &Identity,
    facts: Option<RepositoryFacts<'_>>,
    wanted: Wanted,
) -> Result<RepositoryGrant, Refusal> {
    let case = Case::of(identity, facts)?;
    case.judge(wanted)?;
    let may = |action| case.judge(action).is_ok();
    let HostedProject {
        placed,
        quotas,
        rules,
        tag_rules,
        ..
    } = case.facts.project;
    Ok(RepositoryGrant {
        project: placed.project.id,
        project_path: placed.project.path.clone(),
        repository: case.facts.repository.clone(),
        pull: may(Wanted::Pull),
        push: may(Wanted::Push),
        delete: may(Wanted::Delete),
        quotas: Arc::clone(quotas),
        membership: case.membership,
        rules: Arc::clone(rules),
        tag_rules: Arc::clone(tag_rules),
    })
}

/// Whether a list of repositories shows `identity` those of the project: who may know of it, with a credential
/// that is for hosted images at all.
pub fn lists_project(identity: &Identity, project: &HostedProject, level: Option<Level>) -> bool {
    lists_any(identity) && membership(identity, project, level).is_some()
}

/// The projects of which [`lists_project`] is true.
pub fn listed_projects(identity: &Identity) -> Viewer {
    if !lists_any(identity) {
        return Viewer::default();
    }
    Membership::viewer(&identity.principal)
}

fn lists_any(identity: &Identity) -> bool {
    identity
        .principal
        .abilities()
        .has(Ability::ReadContainerImage)
}

fn membership(
    identity: &Identity,
    project: &HostedProject,
    level: Option<Level>,
) -> Option<Membership> {
    let placed = &project.placed;
    Membership::on_project(
        &identity.principal,
        placed.project.id,
        &placed.groups,
        level,
        project.is_public,
    )
}

/// Somebody before a repository whose project may be seen.
struct Case<'a> {
    identity: &'a Identity,
    facts: RepositoryFacts<'a>,
    membership: Membership,
    minimums: Minimums,
}

impl<'a> Case<'a> {
    fn of(identity: &'a Identity, facts: Option<RepositoryFacts<'a>>) -> Result<Self, Refusal> {
        if matches!(identity.principal, Principal::Anonymous) {
            return Err(Refusal::Unauthenticated);
        }
        let facts = facts.ok_or(Refusal::Unknown(Hidden::NoProject))?;
        let membership = membership(identity, facts.project, facts.level)
            .ok_or(Refusal::Unknown(Hidden::NotOfProject))?;
        let minimums = protection::of_path(&facts.project.rules, facts.repository.as_str());
        Ok(Self {
            identity,
            facts,
            membership,
            minimums,
        })
    }

    fn judge(&self, wanted: Wanted) -> Result<(), Refusal> {
        let meets = |minimum: Option<MinimumLevel>| {
            minimum.is_none_or(|minimum| self.membership.meets(minimum))
        };
        let minimum = match wanted {
            Wanted::Pull => None,
            Wanted::Push => self.minimums.push,
            Wanted::Delete => self.minimums.delete,
        };
        if !meets(minimum) {
            return Err(Refusal::protected(wanted, self.rule_in_the_way(wanted)));
        }
        let principal = &self.identity.principal;
        // A deploy token never deletes, whatever scopes somebody managed to give it.
        let never = wanted == Wanted::Delete && principal.is_deploy_token();
        if never || !principal.abilities().has(wanted.ability()) {
            return Err(Refusal::Denied(wanted.ability()));
        }
        if wanted != Wanted::Pull && self.is_a_stranger_s_job() {
            return Err(Refusal::NotItsOwnProject);
        }
        if !self.level_allows(wanted) {
            return Err(Refusal::LevelTooLow(wanted));
        }
        let name = self.facts.repository.as_str();
        if !self.identity.is_bound_to(name, wanted.action()) {
            return Err(Refusal::NotInToken(wanted));
        }
        Ok(())
    }

    fn rule_in_the_way(&self, wanted: Wanted) -> Option<Box<RuleInTheWay>> {
        let HostedProject { placed, rules, .. } = self.facts.project;
        let path = self.facts.repository.as_str();
        let rule = by_path_rule(rules, (path, None), wanted, &placed.project.path)?;
        let rule = shown_to(self.membership, Some(rule))?;
        // A job of another project speaks for nobody here.
        let is_shown = rule.is_shown() && !self.is_a_stranger_s_job();
        Some(Box::new(rule.shown(is_shown)))
    }

    fn level_allows(&self, wanted: Wanted) -> bool {
        let by_public = self.facts.project.is_public && self.identity.principal.user().is_some();
        match wanted {
            Wanted::Pull => {
                by_public || self.is_deploy_token() || self.membership.is_at_least(Level::Reporter)
            }
            Wanted::Push => self.is_deploy_token() || self.membership.is_at_least(Level::Developer),
            Wanted::Delete => self.membership.is_at_least(Level::Maintainer),
        }
    }

    fn is_deploy_token(&self) -> bool {
        self.membership == Membership::DeployToken
    }

    /// Whether this is a job of another project.
    fn is_a_stranger_s_job(&self) -> bool {
        let here = self.facts.project.placed.project.id;
        matches!(&self.identity.principal, Principal::JobToken(_, own, _) if own.project.id != here)
    }
}
