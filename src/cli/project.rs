//! `breakwater project`: projects, which lie in groups and own pushed images.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Table, print, print_json};
use super::removal::tell_images;
use super::words::{QUOTA_VALUES, Visibility, nearest, parse_quota, visibility_word};
use super::workplace::{Workplace, find_project};
use crate::auth::administration::names;
use crate::error::{Error, Kind, Result};
use crate::store::{self, ProjectChanges, Store};

/// What `project set` can set.
const KEYS: [&str; 2] = ["visibility", "quota"];

/// Make, list, change and remove projects
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater project add acme/api
  breakwater project add acme/backend/web --visibility public")]
pub(super) struct Project {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a project; the group that it lies in must exist
    #[command(after_help = "Example:\n  breakwater project add acme/api --visibility private")]
    Add {
        /// A group's path and a name, such as acme/api
        path: String,
        /// Who may know that it exists: members, or everybody who is logged in
        #[arg(long, value_enum, default_value = "private")]
        visibility: Visibility,
    },
    /// List all projects
    #[command(after_help = "Example:\n  breakwater project list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a project's settings
    ///
    /// visibility=private|public
    /// quota=SIZE: of what is pushed to it; nothing behind the = takes it away
    #[command(
        verbatim_doc_comment,
        after_help = "Example:\n  breakwater project set acme/api visibility=public quota=50GiB"
    )]
    Set {
        /// The project
        path: String,
        /// What to change
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Remove a project with its tokens and rules; nobody can reach its images any more, protected ones included
    #[command(after_help = "\
Examples:
  breakwater project remove acme/api --dry-run
  breakwater project remove acme/api")]
    Remove {
        /// The project
        path: String,
        /// Remove nothing, only show what would go
        #[arg(long)]
        dry_run: bool,
    },
}

impl Project {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add { path, visibility } => {
                let group = names::check_project_path(&path, &place.config.mirror.group)?;
                let store = place.open_store()?;
                if store.access.group_by_path(group)?.is_none() {
                    let what = format!("there is no group `{group}` to make `{path}` in");
                    return Err(Error::new(Kind::NotFound, what)
                        .remedy(format!("make it with `breakwater group add {group}`")));
                }
                store
                    .access
                    .create_project(&place.actor, &path, visibility.into())?;
                print(&format!("added project {path}"))?;
            }
            Action::List { json } => list(&place.open_store()?, json)?,
            Action::Set { path, settings } => {
                let changes = parse_changes(&settings)?;
                let store = place.open_store()?;
                let project = find_project(&store, &path)?;
                store
                    .access
                    .set_project(&place.actor, project.id, &changes)?;
                print(&format!("changed project {path}"))?;
            }
            Action::Remove { path, dry_run } => {
                let store = place.open_store()?;
                let project = find_project(&store, &path)?;
                tell_images(&store, std::slice::from_ref(&project))?;
                if dry_run {
                    print(&format!("would remove project {path}, with its tokens"))?;
                    return Ok(Outcome::Done);
                }
                store.access.remove_project(&place.actor, project.id)?;
                print(&format!("removed project {path}, with its tokens"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(store: &Store, json: bool) -> Result<()> {
    let projects = store.access.projects()?;
    if json {
        return print_json(&projects.iter().map(shape).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["ID", "PATH", "VISIBILITY", "CREATED"]);
    for project in projects {
        table.row([
            project.id.0.to_string(),
            project.path,
            visibility_word(project.visibility).to_owned(),
            project.created_at.to_string(),
        ]);
    }
    table.print()
}

/// The field names of `/api/v4/projects`.
fn shape(project: &store::Project) -> Value {
    let (group, name) = project.path.rsplit_once('/').unwrap_or_default();
    json!({
        "id": project.id,
        "name": name,
        "path": name,
        "path_with_namespace": project.path,
        "namespace": { "id": project.group, "full_path": group, "kind": "group" },
        "visibility": visibility_word(project.visibility),
        "quota": project.quota,
        "created_at": project.created_at.to_string(),
    })
}

/// What `project set` was asked to change; the last word on a setting counts.
fn parse_changes(settings: &[String]) -> Result<ProjectChanges> {
    let wrong = |what: String, remedy: String| Error::new(Kind::Usage, what).remedy(remedy);
    let mut changes = ProjectChanges::default();
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            let remedy = "write KEY=VALUE, such as visibility=public".to_owned();
            return Err(wrong(format!("`{setting}` is no setting"), remedy));
        };
        let bad_value = |words: &str| {
            wrong(
                format!("`{value}` is no value of `{key}`"),
                format!("use {words}"),
            )
        };
        match (key, value) {
            ("visibility", "private") => changes.visibility = Some(store::Visibility::Private),
            ("visibility", "public") => changes.visibility = Some(store::Visibility::Public),
            ("visibility", _) => return Err(bad_value("private or public")),
            ("quota", size) => {
                changes.quota = Some(parse_quota(size).ok_or_else(|| bad_value(QUOTA_VALUES))?);
            }
            (unknown, _) => {
                let what = format!("a project has no setting `{unknown}`");
                let nearest = nearest(unknown, KEYS);
                return Err(wrong(what, format!("did you mean `{nearest}`?")));
            }
        }
    }
    Ok(changes)
}
