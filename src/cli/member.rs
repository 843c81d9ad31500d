//! `breakwater member`: who belongs to a group or a project, and at which level.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Outcome;
use super::output::{Table, print_json, tell};
use super::workplace::Workplace;
use crate::admin::{AddMember, ListMembers, RemoveMember, one_of};
use crate::error::Result;
use crate::store::{Level, Window};

/// Add, list and remove members of groups and projects
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater member add acme alice --level developer
  breakwater member add acme/api bob --level maintainer")]
pub(super) struct Member {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a user a member of a project, or of a group and of what is below it, or change the level
    #[command(after_help = "Example:\n  breakwater member add acme alice --level developer")]
    Add {
        /// The group or project
        path: String,
        /// The user
        user: String,
        /// What the user may do there
        #[arg(long, value_parser = one_of::<Level>())]
        level: Level,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List a group's or project's own members
    #[command(after_help = "Example:\n  breakwater member list acme --json")]
    List {
        /// The group or project
        path: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a membership
    #[command(after_help = "Example:\n  breakwater member remove acme alice")]
    Remove {
        /// The group or project
        path: String,
        /// The user
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Member {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add {
                path,
                user,
                level,
                json,
            } => {
                let added = place.perform(AddMember {
                    place: path.clone().into(),
                    user_id: None,
                    username: Some(user.clone()),
                    access_level: level,
                    expires_at: None,
                    or_change: true,
                })?;
                let line = format!("{user} is {} of {path}", <&str>::from(level));
                tell(&added, json, &line)?;
            }
            Action::List { path, json } => list(place, path, json)?,
            Action::Remove { path, user, json } => {
                place.perform(RemoveMember {
                    place: path.clone().into(),
                    user_id: user.clone().into(),
                })?;
                let line = format!("{user} is no member of {path} any more");
                tell(&json!({ "removed": user, "from": path }), json, &line)?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(place: &Workplace, path: String, json: bool) -> Result<()> {
    let members = place.perform(ListMembers {
        place: path.into(),
        query: None,
        inherited: false,
        window: Window::ALL,
    })?;
    if json {
        return print_json(&members.entries);
    }
    let mut table = Table::new(&["USER", "LEVEL"]);
    for member in members.entries {
        let level = <&str>::from(member.access_level);
        table.row([member.username, level.to_owned()]);
    }
    table.print()
}
