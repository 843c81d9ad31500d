//! `breakwater feature`: the flags of the abilities check, for the box and for groups.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Table, print, print_json};
use super::words::nearest;
use super::workplace::{Workplace, find_group};
use crate::auth::features::Flag;
use crate::error::{Error, Kind, Result};
use crate::store::{Feature as Row, Group, Store};

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
        #[arg(long, value_name = "PATH")]
        group: String,
    },
}

#[derive(Debug, Args)]
struct Change {
    /// As `feature list` shows it
    flag: String,
    /// For this group and those below it, instead of the box
    #[arg(long, value_name = "PATH")]
    group: Option<String>,
}

impl Feature {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::List { json } => list(&place.open_store()?, json)?,
            Action::Enable(change) => change.run(place, true)?,
            Action::Disable(change) => change.run(place, false)?,
            Action::Reset { flag, group } => reset(place, parse_flag(&flag)?, &group)?,
        }
        Ok(Outcome::Done)
    }
}

impl Change {
    fn run(self, place: &Workplace, enabled: bool) -> Result<()> {
        let flag = parse_flag(&self.flag)?;
        let store = place.open_store()?;
        let group = self
            .group
            .as_deref()
            .map(|path| find_group(&store, path))
            .transpose()?;
        let id = group.as_ref().map(|group| group.id);
        store
            .access
            .set_feature(&place.actor, flag.as_str(), id, enabled)?;
        let whom = group.map_or_else(|| "the box".to_owned(), |group| group.path);
        print(&format!(
            "{} is {} for {whom}",
            flag.as_str(),
            word(enabled)
        ))
    }
}

fn reset(place: &Workplace, flag: Flag, path: &str) -> Result<()> {
    let store = place.open_store()?;
    let group = find_group(&store, path)?;
    if !store
        .access
        .reset_feature(&place.actor, flag.as_str(), Some(group.id))?
    {
        let what = format!("{path} has no value of its own for {}", flag.as_str());
        return Err(Error::new(Kind::NotFound, what).remedy("see `breakwater feature list`"));
    }
    let above = match path.rsplit_once('/') {
        Some((parent, _)) => format!("what {parent} has"),
        None => "the box's value".to_owned(),
    };
    print(&format!("{path} has {above} for {} again", flag.as_str()))
}

fn parse_flag(name: &str) -> Result<Flag> {
    Flag::parse(name).ok_or_else(|| {
        let nearest = nearest(name, Flag::ALL.map(Flag::as_str));
        Error::new(Kind::Usage, format!("there is no flag `{name}`"))
            .remedy(format!("did you mean `{nearest}`?"))
    })
}

fn list(store: &Store, json: bool) -> Result<()> {
    let rows = store.access.features()?;
    let groups = store.access.groups()?;
    let overrides = |flag: Flag| -> Vec<(&Group, bool)> {
        let of_flag = |row: &&Row| row.flag == flag.as_str();
        let pair = |row: &Row| {
            let group = groups.iter().find(|group| Some(group.id) == row.group)?;
            Some((group, row.enabled))
        };
        rows.iter().filter(of_flag).filter_map(pair).collect()
    };
    if json {
        let shape = |flag: Flag| -> Value {
            let groups = overrides(flag).into_iter().map(|(group, enabled)| {
                json!({ "group_id": group.id, "group_path": group.path, "enabled": enabled })
            });
            let enabled = flag.value(&rows, &[]);
            json!({
                "name": flag.as_str(),
                "state": word(enabled),
                "enabled": enabled,
                "default_enabled": flag.default_value(),
                "groups": groups.collect::<Vec<_>>(),
            })
        };
        return print_json(&Flag::ALL.map(shape));
    }
    let mut table = Table::new(&["FLAG", "BOX", "DEFAULT", "GROUPS"]);
    for flag in Flag::ALL {
        let groups: Vec<_> = overrides(flag)
            .into_iter()
            .map(|(group, enabled)| format!("{}: {}", group.path, word(enabled)))
            .collect();
        table.row([
            flag.as_str().to_owned(),
            word(flag.value(&rows, &[])).to_owned(),
            word(flag.default_value()).to_owned(),
            groups.join(", "),
        ]);
    }
    table.print()
}

fn word(enabled: bool) -> &'static str {
    if enabled { "on" } else { "off" }
}
