//! Rules as they are shown, by REST and by `--json`.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::UpTo;
use crate::error::Result;
use crate::store::{
    GroupId, MinimumLevel, ProjectId, ProtectionRule, RuleId, RuleOwner, Store, TagRule,
};
use crate::time::Timestamp;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RuleView {
    Repository(RepositoryRuleView),
    Tag(TagRuleView),
}

/// As `…/registry/protection/repository/rules` has it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ProtectionRule")]
#[serde(deny_unknown_fields)]
pub struct RepositoryRuleView {
    pub id: RuleId,
    pub project_id: Option<ProjectId>,
    /// Of a rule about the dependency proxy
    pub group_id: Option<GroupId>,
    pub repository_path_pattern: String,
    pub matching_package_version: Option<String>,
    pub minimum_access_level_for_push: Option<MinimumLevel>,
    pub minimum_access_level_for_delete: Option<MinimumLevel>,
    pub push_protected_up_to_access_level: Option<UpTo>,
    pub delete_protected_up_to_access_level: Option<UpTo>,
    pub created_at: Timestamp,
}

/// As `…/registry/protection/tag/rules` has it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TagRule")]
#[serde(deny_unknown_fields)]
pub struct TagRuleView {
    pub id: RuleId,
    pub project_id: ProjectId,
    pub tag_name_pattern: String,
    pub minimum_access_level_for_push: Option<MinimumLevel>,
    pub minimum_access_level_for_delete: Option<MinimumLevel>,
    pub immutable: bool,
    pub created_at: Timestamp,
}

/// Rules of one kind, or all.
pub trait ShownRule: Serialize + DeserializeOwned + JsonSchema {
    /// The rule, if it is of this kind.
    fn of(rule: RuleView) -> Option<Self>;
}

impl ShownRule for RuleView {
    fn of(rule: RuleView) -> Option<Self> {
        Some(rule)
    }
}

impl ShownRule for RepositoryRuleView {
    fn of(rule: RuleView) -> Option<Self> {
        match rule {
            RuleView::Repository(rule) => Some(rule),
            RuleView::Tag(_) => None,
        }
    }
}

impl ShownRule for TagRuleView {
    fn of(rule: RuleView) -> Option<Self> {
        match rule {
            RuleView::Tag(rule) => Some(rule),
            RuleView::Repository(_) => None,
        }
    }
}

impl RuleView {
    /// The rule of either kind.
    pub fn find(store: &Store, id: RuleId) -> Result<Option<Self>> {
        if let Some(rule) = store.access.rule(id)? {
            return Ok(Some(Self::Repository(rule.into())));
        }
        let rule = store.access.tag_rule(id)?;
        Ok(rule.map(|rule| Self::Tag(rule.into())))
    }

    pub fn id(&self) -> RuleId {
        match self {
            Self::Repository(rule) => rule.id,
            Self::Tag(rule) => rule.id,
        }
    }

    pub fn is_of(&self, owner: RuleOwner) -> bool {
        match (self, owner) {
            (Self::Repository(rule), RuleOwner::Group(group)) => rule.group_id == Some(group),
            (Self::Repository(rule), RuleOwner::Project(project)) => {
                rule.project_id == Some(project)
            }
            (Self::Tag(rule), RuleOwner::Project(project)) => rule.project_id == project,
            (Self::Tag(_), RuleOwner::Group(_)) => false,
        }
    }
}

impl From<ProtectionRule> for RepositoryRuleView {
    fn from(rule: ProtectionRule) -> Self {
        let (project_id, group_id) = match rule.owner {
            RuleOwner::Project(project) => (Some(project), None),
            RuleOwner::Group(group) => (None, Some(group)),
        };
        Self {
            id: rule.id,
            project_id,
            group_id,
            repository_path_pattern: rule.pattern,
            matching_package_version: rule.tag_pattern,
            minimum_access_level_for_push: rule.min_push,
            minimum_access_level_for_delete: rule.min_delete,
            push_protected_up_to_access_level: rule.min_push.map(UpTo::from),
            delete_protected_up_to_access_level: rule.min_delete.map(UpTo::from),
            created_at: rule.created_at,
        }
    }
}

impl From<TagRule> for TagRuleView {
    fn from(rule: TagRule) -> Self {
        Self {
            id: rule.id,
            project_id: rule.project,
            tag_name_pattern: rule.pattern,
            minimum_access_level_for_push: rule.min_push,
            minimum_access_level_for_delete: rule.min_delete,
            immutable: rule.immutable,
            created_at: rule.created_at,
        }
    }
}
