//! Container repositories: what was pushed here. Who may see and delete is the policy of hosted
//! repositories, protection rules included, as in the registry protocol.

use std::cell::Cell;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{Answer, Failure, Message, accepted, object, page};
use super::ask::{Ask, Place};
use super::table::{Endpoint, Nothing, Role, Scope, Shape, Table};
use super::tags::TagView;
use crate::admin::RemoveImages;
use crate::auth::policy::{self, Hidden, Refusal, RepositoryGrant, Wanted};
use crate::error::Kind;
use crate::oci::RepositoryName;
use crate::server::authorize::Verdict;
use crate::server::events::Removed;
use crate::store::{ProjectId, RepositoryRow, SeenFilter, Window};
use crate::time::Timestamp;

/// How many tags one answer lists at most, of all its repositories together. The list of tags has the others.
const TAGS_IN_ANSWER: u64 = 10_000;

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
struct WithTags {
    /// with the tags, where the caller may pull; at most 10,000 in one answer
    #[serde(default)]
    tags: bool,
    /// with their number, where the caller may pull
    #[serde(default)]
    tags_count: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Repository")]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct RepositoryView {
    pub(in crate::server) id: i64,
    /// Below the project; empty for the project's own path
    name: String,
    pub(in crate::server) path: String,
    pub(in crate::server) project_id: ProjectId,
    pub(in crate::server) location: String,
    pub(in crate::server) created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub(in crate::server) tags_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<TagView>")]
    tags: Option<Vec<TagView>>,
}

/// All repositories, as far as the caller may see them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Search {
    /// A part of the path
    #[serde(default)]
    search: String,
    /// with the tags, where the caller may pull; at most 10,000 in one answer
    #[serde(default)]
    tags: bool,
    /// with their number, where the caller may pull
    #[serde(default)]
    tags_count: bool,
}

pub(super) fn endpoints(table: &mut Table) {
    let page = Shape::Page(table.view::<RepositoryView>());
    let summary = "All repositories that something was pushed to and that the caller may see";
    let path = "GET /registry/repositories";
    table.row::<Search>(path, Role::Anyone, summary, page, list_all);
    let path = "GET /projects/:id/registry/repositories";
    let summary = "The repositories of a project that something was pushed to";
    for_jobs(table.row::<WithTags>(path, Role::Project(None), summary, page, list));
    let path = "GET /groups/:id/registry/repositories";
    let summary = "The repositories of the projects in a group that the caller may see";
    table.row::<WithTags>(path, Role::Group(None), summary, page, list);
    let (path, one) = (
        "GET /registry/repositories/:id",
        Shape::One(table.view::<RepositoryView>()),
    );
    for_jobs(table.row::<WithTags>(path, Role::Anyone, "One repository", one, get));

    let summary = "Remove a pushed image, one of its tags, or a whole repository, also what rules protect; or say what would go";
    table.one::<RemoveImages>("DELETE /registry/images", Role::Administrator, summary);

    let message = Shape::One(table.view::<Message>());
    let summary = "Delete a repository: all of its images, or none where one is protected";
    of_one(table, "DELETE", "", summary, message, delete)
        .gives
        .0 = 202;
}

/// A row about one repository of a project; `rest` is the path below it.
pub(super) fn of_one<'t>(
    table: &'t mut Table,
    method: &str,
    rest: &str,
    summary: &str,
    shape: Shape,
    handler: fn(&mut Ask<'_, '_>) -> Answer,
) -> &'t mut Endpoint {
    let path = format!("{method} /projects/:id/registry/repositories/:repository_id{rest}");
    for_jobs(table.row::<Nothing>(&path, Role::Project(None), summary, shape, handler))
}

/// Job tokens may do it too.
fn for_jobs(row: &mut Endpoint) -> &mut Endpoint {
    row.scope = match row.scope {
        Scope::Read => Scope::ReadOrJob,
        _ => Scope::WriteOrJob,
    };
    row
}

/// The address without the scheme, as docker writes it.
pub(super) fn location(ask: &Ask<'_, '_>, path: &str) -> String {
    format!("{}/{path}", ask.call.external_host(ask.appliance))
}

/// A repository with at most as many tags as are `left` of an answer's.
fn view(
    ask: &Ask<'_, '_>,
    row: &RepositoryRow,
    with: WithTags,
    left: &Cell<u64>,
) -> Result<RepositoryView, Failure> {
    let project = ask.store().access.project(row.project)?;
    let project = project.map(|project| project.path).unwrap_or_default();
    let name = row.path.strip_prefix(&project).unwrap_or_default();
    // Not everybody who may know of the repository may pull from it.
    let is_read = (with.tags || with.tags_count) && judge(ask, row, Wanted::Pull)?.is_granted();
    let tags = match is_read && with.tags {
        true => Some(first_tags(ask, row, left)?),
        false => None,
    };
    Ok(RepositoryView {
        id: row.id,
        name: name.trim_start_matches('/').to_owned(),
        path: row.path.clone(),
        project_id: row.project,
        location: location(ask, &row.path),
        created_at: row.created_at,
        tags_count: is_read.then_some(row.tag_count),
        tags,
    })
}

fn first_tags(
    ask: &Ask<'_, '_>,
    row: &RepositoryRow,
    left: &Cell<u64>,
) -> Result<Vec<TagView>, Failure> {
    let window = Window {
        offset: 0,
        count: left.get(),
    };
    let tags = ask.store().registry.tag_names(row.id, window)?.entries;
    left.set(left.get().saturating_sub(tags.len() as u64));
    Ok(tags.iter().map(|tag| TagView::new(ask, row, tag)).collect())
}

/// Judges by the policy of the registry protocol, which goes by the path. A repository that another project left behind
/// under a path that belongs to this one now counts as missing.
fn judge(
    ask: &Ask<'_, '_>,
    row: &RepositoryRow,
    wanted: Wanted,
) -> Result<Verdict<RepositoryGrant>, Failure> {
    let name = RepositoryName::parse(&row.path)?;
    let appliance = ask.appliance;
    let verdict = appliance.authorize_repository(&ask.identity, &name, wanted)?;
    Ok(match verdict {
        Verdict::Granted(grant) if grant.project() != row.project => {
            Verdict::Refused(Refusal::Unknown(Hidden::NoProject))
        }
        verdict => verdict,
    })
}

pub(super) fn grant(
    ask: &Ask<'_, '_>,
    row: &RepositoryRow,
    wanted: Wanted,
) -> Result<RepositoryGrant, Failure> {
    let granted = judge(ask, row, wanted)?.or_error(&row.path);
    granted.map_err(|error| match error.kind() {
        Kind::NameUnknown => Failure::not_found("Repository"),
        _ => Failure::Of(error),
    })
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
    let with: WithTags = ask.fields()?;
    page(
        ask,
        |window| registry.rows_of(&projects, window),
        |row| view(ask, &row, with, &tags),
    )
}

fn list_all(ask: &mut Ask<'_, '_>) -> Answer {
    let viewer = policy::listed_projects(&ask.identity);
    let access = &ask.store().access;
    let projects = access.seen_project_ids(&viewer, &SeenFilter::default())?;
    let (registry, tags) = (&ask.store().registry, Cell::new(TAGS_IN_ANSWER));
    let wanted: Search = ask.fields()?;
    let with = WithTags {
        tags: wanted.tags,
        tags_count: wanted.tags_count,
    };
    page(
        ask,
        |window| registry.rows_matching(&projects, &wanted.search, window),
        |row| view(ask, &row, with, &tags),
    )
}

fn get(ask: &mut Ask<'_, '_>) -> Answer {
    let row = ask.store().registry.row(ask.number("id")?)?;
    let row = row.ok_or_else(|| Failure::not_found("Repository"))?;
    grant(ask, &row, Wanted::Pull)?;
    let view = view(ask, &row, ask.fields()?, &Cell::new(TAGS_IN_ANSWER))?;
    object(200, &json!(view))
}

/// The repository of the path, which must be the project's.
pub(super) fn find(ask: &Ask<'_, '_>) -> Result<RepositoryRow, Failure> {
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
        // Somebody else has deleted it meanwhile.
        Err(error) if error.kind() == Kind::NameUnknown => Err(Failure::not_found("Repository")),
        deleted => {
            deleted?;
            ask.appliance
                .record_removal(ask.call, &ask.identity, &grant, &Removed::All);
            accepted()
        }
    }
}
