//! `breakwater project`: projects, which lie in groups and own pushed images.

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, print, print_json};
use super::removal::tell_images;
use super::words::{QUOTA_VALUES, nearest, parse_quota};
use super::workplace::Workplace;
use crate::admin::{
    AddProject, ListProjects, Named, NamedPlace, ProjectSettings, RemoveProject, SetProject, one_of,
};
use crate::auth::administration::names;
use crate::error::{Error, Kind, Result};
use crate::store::{ProjectId, Visibility};

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
        #[arg(long, value_parser = one_of::<Visibility>(), default_value = "private")]
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
                let mirror = &place.config.mirror.group;
                let group = names::check_project_path(&path, mirror)?;
                let last = path.rsplit('/').next().map(str::to_owned);
                place.perform(AddProject {
                    path: last,
                    name: None,
                    namespace_id: group.to_owned().into(),
                    visibility: Some(visibility),
                })?;
                print(&format!("added project {path}"))?;
            }
            Action::List { json } => list(place, json)?,
            Action::Set { path, settings } => {
                place.perform(SetProject {
                    project: path.clone().into(),
                    path: None,
                    settings: parse_settings(&settings)?,
                })?;
                print(&format!("changed project {path}"))?;
            }
            Action::Remove { path, dry_run } => {
                let project: Named<ProjectId> = path.clone().into();
                tell_images(place, NamedPlace::Project(project.clone()))?;
                if dry_run {
                    print(&format!("would remove project {path}, with its tokens"))?;
                    return Ok(Outcome::Done);
                }
                place.perform(RemoveProject { project })?;
                print(&format!("removed project {path}, with its tokens"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let projects = place.perform(ListProjects::default())?.entries;
    if json {
        return print_json(&projects);
    }
    let mut table = Table::new(&["ID", "PATH", "VISIBILITY", "CREATED"]);
    for project in projects {
        table.row([
            project.id.0.to_string(),
            project.path_with_namespace,
            project.visibility.as_str().to_owned(),
            project.created_at.to_string(),
        ]);
    }
    table.print()
}

/// What `project set` was asked to change; the last word on a setting counts.
fn parse_settings(settings: &[String]) -> Result<ProjectSettings> {
    let wrong = |what: String, remedy: String| Error::new(Kind::Usage, what).remedy(remedy);
    let mut changes = ProjectSettings::default();
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
            ("visibility", word) => {
                let visibility = word.parse();
                changes.visibility = Some(visibility.map_err(|_| bad_value("private or public"))?);
            }
            ("quota", size) => {
                let quota = parse_quota(size).ok_or_else(|| bad_value(QUOTA_VALUES))?;
                changes.quota = Some(quota.unwrap_or_default());
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
