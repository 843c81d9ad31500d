//! `breakwater project`: projects, which lie in groups and own pushed images.

mod cleanup;
mod settings;

use clap::{Args, Subcommand};

use super::Outcome;
use super::contents::{WithContents, contents, pushed, repositories};
use super::output::{Table, print, print_json, shown_time, tell};
use super::removal::How;
use super::workplace::Workplace;
use crate::admin::{
    AddProject, CleanupRunView, GetProject, ListProjects, Named, NamedPlace, PlaceContents,
    ProjectView, RemoveProject, SetProject, one_of,
};
use crate::auth::administration::names;
use crate::error::Result;
use crate::store::{ProjectId, Visibility};

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
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List all projects
    #[command(after_help = "Example:\n  breakwater project list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a project with its settings
    #[command(after_help = "Example:\n  breakwater project show acme/api --json")]
    Show {
        /// The project
        path: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a project's settings
    ///
    /// visibility=private|public
    /// quota=SIZE: of what is pushed to it; nothing behind the = takes it away
    /// cleanup.enabled=true|false: whether old tags go by themselves, see `breakwater help hosted`
    /// cleanup.cadence=1d|7d|14d|1month|3month: how often
    /// cleanup.keep_n=1|5|10|25|50|100: so many of the newest of them stay; nothing behind the =: none
    /// cleanup.older_than=7d|14d|30d|60d|90d: younger ones stay; nothing behind the =: they do not
    /// cleanup.name_regex_delete=REGEX: the whole names of those that may go, such as .*
    /// cleanup.name_regex_keep=REGEX: the whole names of those that stay all the same
    #[command(
        verbatim_doc_comment,
        after_help = "\
Examples:
  breakwater project set acme/api visibility=public quota=50GiB
  breakwater project set acme/api cleanup.enabled=true cleanup.keep_n=10 'cleanup.name_regex_keep=v.+|main'"
    )]
    Set {
        /// The project
        path: String,
        /// What to change
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Cleanup(cleanup::Cleanup),
    /// Remove a project with its tokens and rules; nobody can reach its images any more, protected ones included
    #[command(after_help = "\
Examples:
  breakwater project remove acme/api --dry-run
  breakwater project remove acme/api --yes")]
    Remove {
        /// The project
        path: String,
        #[command(flatten)]
        how: How,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Project {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add {
                path,
                visibility,
                json,
            } => {
                let mirror = &place.config.mirror.group;
                let group = names::check_project_path(&path, mirror)?;
                let last = path.rsplit('/').next().map(str::to_owned);
                let added = place.perform(AddProject {
                    path: last,
                    name: None,
                    namespace_id: group.to_owned().into(),
                    visibility: Some(visibility),
                    container_expiration_policy_attributes: None,
                })?;
                tell(&added, json, &format!("added project {path}"))?;
            }
            Action::List { json } => list(place, json)?,
            Action::Show { path, json } => {
                let project: Named<ProjectId> = path.into();
                let contents = contents(place, NamedPlace::Project(project.clone()))?;
                let view = place.perform(GetProject { project })?;
                match json {
                    true => print_json(&WithContents { view, contents })?,
                    false => show(&view, &contents)?,
                }
            }
            Action::Set {
                path,
                settings,
                json,
            } => {
                let changed = place.perform(SetProject {
                    project: path.clone().into(),
                    path: None,
                    settings: settings::parse(&settings)?,
                })?;
                tell(&changed, json, &format!("changed project {path}"))?;
            }
            Action::Cleanup(cleanup) => return cleanup.run(place),
            Action::Remove { path, how, json } => {
                let project: Named<ProjectId> = path.clone().into();
                let named = NamedPlace::Project(project.clone());
                let remove = || place.perform(RemoveProject { project }).map(drop);
                return how.remove(
                    place,
                    (named, &path),
                    ("project", "its tokens"),
                    json,
                    remove,
                );
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

fn show(project: &ProjectView, contents: &PlaceContents) -> Result<()> {
    let policy = &project.container_expiration_policy;
    let words = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    let lines = [
        ("path", project.path_with_namespace.clone()),
        ("id", project.id.0.to_string()),
        ("visibility", project.visibility.as_str().to_owned()),
        ("created", project.created_at.to_string()),
        (
            "cleanup",
            match policy.enabled {
                true => format!("every {}", policy.cadence.as_str()),
                false => "off".to_owned(),
            },
        ),
        ("  deletes tags", words(&policy.name_regex_delete)),
        (
            "  older than",
            policy
                .older_than
                .map_or("any age", |age| age.as_str())
                .to_owned(),
        ),
        (
            "  but the newest",
            policy.keep_n.unwrap_or_default().to_string(),
        ),
        ("  and those like", words(&policy.name_regex_keep)),
        ("  next run", shown_time(policy.next_run_at, "never")),
        (
            "  last run",
            policy
                .last_run
                .as_ref()
                .map_or_else(|| "never".to_owned(), shown_run),
        ),
    ];
    for (name, value) in lines.into_iter().chain(pushed(contents, project.quota)) {
        print(&format!("{:<17} {value}", format!("{name}:")))?;
    }
    repositories(contents)
}

fn shown_run(run: &CleanupRunView) -> String {
    let ended = match (&run.error, run.finished_at) {
        (Some(error), _) => format!("failed: {error}"),
        (None, None) => "goes on".to_owned(),
        (None, Some(_)) => format!("{} stayed", run.kept_tags),
    };
    format!(
        "{}: {} tags went, {ended}",
        run.started_at, run.removed_tags
    )
}
