//! Groups, which nest by path, with their settings.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Failure, accepted, object, page};
use super::ask::Ask;
use super::parameters::{Parameter, Type, optional, required};
use super::repositories::may_go;
use super::table::{Endpoint, Role, Scope, Shape};
use crate::auth::administration::{names, places};
use crate::auth::policy::administration;
use crate::error::{Error, Kind};
use crate::oci::RegistryHost;
use crate::store::{Group, GroupChanges, GroupId, Level, OnReadOnlyMiss, SeenFilter, Visibility};

const FILTERS: &[Parameter] = &[
    optional("search", Type::Text, "a part of the path"),
    optional("owned", Type::Boolean, "only those that the caller owns"),
    optional(
        "min_access_level",
        Type::Level,
        "only where the caller has this level",
    ),
    optional(
        "top_level_only",
        Type::Boolean,
        "only those that lie in no other",
    ),
    optional("visibility", VISIBILITY, "only these"),
];

const VISIBILITY: Type = Type::OneOf(&["private", "public"]);

/// `/groups`.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/groups",
        scope: Scope::Read,
        role: Role::Anyone,
        parameters: FILTERS,
        gives: (200, Shape::Page("Group")),
        summary: "The groups that the caller may see",
        handler: list,
    },
    Endpoint {
        method: "GET",
        path: "/groups/:id",
        scope: Scope::Read,
        role: Role::Group(None),
        parameters: &[],
        gives: (200, Shape::One("Group")),
        summary: "One group",
        handler: get,
    },
    Endpoint {
        method: "GET",
        path: "/groups/:id/subgroups",
        scope: Scope::Read,
        role: Role::Group(None),
        parameters: FILTERS,
        gives: (200, Shape::Page("Group")),
        summary: "The groups that lie in this one",
        handler: subgroups,
    },
    Endpoint {
        method: "GET",
        path: "/groups/:id/descendant_groups",
        scope: Scope::Read,
        role: Role::Group(None),
        parameters: FILTERS,
        gives: (200, Shape::Page("Group")),
        summary: "The groups that lie in this one, however deep",
        handler: descendants,
    },
    Endpoint {
        method: "POST",
        path: "/groups",
        scope: Scope::Write,
        role: Role::Anyone,
        parameters: &[
            required("path", Type::Text, "the last part of its path"),
            optional(
                "parent_id",
                Type::Integer,
                "the group to make it in; none: at the top, for administrators",
            ),
            optional("visibility", VISIBILITY, "private unless given"),
            optional(
                "dependency_proxy_enabled",
                Type::Boolean,
                "off: its dependency proxy answers 404",
            ),
            optional(
                "on_read_only_miss",
                MISS,
                "what who may not fill gets of what is not kept",
            ),
        ],
        gives: (201, Shape::One("Group")),
        summary: "Make a group; in another one its owners may",
        handler: create,
    },
    Endpoint {
        method: "PUT",
        path: "/groups/:id",
        scope: Scope::Write,
        role: Role::Group(Some(Level::Owner)),
        parameters: &[
            optional("path", Type::Text, "cannot be changed"),
            optional("visibility", VISIBILITY, "who may know of it"),
            optional(
                "dependency_proxy_enabled",
                Type::Boolean,
                "off: its dependency proxy answers 404",
            ),
            optional(
                "on_read_only_miss",
                MISS,
                "what who may not fill gets of what is not kept",
            ),
            QUOTA,
            optional(
                "default_upstream",
                Type::Text,
                "of paths that name none; empty: as above it",
            ),
        ],
        gives: (200, Shape::One("Group")),
        summary: "Change a group's settings",
        handler: edit,
    },
    Endpoint {
        method: "DELETE",
        path: "/groups/:id",
        scope: Scope::Write,
        role: Role::Group(Some(Level::Owner)),
        parameters: &[],
        gives: (202, Shape::One("Message")),
        summary: "Remove a group with everything below it, unless a rule keeps an image there from the caller",
        handler: remove,
    },
];

const MISS: Type = Type::OneOf(&["pass_through", "deny"]);

/// A group.
pub(super) fn shape(group: &Group) -> Value {
    let last = group.path.rsplit('/').next().unwrap_or_default();
    json!({
        "id": group.id,
        "name": last,
        "path": last,
        "full_name": group.path.replace('/', " / "),
        "full_path": group.path,
        "parent_id": group.parent,
        "visibility": group.visibility.as_str(),
        "dependency_proxy_enabled": group.dependency_proxy_enabled,
        "on_read_only_miss": group.on_read_only_miss.as_str(),
        "default_upstream": group.default_upstream,
        "quota": group.quota,
        "created_at": group.created_at.to_string(),
    })
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    page_of(ask, filter(ask))
}

fn subgroups(ask: &mut Ask<'_, '_>) -> Answer {
    let parent = Some(ask.group()?.id);
    page_of(
        ask,
        SeenFilter {
            parent,
            ..filter(ask)
        },
    )
}

fn descendants(ask: &mut Ask<'_, '_>) -> Answer {
    let below = Some(ask.group()?.path.clone());
    page_of(
        ask,
        SeenFilter {
            below,
            ..filter(ask)
        },
    )
}

/// A page of the groups that the caller may see.
fn page_of(ask: &Ask<'_, '_>, filter: SeenFilter) -> Answer {
    let filter = SeenFilter {
        top_level: ask.fields.boolean("top_level_only") == Some(true),
        ..filter
    };
    let viewer = administration::viewer(&ask.identity.principal);
    let access = &ask.store().access;
    page(
        ask,
        |window| access.seen_groups(&viewer, &filter, window),
        |group| Ok(shape(group)),
    )
}

/// What the fields of a list of groups or projects ask for.
pub(super) fn filter(ask: &Ask<'_, '_>) -> SeenFilter {
    let fields = &ask.fields;
    let owned = fields.boolean("owned") == Some(true);
    SeenFilter {
        search: fields.text("search").map(str::to_lowercase),
        visibility: visibility(ask),
        least: fields
            .level("min_access_level")
            .max(owned.then_some(Level::Owner)),
        ..SeenFilter::default()
    }
}

fn get(ask: &mut Ask<'_, '_>) -> Answer {
    object(200, &shape(&*ask.group()?))
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let part = ask.fields.text("path").unwrap_or_default().to_owned();
    let path = match ask.fields.integer("parent_id") {
        None if !ask.is_administrator() => return Err(Failure::forbidden()),
        None => part.clone(),
        Some(id) => {
            let (parent, authority) = ask.find_group(&id.to_string())?;
            if !authority.has(Level::Owner) {
                return Err(Failure::forbidden());
            }
            format!("{}/{part}", parent.path)
        }
    };
    if part.contains('/') {
        let why = "is the last part alone: name the group above by parent_id";
        return Err(Failure::invalid("path", why));
    }
    let refused = Failure::refused("path");
    let mirror = ask.appliance.mirror();
    names::check_group_path(&path, mirror.group).map_err(&refused)?;
    places::check_new_group(ask.store(), mirror, &path).map_err(&refused)?;
    let changes = changes(ask, None)?;
    let visibility = changes.visibility.unwrap_or(Visibility::Private);
    let access = &ask.store().access;
    let id = access
        .create_group(&ask.actor(), &path, visibility)
        .map_err(|error| match error.kind() {
            Kind::Conflict => conflict(ask, &path, &error),
            _ => Failure::Of(error),
        })?;
    if changes != GroupChanges::default() {
        access.set_group(&ask.actor(), id, &changes)?;
    }
    object(201, &shape(&*by_id(ask, id)?))
}

fn edit(ask: &mut Ask<'_, '_>) -> Answer {
    let group = ask.group()?;
    let last = group.path.rsplit('/').next();
    if ask.fields.has("path") && ask.fields.text("path") != last {
        return Err(Failure::invalid("path", "cannot be changed"));
    }
    let changes = changes(ask, Some(&group))?;
    ask.store()
        .access
        .set_group(&ask.actor(), group.id, &changes)?;
    object(200, &shape(&*by_id(ask, group.id)?))
}

/// Why a group or project of this path cannot be made: there is one, or its visibility clashes with what is
/// above it.
pub(super) fn conflict(ask: &Ask<'_, '_>, path: &str, error: &Error) -> Failure {
    let access = &ask.store().access;
    let is_taken = matches!(access.group_by_path(path), Ok(Some(_)))
        || matches!(access.project_by_path(path), Ok(Some(_)));
    if is_taken {
        Failure::invalid("path", "has already been taken")
    } else {
        Failure::invalid("visibility", error.to_string())
    }
}

/// What the fields change. A new group has no upstreams of its own yet.
fn changes(ask: &Ask<'_, '_>, group: Option<&Group>) -> Result<GroupChanges, Failure> {
    let fields = &ask.fields;
    let mut changes = GroupChanges {
        visibility: visibility(ask),
        dependency_proxy_enabled: fields.boolean("dependency_proxy_enabled"),
        on_read_only_miss: match fields.text("on_read_only_miss") {
            Some("deny") => Some(OnReadOnlyMiss::Deny),
            Some(_) => Some(OnReadOnlyMiss::PassThrough),
            None => None,
        },
        default_upstream: None,
        quota: quota(ask)?,
    };
    match (fields.text("default_upstream"), group) {
        (Some(""), _) => changes.default_upstream = Some(None),
        (Some(host), Some(group)) => {
            let refused = Failure::refused("default_upstream");
            let host = RegistryHost::parse(host).map_err(&refused)?;
            let is_configured = ask.appliance.has_configured_upstream(&host);
            places::check_default_upstream(ask.store(), is_configured, group, &host).map_err(
                |error| match error.kind() {
                    Kind::NotFound => Failure::invalid("default_upstream", error.to_string()),
                    _ => Failure::Of(error),
                },
            )?;
            changes.default_upstream = Some(Some(host));
        }
        _ => {}
    }
    Ok(changes)
}

/// The field `visibility`.
pub(super) fn visibility(ask: &Ask<'_, '_>) -> Option<Visibility> {
    match ask.fields.text("visibility") {
        Some("public") => Some(Visibility::Public),
        Some(_) => Some(Visibility::Private),
        None => None,
    }
}

/// The field `quota`: bytes, and 0 for none. Whom a quota bounds does not set it.
pub(super) fn quota(ask: &Ask<'_, '_>) -> Result<Option<Option<u64>>, Failure> {
    let Some(bytes) = ask.fields.integer("quota") else {
        return Ok(None);
    };
    if !ask.is_administrator() {
        return Err(Failure::forbidden_because("quotas are for administrators"));
    }
    let bytes = u64::try_from(bytes)
        .map_err(|_| Failure::parameters("quota does not have a valid value"))?;
    Ok(Some(Some(bytes).filter(|&bytes| bytes > 0)))
}

/// How much may be pushed.
pub(super) const QUOTA: Parameter = optional(
    "quota",
    Type::Integer,
    "bytes that may be pushed, here and below; 0: no limit of its own; for administrators",
);

fn by_id(ask: &Ask<'_, '_>, id: GroupId) -> Result<Arc<Group>, Failure> {
    let group = ask.appliance.authenticator.group_by_id(id)?;
    group.ok_or_else(|| Failure::not_found("Group"))
}

fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    let group = ask.group()?;
    places::check_group_removal(ask.appliance.mirror(), &group.path)
        .map_err(|error| Failure::forbidden_because(error.what()))?;
    for project in ask.store().access.projects_below(&group.path)? {
        may_go(ask, project)?;
    }
    ask.store().access.remove_group(&ask.actor(), group.id)?;
    accepted()
}
