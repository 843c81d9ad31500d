//! The grant of a request about a hosted repository, and what it says of single tags.

use std::sync::Arc;

use super::super::Refusal;
use super::super::membership::Membership;
use super::super::protection::{self, Minimums, RuleInTheWay, TagRules};
use super::{HostedProject, Quota, Wanted};
use crate::oci::{RepositoryName, Tag};
use crate::store::{Level, MinimumLevel, ProjectId, ProtectionRule};

/// What is to be done with a single tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagAction {
    /// Make it, or move it.
    Push,
    /// Take it away: by its name, or with the manifest that it points to.
    Delete,
}

/// Whether a tag may move once it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagMutability {
    Mutable,
    /// It is made once, by this rule; a push of the same digest again is fine. Whoever writes compares, in the same
    /// transaction.
    Immutable(Box<RuleInTheWay>),
}

/// Proof that a request about a hosted repository was authorized. Only `auth::policy` can make one.
#[derive(Debug, Clone)]
pub struct RepositoryGrant {
    pub(super) project: ProjectId,
    pub(super) project_path: String,
    pub(super) repository: RepositoryName,
    pub(super) pull: bool,
    pub(super) push: bool,
    pub(super) delete: bool,
    pub(super) quotas: Arc<[Quota]>,
    pub(super) membership: Membership,
    pub(super) rules: Arc<[ProtectionRule]>,
    pub(super) tag_rules: Arc<TagRules>,
}

impl RepositoryGrant {
    /// For an administrator who imports into the repository: all that it may be kept from is what a rule keeps from
    /// everybody.
    ///
    /// # Errors
    /// The refusal by such a rule.
    pub fn of_an_administrator(
        project: &HostedProject,
        repository: &RepositoryName,
    ) -> Result<Self, Refusal> {
        let membership = Membership::Administrator;
        let path = repository.as_str();
        let (placed, rules) = (&project.placed, &project.rules);
        let minimum = protection::of_path(rules, path).push;
        if !minimum.is_none_or(|minimum| membership.meets(minimum)) {
            let rule = by_path_rule(rules, (path, None), Wanted::Push, &placed.project.path);
            return Err(Refusal::protected(Wanted::Push, shown_to(membership, rule)));
        }
        Ok(Self {
            project: placed.project.id,
            project_path: placed.project.path.clone(),
            repository: repository.clone(),
            pull: true,
            push: true,
            delete: false,
            quotas: Arc::clone(&project.quotas),
            membership,
            rules: Arc::clone(rules),
            tag_rules: Arc::clone(&project.tag_rules),
        })
    }

    /// The project that owns it.
    pub fn project(&self) -> ProjectId {
        self.project
    }

    pub fn project_path(&self) -> &str {
        &self.project_path
    }

    /// The whole path of the repository: the project's, perhaps with more behind it.
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// What its bearer is there, as a part of a sentence.
    pub fn bearer(&self) -> String {
        self.membership.words()
    }

    /// Whether it may be read.
    pub fn may_pull(&self) -> bool {
        self.pull
    }

    /// Whether it may be written to. Single tags may still be protected: see [`Self::judge_tag`].
    pub fn may_push(&self) -> bool {
        self.push
    }

    /// Whether something may be deleted from it; single tags as for a push.
    pub fn may_delete(&self) -> bool {
        self.delete
    }

    /// The quotas of the project and the groups above it that have one; each holds by itself.
    pub fn quotas(&self) -> &[Quota] {
        &self.quotas
    }

    /// Whether some rule is about tags of the repository, and so may refuse one of them.
    pub fn has_tag_rules(&self) -> bool {
        !self.tag_rules.is_empty() || protection::names_tags(&self.rules, self.repository.as_str())
    }

    /// Judges a single tag at the write: one that is pushed, or each of those that a delete takes away.
    ///
    /// # Errors
    /// `PushProtected` or `DeleteProtected` by a rule about the repository's tags, `TagProtected` by a rule
    /// about tags, `TagImmutable` for taking away one that is immutable.
    pub fn judge_tag(&self, tag: &Tag, action: TagAction) -> Result<TagMutability, Refusal> {
        let by_path = protection::of_tag(&self.rules, self.repository.as_str(), tag.as_str());
        let by_tag = self.tag_rules.of(tag.as_str());
        let meets = |minimum: Option<MinimumLevel>| {
            minimum.is_none_or(|minimum| self.membership.meets(minimum))
        };
        let (of_repository, of_tag) = match action {
            TagAction::Push => (by_path.push, by_tag.minimums.push),
            TagAction::Delete => (by_path.delete, by_tag.minimums.delete),
        };
        if !meets(of_repository) {
            let place = (self.repository.as_str(), Some(tag.as_str()));
            let rules = &self.rules;
            let wanted = match action {
                TagAction::Push => Wanted::Push,
                TagAction::Delete => Wanted::Delete,
            };
            let rule = by_path_rule(rules, place, wanted, &self.project_path);
            return Err(Refusal::protected(wanted, self.shown(rule)));
        }
        let tag_rule = |asks| {
            let rule =
                RuleInTheWay::of_tag(&self.tag_rules, tag.as_str(), asks, &self.project_path);
            self.shown(rule)
        };
        if !meets(of_tag) {
            let asks: fn(&Minimums) -> Option<MinimumLevel> = match action {
                TagAction::Push => |minimums| minimums.push,
                TagAction::Delete => |minimums| minimums.delete,
            };
            return Err(Refusal::TagProtected(action, tag_rule(Some(asks))));
        }
        let rule = by_tag.immutable.then(|| tag_rule(None)).flatten();
        Ok(match (rule, action) {
            (None, _) => TagMutability::Mutable,
            (Some(rule), TagAction::Push) => TagMutability::Immutable(rule),
            (rule, TagAction::Delete) => return Err(Refusal::TagImmutable(rule)),
        })
    }

    fn shown(&self, rule: Option<RuleInTheWay>) -> Option<Box<RuleInTheWay>> {
        shown_to(self.membership, rule)
    }
}

/// Whoever may list the rules is told which one it is.
pub(super) fn shown_to(
    membership: Membership,
    rule: Option<RuleInTheWay>,
) -> Option<Box<RuleInTheWay>> {
    let is_shown = membership.is_at_least(Level::Maintainer);
    rule.map(|rule| Box::new(rule.shown(is_shown)))
}

/// The rule about repositories that asks the most of whoever pushes or deletes.
pub(super) fn by_path_rule(
    rules: &[ProtectionRule],
    place: (&str, Option<&str>),
    wanted: Wanted,
    project: &str,
) -> Option<RuleInTheWay> {
    let asks = |rule: &ProtectionRule| match wanted {
        Wanted::Delete => rule.min_delete,
        Wanted::Push | Wanted::Pull => rule.min_push,
    };
    RuleInTheWay::of_path(rules, place, asks, project)
}
