//! `breakwater rule`: who may push to which repositories and tags, and who may delete there.

mod edit;
mod minimum;
mod shape;

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{print, print_json};
use super::workplace::{Place, Workplace, find_place, find_project};
use crate::error::Result;
use crate::store::{RuleId, RuleOwner, Store};
use edit::{Changes, new_rule, new_tag_rule, stored};
use minimum::Minimums;

/// Protect repositories and tags: say who may push to them, and who may delete there
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater rule add acme/api 'acme/api/prod*' --min-push maintainer --min-delete owner
  breakwater rule add acme 'library/*' --push-protected-up-to developer
  breakwater rule tag acme/api '^v[0-9]+' --immutable
  breakwater rule list acme/api")]
pub(super) struct Rule {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Protect the repositories of a project, or the images that a group has in the cache: there pushing means
    /// filling and deleting means purging
    #[command(after_help = "\
Examples:
  breakwater rule add acme/api 'acme/api/prod*' --min-push maintainer
  breakwater rule add acme/api acme/api --push-protected-up-to developer --min-delete admin
  breakwater rule add acme/api 'acme/api*' --tags 'v*' --min-push owner
  breakwater rule add acme 'docker.io/library/*' --min-push owner")]
    Add {
        /// The project or group
        path: String,
        /// Of a repository's whole path, or of a cached image; * is any run of characters, slashes too
        pattern: String,
        /// Protect only tags that match; * as above
        #[arg(
            long,
            visible_alias = "matching-package-version",
            value_name = "PATTERN"
        )]
        tags: Option<String>,
        #[command(flatten)]
        minimums: Minimums,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Protect the tags of a project that match a regular expression
    #[command(after_help = "\
Examples:
  breakwater rule tag acme/api '^v[0-9]+' --immutable
  breakwater rule tag acme/api '^latest$' --min-push maintainer --min-delete owner")]
    Tag {
        /// The project
        path: String,
        /// It matches anywhere in a tag, unless it is anchored with ^ and $
        regex: String,
        #[command(flatten)]
        minimums: Minimums,
        /// Once such a tag is there it neither moves nor goes
        #[arg(long)]
        immutable: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a rule; what is not given stays as it is
    #[command(after_help = "\
Examples:
  breakwater rule set 3 --push-protected-up-to no_access
  breakwater rule set 3 --min-push maintainer --min-delete none
  breakwater rule set 4 --immutable false")]
    Set {
        /// As `rule list` shows it
        id: i64,
        /// The pattern, or the regular expression of a rule about tags
        #[arg(long)]
        pattern: Option<String>,
        /// Protect only tags that match; empty: all
        #[arg(
            long,
            visible_alias = "matching-package-version",
            value_name = "PATTERN"
        )]
        tags: Option<String>,
        #[command(flatten)]
        minimums: Minimums,
        /// Of a rule about tags: whether they neither move nor go
        #[arg(long, value_name = "true|false")]
        immutable: Option<bool>,
    },
    /// List the rules of a project or group
    #[command(after_help = "Example:\n  breakwater rule list acme/api --json")]
    List {
        /// The project or group
        path: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a rule
    #[command(after_help = "Example:\n  breakwater rule remove 3")]
    Remove {
        /// As `rule list` shows it
        id: i64,
    },
}

impl Rule {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let store = place.open_store()?;
        match self.action {
            Action::Add {
                path,
                pattern,
                tags,
                minimums,
                json,
            } => {
                let rule = new_rule(&store, &path, pattern, tags, &minimums)?;
                let id = store.access.add_rule(&place.actor, &rule)?;
                if json {
                    return shown(&shape::rule(&stored(store.access.rule(id), id)?));
                }
                print(&format!("added rule {} to {path}", id.0))?;
            }
            Action::Tag {
                path,
                regex,
                minimums,
                immutable,
                json,
            } => {
                let project = find_project(&store, &path)?.id;
                let rule = new_tag_rule(project, regex, &minimums, immutable)?;
                let id = store.access.add_tag_rule(&place.actor, &rule)?;
                if json {
                    return shown(&shape::tag_rule(&stored(store.access.tag_rule(id), id)?));
                }
                print(&format!("added rule {} to {path}", id.0))?;
            }
            Action::Set {
                id,
                pattern,
                tags,
                minimums,
                immutable,
            } => {
                let changes = Changes {
                    pattern,
                    tags,
                    minimums,
                    immutable,
                };
                changes.apply(place, &store, RuleId(id))?;
                print(&format!("changed rule {id}"))?;
            }
            Action::List { path, json } => list(&store, &path, json)?,
            Action::Remove { id } => {
                store.access.remove_rule(&place.actor, RuleId(id))?;
                print(&format!("removed rule {id}"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn shown(shape: &serde_json::Value) -> Result<Outcome> {
    print_json(shape)?;
    Ok(Outcome::Done)
}

fn list(store: &Store, path: &str, json: bool) -> Result<()> {
    let (rules, tag_rules) = match find_place(store, path)? {
        Place::Project(project) => (
            store.access.rules(RuleOwner::Project(project.id))?,
            store.access.tag_rules(project.id)?,
        ),
        Place::Group(group) => (store.access.rules(RuleOwner::Group(group.id))?, Vec::new()),
    };
    if json {
        let tag_rules = tag_rules.iter().map(shape::tag_rule);
        return print_json(
            &rules
                .iter()
                .map(shape::rule)
                .chain(tag_rules)
                .collect::<Vec<_>>(),
        );
    }
    shape::table(rules, tag_rules)
}
