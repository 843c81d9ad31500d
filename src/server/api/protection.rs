//! Protection rules: who may push to or delete from which repositories and tags; of groups, who may fill and
//! purge which cached ones.

use serde_json::{Value, json};

use super::answer::{Answer, Failure, nothing, object, page};
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::auth::policy::protection::{check_pattern, check_tag_expression, check_tag_pattern};
use crate::error::{Error, Kind};
use crate::store::{Level, MinimumLevel, Page, ProtectionRule, RuleId, RuleOwner, TagRule};
use crate::time::Timestamp;

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
    ($rules:literal, $managed:expr, $shape:literal, $fields:expr, $what:literal, $list:ident, $create:ident, $edit:ident) => {
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
                handler: remove,
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
    edit
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
    edit
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
    edit_of_tags
);

fn shape(rule: &ProtectionRule) -> Value {
    let (project, group) = match rule.owner {
        RuleOwner::Project(project) => (Some(project), None),
        RuleOwner::Group(group) => (None, Some(group)),
    };
    json!({
        "id": rule.id,
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

fn shape_of_tags(rule: &TagRule) -> Value {
    json!({
        "id": rule.id,
        "project_id": rule.project,
        "tag_name_pattern": rule.pattern,
        "minimum_access_level_for_push": rule.min_push,
        "minimum_access_level_for_delete": rule.min_delete,
        "immutable": rule.immutable,
        "created_at": rule.created_at.to_string(),
    })
}

/// Whose rules the path is about.
fn owner(ask: &Ask<'_, '_>) -> Result<RuleOwner, Failure> {
    match ask.place() {
        Place::Group(group) => Ok(RuleOwner::Group(group.id)),
        Place::Project(placed) => Ok(RuleOwner::Project(placed.project.id)),
        Place::None => Err(Failure::not_found("Project")),
    }
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let rules = ask.store().access.rules(owner(ask)?)?;
    page(
        ask,
        |window| Ok(Page::of(rules, window)),
        |rule| Ok(shape(rule)),
    )
}

fn list_of_tags(ask: &mut Ask<'_, '_>) -> Answer {
    let rules = ask.store().access.tag_rules(ask.project()?.project.id)?;
    page(
        ask,
        |window| Ok(Page::of(rules, window)),
        |rule| Ok(shape_of_tags(rule)),
    )
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let mut rule = ProtectionRule {
        id: RuleId(0),
        owner: owner(ask)?,
        pattern: String::new(),
        tag_pattern: None,
        min_push: None,
        min_delete: None,
        created_at: Timestamp(0),
    };
    if pattern(ask).is_none() {
        return Err(Failure::parameters("repository_path_pattern is missing"));
    }
    apply(ask, &mut rule)?;
    let access = &ask.store().access;
    let id = access.add_rule(&ask.actor(), &rule).map_err(taken)?;
    let made = access.rule(id)?;
    object(201, &shape(&made.ok_or_else(gone)?))
}

fn edit(ask: &mut Ask<'_, '_>) -> Answer {
    let id = RuleId(ask.number("rule_id")?);
    let of_place = owner(ask)?;
    let access = &ask.store().access;
    let mut rule = access
        .rule(id)?
        .filter(|rule| rule.owner == of_place)
        .ok_or_else(gone)?;
    apply(ask, &mut rule)?;
    access.set_rule(&ask.actor(), &rule).map_err(taken)?;
    object(200, &shape(&rule))
}

/// `repository_path_pattern`, by either name.
fn pattern<'a>(ask: &'a Ask<'_, '_>) -> Option<&'a str> {
    let fields = &ask.fields;
    fields
        .text("repository_path_pattern")
        .or(fields.text("container_path"))
}

/// Puts the fields into the rule.
fn apply(ask: &Ask<'_, '_>, rule: &mut ProtectionRule) -> Result<(), Failure> {
    let project = match ask.place() {
        Place::Project(placed) => Some(placed.project.path.clone()),
        _ => None,
    };
    if let Some(pattern) = pattern(ask) {
        check_pattern(pattern, project.as_deref())
            .map_err(unprocessable("repository_path_pattern"))?;
        pattern.clone_into(&mut rule.pattern);
    }
    match ask.fields.text("matching_package_version") {
        None => {}
        Some("") => rule.tag_pattern = None,
        Some(_) if project.is_none() => {
            return Err(Failure::invalid(
                "matching_package_version",
                "a group's rule is about whole images in the cache, not about single tags",
            ));
        }
        Some(pattern) => {
            check_tag_pattern(pattern).map_err(unprocessable("matching_package_version"))?;
            rule.tag_pattern = Some(pattern.to_owned());
        }
    }
    least(ask, "push", &mut rule.min_push);
    least(ask, "delete", &mut rule.min_delete);
    refuse_empty(rule.min_push.is_some() || rule.min_delete.is_some())
}

fn create_of_tags(ask: &mut Ask<'_, '_>) -> Answer {
    let mut rule = TagRule {
        id: RuleId(0),
        project: ask.project()?.project.id,
        pattern: String::new(),
        min_push: None,
        min_delete: None,
        immutable: false,
        created_at: Timestamp(0),
    };
    if !ask.fields.has("tag_name_pattern") {
        return Err(Failure::parameters("tag_name_pattern is missing"));
    }
    apply_to_tags(ask, &mut rule)?;
    let access = &ask.store().access;
    let id = access.add_tag_rule(&ask.actor(), &rule).map_err(taken)?;
    let made = access.tag_rule(id)?;
    object(201, &shape_of_tags(&made.ok_or_else(gone)?))
}

fn edit_of_tags(ask: &mut Ask<'_, '_>) -> Answer {
    let id = RuleId(ask.number("rule_id")?);
    let project = ask.project()?.project.id;
    let access = &ask.store().access;
    let mut rule = access
        .tag_rule(id)?
        .filter(|rule| rule.project == project)
        .ok_or_else(gone)?;
    apply_to_tags(ask, &mut rule)?;
    access.set_tag_rule(&ask.actor(), &rule).map_err(taken)?;
    object(200, &shape_of_tags(&rule))
}

fn apply_to_tags(ask: &Ask<'_, '_>, rule: &mut TagRule) -> Result<(), Failure> {
    if let Some(pattern) = ask.fields.text("tag_name_pattern") {
        check_tag_expression(pattern).map_err(unprocessable("tag_name_pattern"))?;
        pattern.clone_into(&mut rule.pattern);
    }
    least(ask, "push", &mut rule.min_push);
    least(ask, "delete", &mut rule.min_delete);
    rule.immutable = ask.fields.boolean("immutable").unwrap_or(rule.immutable);
    refuse_empty(rule.min_push.is_some() || rule.min_delete.is_some() || rule.immutable)
}

/// Both kinds: `/:rule_id` of the wrong kind is not there.
fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    let id = RuleId(ask.number("rule_id")?);
    let access = &ask.store().access;
    let of_place = owner(ask)?;
    let is_there = if ask.call.request.path.contains("/tag/rules") {
        let rule = access.tag_rule(id)?;
        rule.is_some_and(|rule| RuleOwner::Project(rule.project) == of_place)
    } else {
        access.rule(id)?.is_some_and(|rule| rule.owner == of_place)
    };
    if !is_there {
        return Err(gone());
    }
    access.remove_rule(&ask.actor(), id)?;
    nothing()
}

/// Puts who may push or delete into `minimum`, from the newer or the older field.
fn least(ask: &Ask<'_, '_>, what: &str, minimum: &mut Option<MinimumLevel>) {
    let newer = ask.fields.text(&format!("minimum_access_level_for_{what}"));
    let older = ask
        .fields
        .text(&format!("{what}_protected_up_to_access_level"));
    match (newer, older) {
        (Some(word), _) => *minimum = MinimumLevel::parse(word),
        (None, Some(word)) => *minimum = MinimumLevel::parse_protected_up_to(word),
        (None, None) => {}
    }
}

fn refuse_empty(protects: bool) -> Result<(), Failure> {
    if protects {
        return Ok(());
    }
    Err(Failure::parameters(
        "the rule would protect nothing: say who may push, or who may delete",
    ))
}

fn gone() -> Failure {
    Failure::not_found("Protection Rule")
}

/// GitLab's 422 for what the rules of rules refuse.
fn unprocessable(field: &'static str) -> impl Fn(Error) -> Failure {
    move |error| match error.kind() {
        Kind::BadRequest | Kind::Usage => Failure::message(422, format!("{field}: {error}")),
        _ => Failure::Of(error),
    }
}

fn taken(error: Error) -> Failure {
    match error.kind() {
        Kind::Conflict => Failure::message(422, "the pattern has already been taken"),
        Kind::BadRequest => Failure::message(422, error.to_string()),
        _ => Failure::Of(error),
    }
}
