//! `breakwater feature`: the flags of the abilities check, for the box and for groups.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::json;

use super::Outcome;
use super::output::{Table, print_json, tell};
use super::workplace::Workplace;
use crate::admin::{ListFeatures, ListGroupFeatures, ResetFeature, SetFeature};
use crate::error::Result;

/// Show and set the flags that say how strictly tokens are judged
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater feature list
  breakwater feature disable enforce_abilities_check_for_dependency_proxy --group acme")]
pub(super) struct Feature {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all flags: the box's value, the default, and the groups that have a value of their own
    #[command(after_help = "Example:\n  breakwater feature list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Turn a flag on, for the box, or for a group and those below it
    #[command(after_help = "\
Example:
  breakwater feature enable dependency_proxy_split_abilities --group acme")]
    Enable(Change),
    /// Turn a flag off, for the box, or for a group and those below it
    #[command(after_help = "\
Example:
  breakwater feature disable enforce_abilities_check_for_dependency_proxy")]
    Disable(Change),
    /// Take a group's own value away: again it has that of the group above it, at last the box's
    #[command(after_help = "\
Example:
  breakwater feature reset dependency_proxy_split_abilities --group acme")]
    Reset {
        /// As `feature list` shows it
        flag: String,
        /// The group
        #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
        group: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Change {
    /// As `feature list` shows it
    flag: String,
    /// For this group and those below it, instead of the box
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    group: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Feature {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::List { json } => list(place, json)?,
            Action::Enable(change) => change.run(place, true)?,
            Action::Disable(change) => change.run(place, false)?,
            Action::Reset { flag, group, json } => reset(place, flag, group, json)?,
        }
        Ok(Outcome::Done)
    }
}

impl Change {
    fn run(self, place: &Workplace, value: bool) -> Result<()> {
        let whom = self.group.as_deref().unwrap_or("the box").to_owned();
        let set = place.perform(SetFeature {
            name: self.flag,
            value,
            group: self.group.into_iter().collect(),
        })?;
        let line = format!("{} is {} for {whom}", set.name, word(value));
        tell(&set, self.json, &line)
    }
}

fn reset(place: &Workplace, flag: String, path: String, json: bool) -> Result<()> {
    place.perform(ResetFeature {
        name: flag.clone(),
        group: vec![path.clone()],
    })?;
    let above = match path.rsplit_once('/') {
        Some((parent, _)) => format!("what {parent} has"),
        None => "the box's value".to_owned(),
    };
    let line = format!("{path} has {above} for {flag} again");
    tell(&json!({ "reset": flag, "group": path }), json, &line)
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let flags = place.perform(ListFeatures {})?;
    if json {
        return print_json(&flags);
    }
    let of_groups = place.perform(ListGroupFeatures {})?;
    let mut table = Table::new(&["FLAG", "BOX", "DEFAULT", "GROUPS"]);
    for flag in flags {
        let own = of_groups.iter().filter(|own| own.name == flag.name);
        let own = own.map(|own| format!("{}: {}", own.group_path, word(own.enabled)));
        let groups = own.collect::<Vec<_>>().join(", ");
        table.row([
            flag.name.clone(),
            word(flag.is_enabled()).to_owned(),
            word(flag.definition.default_enabled).to_owned(),
            groups,
        ]);
    }
    table.print()
}

fn word(enabled: bool) -> &'static str {
    if enabled { "on" } else { "off" }
}
