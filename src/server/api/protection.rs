//! Protection rules: who may push to or delete from which repositories and tags; of groups, who may fill and
//! purge which cached ones.

use serde_json::json;

use super::answer::{Answer, Failure, nothing, object, page};
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional};
use super::table::{Endpoint, Role, Scope, Shape, Table};
use crate::admin::rules::{Minimums, RepositoryRuleView, TagRuleView};
use crate::admin::{AddRule, AddTagRule, ListRules, Named, RemoveRule, RuleView, SetRule};
use crate::error::{Error, Kind};
use crate::store::{Level, Page, RuleId, RuleOwner};

/// An empty text takes a level away.
const LEAST: Type = Type::OneOf(&["maintainer", "owner", "admin", "no_access", ""]);
/// The older words: up to and including whom everybody is kept out.
const UP_TO: Type = Type::OneOf(&["developer", "maintainer", "owner", "no_access", ""]);

const LEAST_FOR_PUSH: Parameter = optional(
    "minimum_access_level_for_push",
    LEAST,
    "who may push; empty: everybody who may anyway",
);
const LEAST_FOR_DELETE: Parameter = optional(
    "minimum_access_level_for_delete",
    LEAST,
    "who may delete; empty: everybody who may anyway",
);

const FIELDS: &[Parameter] = &[
    optional(
        "repository_path_pattern",
        Type::Text,
        "of the whole path; * for any run of characters",
    ),
    optional(
        "container_path",
        Type::Text,
        "another name of repository_path_pattern",
    ),
    optional(
        "matching_package_version",
        Type::Text,
        "only tags that match; * as above; empty: all",
    ),
    LEAST_FOR_PUSH,
    LEAST_FOR_DELETE,
    optional(
        "push_protected_up_to_access_level",
        UP_TO,
        "another way to say who may push",
    ),
    optional(
        "delete_protected_up_to_access_level",
        UP_TO,
        "another way to say who may delete",
    ),
];

const TAG_FIELDS: &[Parameter] = &[
    optional("tag_name_pattern", Type::Text, "a regular expression"),
    LEAST_FOR_PUSH,
    LEAST_FOR_DELETE,
    optional(
        "immutable",
        Type::Boolean,
        "such a tag, once made, neither moves nor goes",
    ),
];

/// The endpoints of one kind of owner and of rule.
macro_rules! endpoints {
    ($rules:literal, $managed:expr, $shape:literal, $fields:expr, $what:literal, $list:ident, $create:ident, $edit:ident, $remove:ident) => {
        [
            Endpoint {
                method: "GET",
                path: $rules,
                scope: Scope::Read,
                role: $managed,
                parameters: &[],
                gives: (200, Shape::Page($shape)),
                summary: concat!("The rules about ", $what),
                handler: $list,
            },
            Endpoint {
                method: "POST",
                path: $rules,
                scope: Scope::Write,
                role: $managed,
                parameters: $fields,
                gives: (201, Shape::One($shape)),
                summary: concat!("Add a rule about ", $what),
                handler: $create,
            },
            Endpoint {
                method: "PATCH",
                path: concat!($rules, "/:rule_id"),
                scope: Scope::Write,
                role: $managed,
                parameters: $fields,
                gives: (200, Shape::One($shape)),
                summary: concat!("Change a rule about ", $what),
                handler: $edit,
            },
            Endpoint {
                method: "DELETE",
                path: concat!($rules, "/:rule_id"),
                scope: Scope::Write,
                role: $managed,
                parameters: &[],
                gives: (204, Shape::Nothing),
                summary: concat!("Remove a rule about ", $what),
                handler: $remove,
            },
        ]
    };
}

/// `/projects/:id/registry/protection/repository/rules`.
pub(super) const OF_PROJECTS: &[Endpoint] = &endpoints!(
    "/projects/:id/registry/protection/repository/rules",
    Role::Project(Some(Level::Maintainer)),
    "ProtectionRule",
    FIELDS,
    "its repositories",
    list,
    create,
    edit,
    remove
);
/// `/groups/:id/registry/protection/repository/rules`, beyond GitLab.
pub(super) const OF_GROUPS: &[Endpoint] = &endpoints!(
    "/groups/:id/registry/protection/repository/rules",
    Role::Group(Some(Level::Owner)),
    "ProtectionRule",
    FIELDS,
    "what it has in the cache: pushing means filling, deleting means purging",
    list,
    create,
    edit,
    remove
);
/// `/projects/:id/registry/protection/tag/rules`.
pub(super) const OF_TAGS: &[Endpoint] = &endpoints!(
    "/projects/:id/registry/protection/tag/rules",
    Role::Project(Some(Level::Maintainer)),
    "TagRule",
    TAG_FIELDS,
    "its tags",
    list_of_tags,
    create_of_tags,
    edit_of_tags,
    remove_of_tags
);

/// The shapes of the answers.
pub(super) fn views(table: &mut Table) {
    table.view::<RepositoryRuleView>();
    table.view::<TagRuleView>();
}

/// Whose rules the path is about, and its path.
fn owner(ask: &Ask<'_, '_>) -> Result<(RuleOwner, String), Failure> {
    match ask.place() {
        Place::Group(group) => Ok((RuleOwner::Group(group.id), group.path.clone())),
        Place::Project(placed) => Ok((
            RuleOwner::Project(placed.project.id),
            placed.project.path.clone(),
        )),
        Place::None => Err(Failure::not_found("Project")),
    }
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    list_those(ask, |rule| matches!(rule, RuleView::Repository(_)))
}

fn list_of_tags(ask: &mut Ask<'_, '_>) -> Answer {
    list_those(ask, |rule| matches!(rule, RuleView::Tag(_)))
}

fn list_those(ask: &Ask<'_, '_>, is_listed: fn(&RuleView) -> bool) -> Answer {
    let (_, path) = owner(ask)?;
    let mut rules = ask.perform(ListRules { path })?;
    rules.retain(is_listed);
    page(
        ask,
        |window| Ok(Page::of(rules, window)),
        |rule| Ok(json!(rule)),
    )
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let (_, path) = owner(ask)?;
    let pattern =
        pattern(ask).ok_or_else(|| Failure::parameters("repository_path_pattern is missing"))?;
    let request = AddRule {
        path,
        pattern,
        tags: text(ask, "matching_package_version"),
        minimums: minimums(ask),
    };
    let added = ask.perform(request).map_err(|error| refused(ask, error))?;
    object(201, &json!(added))
}

fn create_of_tags(ask: &mut Ask<'_, '_>) -> Answer {
    let regex = text(ask, "tag_name_pattern")
        .ok_or_else(|| Failure::parameters("tag_name_pattern is missing"))?;
    let request = AddTagRule {
        project: Named::Id(ask.project()?.project.id),
        regex,
        minimums: minimums(ask),
        immutable: ask.fields.boolean("immutable").unwrap_or_default(),
    };
    let added = ask.perform(request).map_err(|error| refused(ask, error))?;
    object(201, &json!(added))
}

fn edit(ask: &mut Ask<'_, '_>) -> Answer {
    let request = SetRule {
        id: find(ask, |rule| matches!(rule, RuleView::Repository(_)))?,
        pattern: pattern(ask),
        tags: text(ask, "matching_package_version"),
        minimums: minimums(ask),
        immutable: None,
    };
    let changed = ask.perform(request).map_err(|error| refused(ask, error))?;
    object(200, &json!(changed))
}

fn edit_of_tags(ask: &mut Ask<'_, '_>) -> Answer {
    let request = SetRule {
        id: find(ask, |rule| matches!(rule, RuleView::Tag(_)))?,
        pattern: text(ask, "tag_name_pattern"),
        tags: None,
        minimums: minimums(ask),
        immutable: ask.fields.boolean("immutable"),
    };
    let changed = ask.perform(request).map_err(|error| refused(ask, error))?;
    object(200, &json!(changed))
}

fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    let id = find(ask, |rule| matches!(rule, RuleView::Repository(_)))?;
    ask.perform(RemoveRule { id })?;
    nothing()
}

fn remove_of_tags(ask: &mut Ask<'_, '_>) -> Answer {
    let id = find(ask, |rule| matches!(rule, RuleView::Tag(_)))?;
    ask.perform(RemoveRule { id })?;
    nothing()
}

/// The rule of the path, which must be one of the path's place and kind.
fn find(ask: &Ask<'_, '_>, is_of_kind: fn(&RuleView) -> bool) -> Result<i64, Failure> {
    let (owner, _) = owner(ask)?;
    let id = ask.number("rule_id")?;
    let rule = RuleView::find(ask.store(), RuleId(id))?;
    rule.filter(|rule| is_of_kind(rule) && rule.is_of(owner))
        .map(|_| id)
        .ok_or_else(gone)
}

fn text(ask: &Ask<'_, '_>, name: &str) -> Option<String> {
    ask.fields.text(name).map(str::to_owned)
}

/// `repository_path_pattern`, by either name.
fn pattern(ask: &Ask<'_, '_>) -> Option<String> {
    text(ask, "repository_path_pattern").or_else(|| text(ask, "container_path"))
}

fn minimums(ask: &Ask<'_, '_>) -> Minimums {
    let least = |name| ask.fields.text(name).and_then(|word| word.parse().ok());
    let up_to = |name| ask.fields.text(name).and_then(|word| word.parse().ok());
    Minimums {
        minimum_access_level_for_push: least("minimum_access_level_for_push"),
        push_protected_up_to_access_level: up_to("push_protected_up_to_access_level"),
        minimum_access_level_for_delete: least("minimum_access_level_for_delete"),
        delete_protected_up_to_access_level: up_to("delete_protected_up_to_access_level"),
    }
}

fn gone() -> Failure {
    Failure::not_found("Protection Rule")
}

/// GitLab's 422 for what the rules of rules refuse.
fn refused(ask: &Ask<'_, '_>, error: Error) -> Failure {
    const TAGS: &str = "matching_package_version";
    match (error.kind(), error.subject()) {
        (Kind::Usage, Some(TAGS)) if matches!(ask.place(), Place::Group(_)) => {
            Failure::invalid(TAGS, error.what())
        }
        (Kind::Usage, Some(field)) => Failure::message(422, format!("{field}: {error}")),
        (Kind::Usage, None) => Failure::parameters(
            "the rule would protect nothing: say who may push, or who may delete",
        ),
        (Kind::Conflict, _) => Failure::message(422, "the pattern has already been taken"),
        (Kind::BadRequest, _) => Failure::message(422, error.to_string()),
        _ => Failure::Of(error),
    }
}
