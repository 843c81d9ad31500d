//! How rules are shown: a table, and JSON with the field names of `/api/v4`, in both vocabularies.

use serde_json::{Value, json};

use crate::cli::output::{Table, yes};
use crate::error::Result;
use crate::store::{MinimumLevel, ProtectionRule, RuleOwner, TagRule};

/// As `…/registry/protection/repository/rules` has it, and what it does not know.
pub(super) fn rule(rule: &ProtectionRule) -> Value {
    let (project, group) = match rule.owner {
        RuleOwner::Project(project) => (Some(project), None),
        RuleOwner::Group(group) => (None, Some(group)),
    };
    json!({
        "id": rule.id,
        "kind": "repository",
        "project_id": project,
        "group_id": group,
        "repository_path_pattern": rule.pattern,
        "matching_package_version": rule.tag_pattern,
        "minimum_access_level_for_push": rule.min_push,
        "minimum_access_level_for_delete": rule.min_delete,
        "push_protected_up_to_access_level": rule.min_push.map(MinimumLevel::protected_up_to),
        "delete_protected_up_to_access_level": rule.min_delete.map(MinimumLevel::protected_up_to),
        "created_at": rule.created_at.to_string(),
    })
}

/// As `…/registry/protection/tag/rules` has it, and what it does not know.
pub(super) fn tag_rule(rule: &TagRule) -> Value {
    json!({
        "id": rule.id,
        "kind": "tag",
        "project_id": rule.project,
        "tag_name_pattern": rule.pattern,
        "minimum_access_level_for_push": rule.min_push,
        "minimum_access_level_for_delete": rule.min_delete,
        "immutable": rule.immutable,
        "created_at": rule.created_at.to_string(),
    })
}

/// Both kinds for people.
pub(super) fn table(rules: Vec<ProtectionRule>, tag_rules: Vec<TagRule>) -> Result<()> {
    let least =
        |minimum: Option<MinimumLevel>| minimum.map_or("-", MinimumLevel::as_str).to_owned();
    let mut table = Table::new(&["ID", "REPOSITORIES", "TAGS", "PUSH", "DELETE", "IMMUTABLE"]);
    for rule in rules {
        table.row([
            rule.id.0.to_string(),
            rule.pattern,
            rule.tag_pattern.unwrap_or_else(|| "*".to_owned()),
            least(rule.min_push),
            least(rule.min_delete),
            yes(false),
        ]);
    }
    for rule in tag_rules {
        table.row([
            rule.id.0.to_string(),
            "all of the project".to_owned(),
            format!("/{}/", rule.pattern),
            least(rule.min_push),
            least(rule.min_delete),
            yes(rule.immutable),
        ]);
    }
    table.print()
}
