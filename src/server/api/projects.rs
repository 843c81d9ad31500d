//! Projects, which lie in groups and own pushed images.

use serde_json::{Value, json};

use super::answer::{Answer, Failure, accepted, object, page};
use super::ask::Ask;
use super::groups::{QUOTA, conflict, filter, quota, visibility};
use super::parameters::{Parameter, Type, optional, required};
use super::repositories::may_go;
use super::table::{Endpoint, Role, Scope, Shape};
use crate::auth::administration::names;
use crate::auth::policy::administration;
use crate::error::Kind;
use crate::store::{Level, Project, ProjectChanges, SeenFilter, Visibility};

const VISIBILITY: Type = Type::OneOf(&["private", "public"]);

const FILTERS: [Parameter; 5] = [
    optional("search", Type::Text, "a part of the path"),
    optional("owned", Type::Boolean, "only those that the caller owns"),
    optional(
        "membership",
        Type::Boolean,
        "only those that the caller is a member of",
    ),
    optional(
        "min_access_level",
        Type::Level,
        "only where the caller has this level",
    ),
    optional("visibility", VISIBILITY, "only these"),
];

const FILTERS_OF_GROUP: &[Parameter] = &[
    FILTERS[0],
    FILTERS[1],
    FILTERS[2],
    FILTERS[3],
    FILTERS[4],
    optional(
        "include_subgroups",
        Type::Boolean,
        "also of the groups below",
    ),
];

/// `/projects`, and a group's.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/projects",
        scope: Scope::Read,
        role: Role::Anyone,
        parameters: &FILTERS,
        gives: (200, Shape::Page("Project")),
        summary: "The projects that the caller may see",
        handler: list,
    },
    Endpoint {
        method: "GET",
        path: "/groups/:id/projects",
        scope: Scope::Read,
        role: Role::Group(None),
        parameters: FILTERS_OF_GROUP,
        gives: (200, Shape::Page("Project")),
        summary: "The projects in a group that the caller may see",
        handler: list_of_group,
    },
    Endpoint {
        method: "GET",
        path: "/projects/:id",
        scope: Scope::Read,
        role: Role::Project(None),
        parameters: &[],
        gives: (200, Shape::One("Project")),
        summary: "One project",
        handler: get,
    },
    Endpoint {
        method: "POST",
        path: "/projects",
        scope: Scope::Write,
        role: Role::Anyone,
        parameters: &[
            optional("path", Type::Text, "the last part of its path"),
            optional("name", Type::Text, "the same, where path is not given"),
            required("namespace_id", Type::IdOrText, "the group to make it in"),
            optional("visibility", VISIBILITY, "private unless given"),
        ],
        gives: (201, Shape::One("Project")),
        summary: "Make a project; the group's maintainers may",
        handler: create,
    },
    Endpoint {
        method: "PUT",
        path: "/projects/:id",
        scope: Scope::Write,
        role: Role::Project(Some(Level::Maintainer)),
        parameters: &[
            optional("path", Type::Text, "cannot be changed"),
            optional("visibility", VISIBILITY, "who may know of it; for owners"),
            QUOTA,
        ],
        gives: (200, Shape::One("Project")),
        summary: "Change a project's settings",
        handler: edit,
    },
    Endpoint {
        method: "DELETE",
        path: "/projects/:id",
        scope: Scope::Write,
        role: Role::Project(Some(Level::Owner)),
        parameters: &[],
        gives: (202, Shape::One("Message")),
        summary: "Remove a project with its tokens and images, unless a rule keeps one of these from the caller",
        handler: remove,
    },
];

/// A project.
fn shape(project: &Project) -> Value {
    let (group, name) = project.path.rsplit_once('/').unwrap_or_default();
    let last = group.rsplit('/').next().unwrap_or_default();
    json!({
        "id": project.id,
        "name": name,
        "path": name,
        "name_with_namespace": project.path.replace('/', " / "),
        "path_with_namespace": project.path,
        "namespace": {
            "id": project.group,
            "name": last,
            "path": last,
            "kind": "group",
            "full_path": group,
        },
        "visibility": project.visibility.as_str(),
        "quota": project.quota,
        "created_at": project.created_at.to_string(),
    })
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    page_of(ask, filter(ask))
}

fn list_of_group(ask: &mut Ask<'_, '_>) -> Answer {
    let group = ask.group()?;
    let mut of_group = filter(ask);
    if ask.fields.boolean("include_subgroups") == Some(true) {
        of_group.below = Some(group.path.clone());
    } else {
        of_group.parent = Some(group.id);
    }
    page_of(ask, of_group)
}

/// A page of the projects that the caller may see.
fn page_of(ask: &Ask<'_, '_>, mut filter: SeenFilter) -> Answer {
    if ask.fields.boolean("membership") == Some(true) {
        filter.least = filter.least.max(Some(Level::Guest));
    }
    let viewer = administration::viewer(&ask.identity.principal);
    let access = &ask.store().access;
    page(
        ask,
        |window| access.seen_projects(&viewer, &filter, window),
        |project| Ok(shape(project)),
    )
}

fn get(ask: &mut Ask<'_, '_>) -> Answer {
    object(200, &shape(&ask.project()?.project))
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let fields = &ask.fields;
    let part = fields.text("path").or(fields.text("name"));
    let part = part.ok_or_else(|| {
        Failure::parameters("name, path are missing, at least one parameter must be provided")
    })?;
    let namespace = fields.text("namespace_id").unwrap_or_default();
    let (group, authority) = ask
        .find_group(namespace)
        .map_err(|failure| failure.about("Namespace"))?;
    if !authority.has(Level::Maintainer) {
        return Err(Failure::forbidden());
    }
    if part.contains('/') {
        let why = "is the last part alone: name the group by namespace_id";
        return Err(Failure::invalid("path", why));
    }
    let path = format!("{}/{part}", group.path);
    names::check_project_path(&path, ask.appliance.mirror().group)
        .map_err(Failure::refused("path"))?;
    let visibility = visibility(ask).unwrap_or(Visibility::Private);
    let access = &ask.store().access;
    let made = access.create_project(&ask.actor(), &path, visibility);
    let id = made.map_err(|error| match error.kind() {
        Kind::Conflict => conflict(ask, &path, &error),
        _ => Failure::Of(error),
    })?;
    let made = access.project(id)?;
    object(
        201,
        &shape(&made.ok_or_else(|| Failure::not_found("Project"))?),
    )
}

fn edit(ask: &mut Ask<'_, '_>) -> Answer {
    let project = ask.project()?.project.clone();
    let last = project.path.rsplit('/').next();
    if ask.fields.has("path") && ask.fields.text("path") != last {
        return Err(Failure::invalid("path", "cannot be changed"));
    }
    let changes = ProjectChanges {
        visibility: visibility(ask).filter(|&new| new != project.visibility),
        quota: quota(ask)?,
    };
    if changes.visibility.is_some() {
        ask.needs(Level::Owner)?;
    }
    if changes != ProjectChanges::default() {
        let access = &ask.store().access;
        let changed = access.set_project(&ask.actor(), project.id, &changes);
        changed.map_err(Failure::refused("visibility"))?;
    }
    let changed = ask.store().access.project(project.id)?;
    object(200, &shape(&changed.unwrap_or(project)))
}

fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    let project = ask.project()?.project.id;
    may_go(ask, project)?;
    ask.store().access.remove_project(&ask.actor(), project)?;
    accepted()
}
