//! `breakwater repository`: repositories of pushed images.

use clap::{Args, Subcommand};

use super::Outcome;
use super::contents::shown_use;
use super::output::{Table, counted, print, print_json, shown_size, shown_time, yes};
use super::progress::Bar;
use super::removal::How;
use super::workplace::Workplace;
use crate::admin::{
    HostedRepositoryDetails, ListRepositories, RemoveImages, RemovedImages, ShowRepository,
};
use crate::error::Result;

/// Show and remove pushed images
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater repository list acme/api
  breakwater repository show acme/api/web
  breakwater repository delete acme/api/web:v1 --dry-run")]
pub(super) struct Repository {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the repositories that something was pushed to, with their sizes and how much of its quota the project uses
    #[command(after_help = "Example:\n  breakwater repository list acme/api --json")]
    List {
        /// Only those of this project
        project: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a repository with its tags, when they were pushed and last pulled, and whether a rule protects them
    #[command(after_help = "Example:\n  breakwater repository show acme/api/web --json")]
    Show {
        /// Its whole path
        path: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a tag, an image by its digest with all of its tags, or a whole repository, protected ones included
    ///
    /// An image goes with its last tag, and with it what only it consists of. What another tag or an index needs stays.
    /// Where several tags would go, it asks.
    #[command(after_help = "\
Examples:
  breakwater repository delete acme/api/web:v1 --dry-run
  breakwater repository delete acme/api/web --yes")]
    Delete {
        /// The repository, with a tag or a digest if it is not to go as a whole
        #[arg(value_name = "PATH[:TAG|@DIGEST]")]
        image: String,
        #[command(flatten)]
        how: How,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Repository {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::List { project, json } => {
                let project = project.map(Into::into);
                let repositories = place.perform(ListRepositories { project })?;
                if json {
                    print_json(&repositories)?;
                    return Ok(Outcome::Done);
                }
                let mut table = Table::new(&["ID", "PATH", "TAGS", "SIZE", "CREATED", "PROJECT"]);
                for listed in repositories {
                    let repository = listed.repository;
                    let used = shown_use(listed.project_bytes, listed.project_quota);
                    table.row([
                        repository.id.to_string(),
                        repository.path,
                        repository.tags_count.to_string(),
                        shown_size(repository.bytes),
                        repository.created_at.to_string(),
                        format!("{}: {used}", listed.project_path),
                    ]);
                }
                table.print()?;
            }
            Action::Show { path, json } => {
                let details = place.perform(ShowRepository { path })?;
                match json {
                    true => print_json(&details)?,
                    false => show(&details)?,
                }
            }
            Action::Delete { image, how, json } => {
                let remove = |dry_run| {
                    let _bar = Bar::new("deleting", json);
                    let image = image.clone();
                    place.perform(RemoveImages { image, dry_run })
                };
                let mut removed = remove(true)?;
                if !how.dry_run {
                    if removed.tags.len() > 1 && !how.confirm(&image, &sum(&removed))? {
                        return Ok(Outcome::Bad);
                    }
                    removed = remove(false)?;
                }
                match json {
                    true => print_json(&removed)?,
                    false => tell(&image, &removed)?,
                }
            }
        }
        Ok(Outcome::Done)
    }
}

fn show(details: &HostedRepositoryDetails) -> Result<()> {
    print(&format!(
        "{}: {}; {} here and below",
        details.repository.path,
        counted(details.repository.tags_count, "tag"),
        shown_size(details.repository.bytes)
    ))?;
    let mut table = Table::new(&["TAG", "DIGEST", "PUSHED", "LAST PULL", "PROTECTED"]);
    for tag in &details.tags {
        table.row([
            tag.name.clone(),
            tag.digest.clone(),
            tag.pushed_at.to_string(),
            shown_time(tag.last_pulled_at, "never"),
            yes(tag.is_protected),
        ]);
    }
    table.print()
}

fn tell(image: &str, removed: &RemovedImages) -> Result<()> {
    for tag in &removed.tags {
        let protected = match tag.is_protected {
            true => ", protected by a rule",
            false => "",
        };
        print(&format!("  tag {}{protected}", tag.name))?;
    }
    for digest in &removed.images {
        print(&format!("  image {digest}"))?;
    }
    let (verb, frees) = match removed.dry_run {
        true => ("would delete", "would be freed"),
        false => ("deleted", "are freed by the next garbage collections"),
    };
    print(&format!(
        "{verb} {} of {image}; {} {frees}",
        sum(removed),
        shown_size(removed.freed_bytes)
    ))
}

fn sum(removed: &RemovedImages) -> String {
    format!(
        "{} and {}",
        counted(removed.tags.len() as u64, "tag"),
        counted(removed.images.len() as u64, "image")
    )
}
