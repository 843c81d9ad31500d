//! `breakwater project cleanup`: runs a project's cleanup policy now, or shows what it would take.

use clap::Args;

use crate::admin::{CleanUpProject, CleanedUpProject};
use crate::cli::Outcome;
use crate::cli::output::{Table, print, print_json, shown_time};
use crate::cli::progress::Bar;
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::upkeep::retention::Stays;

/// Run a project's cleanup policy now, enabled or not: remove the tags that it does not keep
///
/// `latest`, what a rule protects from being deleted, and immutable tags always stay. An image without a tag goes with what
/// only it consists of, an hour after it was pushed at the earliest.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater project cleanup acme/api --dry-run
  breakwater project cleanup acme/api")]
pub(super) struct Cleanup {
    /// The project
    path: String,
    /// Remove nothing, only show what would go, and why each other tag would stay
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Cleanup {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let bar = Bar::new("cleaning up", self.json);
        let cleaned = place.perform(CleanUpProject {
            project: self.path.clone().into(),
            dry_run: self.dry_run,
        })?;
        drop(bar);
        if self.json {
            print_json(&cleaned)?;
            return Ok(Outcome::Done);
        }
        if self.dry_run {
            show(&cleaned)?;
        }
        let verb = match self.dry_run {
            true => "would remove",
            false => "removed",
        };
        print(&format!(
            "{verb} {} tags of project {}; {} stay",
            cleaned.removed_tags, self.path, cleaned.kept_tags
        ))?;
        Ok(Outcome::Done)
    }
}

fn show(cleaned: &CleanedUpProject) -> Result<()> {
    let mut table = Table::new(&["IMAGE", "PUSHED", "LAST PULL", "WHAT BECOMES OF IT"]);
    for repository in &cleaned.repositories {
        for tag in &repository.tags {
            table.row([
                format!("{}:{}", repository.path, tag.name),
                tag.pushed_at.to_string(),
                shown_time(tag.last_pulled_at, "never"),
                match tag.stays {
                    None => "goes".to_owned(),
                    Some(why) => format!("stays: {}", words(why)),
                },
            ]);
        }
    }
    table.print()
}

fn words(why: Stays) -> &'static str {
    match why {
        Stays::Latest => "latest always does",
        Stays::OtherName => "name_regex_delete does not match it",
        Stays::KeptName => "name_regex_keep matches it",
        Stays::Attached => "it belongs to an image that is here",
        Stays::Newest => "it is one of the newest keep_n",
        Stays::Young => "it is younger than older_than",
        Stays::Protected => "a rule protects it",
    }
}
