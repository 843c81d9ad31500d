//! Container repositories: what was pushed here, with tags. Who may see and delete is the policy of hosted
//! repositories, protection rules included, as in the registry protocol.

use std::cell::Cell;

use serde_json::{Value, json};

use super::super::fields::put;
use super::answer::{Answer, Failure, accepted, object, page};
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional};
use super::table::{Endpoint, Role, Scope, Shape};
use crate::auth::policy::{self, Refusal, RepositoryGrant, Wanted};
use crate::error::Kind;
use crate::oci::{RepositoryName, Tag};
use crate::store::{HostedTag, ProjectId, RepositoryRow, Window};

/// The most tags that one answer about repositories gives, of all these together: the rest is to be had page by page.
const TAGS_IN_ANSWER: u64 = 10_000;

const WITH_TAGS: &[Parameter] = &[
    optional(
        "tags",
        Type::Boolean,
        "with the tags, where the caller may pull; at most 10,000 in one answer",
    ),
    optional(
        "tags_count",
        Type::Boolean,
        "with their number, where the caller may pull",
    ),
];

/// `/projects/:id/registry/repositories`, a group's, and one by its id alone.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/projects/:id/registry/repositories",
        scope: Scope::ReadOrJob,
        role: Role::Project(None),
        parameters: WITH_TAGS,
        gives: (200, Shape::Page("Repository")),
        summary: "The repositories of a project that something was pushed to",
        handler: list,
    },
    Endpoint {
        method: "GET",
        path: "/groups/:id/registry/repositories",
        scope: Scope::Read,
        role: Role::Group(None),
        parameters: WITH_TAGS,
        gives: (200, Shape::Page("Repository")),
        summary: "The repositories of the projects in a group that the caller may see",
        handler: list,
    },
    Endpoint {
        method: "GET",
        path: "/registry/repositories/:id",
        scope: Scope::ReadOrJob,
        role: Role::Anyone,
        parameters: WITH_TAGS,
        gives: (200, Shape::One("Repository")),
        summary: "One repository",
        handler: get,
    },
    Endpoint {
        method: "DELETE",
        path: "/projects/:id/registry/repositories/:repository_id",
        scope: Scope::WriteOrJob,
        role: Role::Project(None),
        parameters: &[],
        gives: (202, Shape::One("Message")),
        summary: "Delete a repository: all of its images, or none where one is protected",
        handler: delete,
    },
    Endpoint {
        method: "GET",
        path: "/projects/:id/registry/repositories/:repository_id/tags",
        scope: Scope::ReadOrJob,
        role: Role::Project(None),
        parameters: &[],
        gives: (200, Shape::Page("RepositoryTag")),
        summary: "A repository's tags",
        handler: tags,
    },
    Endpoint {
        method: "GET",
        path: "/projects/:id/registry/repositories/:repository_id/tags/:tag_name",
        scope: Scope::ReadOrJob,
        role: Role::Project(None),
        parameters: &[],
        gives: (200, Shape::One("RepositoryTagDetails")),
        summary: "One tag",
        handler: tag,
    },
    Endpoint {
        method: "DELETE",
        path: "/projects/:id/registry/repositories/:repository_id/tags/:tag_name",
        scope: Scope::WriteOrJob,
        role: Role::Project(None),
        parameters: &[],
        gives: (200, Shape::One("Message")),
        summary: "Delete one tag; what it points to stays until it is collected",
        handler: delete_tag,
    },
];

/// The address without the scheme, as docker writes it.
fn location(ask: &Ask<'_, '_>, path: &str) -> String {
    let url = ask.call.external_url(ask.appliance);
    let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
    format!("{host}/{path}")
}

/// A repository with at most as many tags as are `left` of an answer's.
fn shape(ask: &Ask<'_, '_>, row: &RepositoryRow, left: &Cell<u64>) -> Result<Value, Failure> {
    let project = ask.store().access.project(row.project)?;
    let project = project.map(|project| project.path).unwrap_or_default();
    let name = row.path.strip_prefix(&project).unwrap_or_default();
    let mut shape = json!({
        "id": row.id,
        "name": name.trim_start_matches('/'),
        "path": row.path,
        "project_id": row.project,
        "location": location(ask, &row.path),
        "created_at": row.created_at.to_string(),
    });
    let wants = |field| ask.fields.boolean(field) == Some(true);
    // Who may know of the repository may not always read from it.
    if (wants("tags") || wants("tags_count")) && judge(ask, row, Wanted::Pull)?.is_ok() {
        put(&mut shape, "tags_count", json!(row.tag_count));
        if wants("tags") {
            let window = Window {
                offset: 0,
                count: left.get(),
            };
            let tags = ask.store().registry.tag_names(row.id, window)?.entries;
            left.set(left.get().saturating_sub(tags.len() as u64));
            let tags: Vec<_> = tags.iter().map(|tag| shape_of_tag(ask, row, tag)).collect();
            put(&mut shape, "tags", json!(tags));
        }
    }
    Ok(shape)
}

fn shape_of_tag(ask: &Ask<'_, '_>, row: &RepositoryRow, tag: &str) -> Value {
    let path = format!("{}:{tag}", row.path);
    json!({ "name": tag, "path": path, "location": location(ask, &path) })
}

/// Judges by the policy that the registry protocol has, which goes by the path. Where another project has the
/// path by now, what the former one left behind is not there.
fn judge(
    ask: &Ask<'_, '_>,
    row: &RepositoryRow,
    wanted: Wanted,
) -> Result<Result<RepositoryGrant, Refusal>, Failure> {
    let name = RepositoryName::parse(&row.path)?;
    let judged = ask
        .appliance
        .authorize_repository(&ask.identity, &name, wanted)?;
    Ok(judged.and_then(|grant| {
        if grant.project() == row.project {
            Ok(grant)
        } else {
            Err(Refusal::Unknown)
        }
    }))
}

/// The grant for a repository.
fn grant(
    ask: &Ask<'_, '_>,
    row: &RepositoryRow,
    wanted: Wanted,
) -> Result<RepositoryGrant, Failure> {
    judge(ask, row, wanted)?.map_err(|refusal| failure(row, refusal))
}

fn failure(row: &RepositoryRow, refusal: Refusal) -> Failure {
    match refusal.error(&row.path) {
        error if error.kind() == Kind::NameUnknown => Failure::not_found("Repository"),
        error => Failure::Of(error),
    }
}

fn list(ask: &mut Ask<'_, '_>) -> Answer {
    let projects: Vec<ProjectId> = match ask.place() {
        Place::Project(placed) => {
            let project = placed.project.id;
            let is_listed = ask.appliance.lists_project(&ask.identity, project)?;
            is_listed.then_some(project).into_iter().collect()
        }
        Place::Group(group) => {
            let viewer = policy::listed_projects(&ask.identity);
            ask.store()
                .access
                .seen_projects_below(&viewer, &group.path)?
        }
        Place::None => Vec::new(),
    };
    let (registry, tags) = (&ask.store().registry, Cell::new(TAGS_IN_ANSWER));
    page(
        ask,
        |window| registry.rows_of(&projects, window),
        |row| shape(ask, row, &tags),
    )
}

fn get(ask: &mut Ask<'_, '_>) -> Answer {
    let row = ask.store().registry.row(ask.number("id")?)?;
    let row = row.ok_or_else(|| Failure::not_found("Repository"))?;
    grant(ask, &row, Wanted::Pull)?;
    object(200, &shape(ask, &row, &Cell::new(TAGS_IN_ANSWER))?)
}

/// The repository of the path, which must be the project's.
fn find(ask: &Ask<'_, '_>) -> Result<RepositoryRow, Failure> {
    let project = ask.project()?.project.id;
    let row = ask.store().registry.row(ask.number("repository_id")?)?;
    row.filter(|row| row.project == project)
        .ok_or_else(|| Failure::not_found("Repository"))
}

fn delete(ask: &mut Ask<'_, '_>) -> Answer {
    let row = find(ask)?;
    let grant = grant(ask, &row, Wanted::Delete)?;
    let registry = &ask.appliance.registry;
    match registry.delete_repository(&grant, ask.call.now) {
        // Somebody else was first.
        Err(error) if error.kind() == Kind::NameUnknown => Err(Failure::not_found("Repository")),
        deleted => {
            deleted?;
            accepted()
        }
    }
}

fn tags(ask: &mut Ask<'_, '_>) -> Answer {
    let row = find(ask)?;
    grant(ask, &row, Wanted::Pull)?;
    let registry = &ask.store().registry;
    page(
        ask,
        |window| registry.tag_names(row.id, window),
        |tag| Ok(shape_of_tag(ask, &row, tag)),
    )
}

/// The tag of the path.
fn find_tag(ask: &Ask<'_, '_>, row: &RepositoryRow) -> Result<HostedTag, Failure> {
    let found = match Tag::parse(ask.capture("tag_name")) {
        Ok(name) => ask.store().registry.tag(row.id, &name)?,
        Err(_) => None,
    };
    found.ok_or_else(|| Failure::not_found("Tag"))
}

fn tag(ask: &mut Ask<'_, '_>) -> Answer {
    let row = find(ask)?;
    grant(ask, &row, Wanted::Pull)?;
    let tag = find_tag(ask, &row)?;
    let mut shape = shape_of_tag(ask, &row, tag.name.as_str());
    put(&mut shape, "digest", json!(tag.digest.as_str()));
    put(&mut shape, "total_size", json!(tag.total_size));
    put(&mut shape, "created_at", json!(tag.created_at.to_string()));
    object(200, &shape)
}

fn delete_tag(ask: &mut Ask<'_, '_>) -> Answer {
    let row = find(ask)?;
    let grant = grant(ask, &row, Wanted::Delete)?;
    let tag = find_tag(ask, &row)?.name;
    ask.appliance.registry.delete_tag(&grant, &tag)?;
    object(200, &json!({ "message": "200 OK" }))
}
