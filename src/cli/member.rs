//! `breakwater member`: who belongs to a group or a project, and at which level.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Outcome;
use super::output::{Table, print, print_json};
use super::words::{Level, level_word};
use super::workplace::{Place, Workplace, find_place, find_user};
use crate::error::{Error, Kind, Result};
use crate::store::Store;

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
        #[arg(long, value_enum)]
        level: Level,
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
    },
}

impl Member {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let store = place.open_store()?;
        match self.action {
            Action::Add { path, user, level } => {
                let (access, actor) = (&store.access, &place.actor);
                let member = find_user(&store, &user)?.id;
                match find_place(&store, &path)? {
                    Place::Group(group) => {
                        access.set_member(actor, group.id, member, level.into())?;
                    }
                    Place::Project(project) => {
                        access.set_project_member(actor, project.id, member, level.into())?;
                    }
                }
                print(&format!("{user} is {} of {path}", level_word(level.into())))?;
            }
            Action::List { path, json } => list(&store, &path, json)?,
            Action::Remove { path, user } => {
                let (access, actor) = (&store.access, &place.actor);
                let member = find_user(&store, &user)?.id;
                let was_member = match find_place(&store, &path)? {
                    Place::Group(group) => access.remove_member(actor, group.id, member)?,
                    Place::Project(project) => {
                        access.remove_project_member(actor, project.id, member)?
                    }
                };
                if !was_member {
                    let what = format!("`{user}` is no member of `{path}` itself");
                    return Err(Error::new(Kind::NotFound, what).remedy(format!(
                        "see `breakwater member list {path}`, and the groups above"
                    )));
                }
                print(&format!("{user} is no member of {path} any more"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(store: &Store, path: &str, json: bool) -> Result<()> {
    let members = match find_place(store, path)? {
        Place::Group(group) => store.access.members(group.id)?,
        Place::Project(project) => store.access.project_members(project.id)?,
    };
    if json {
        // The field names of `/api/v4/groups/ID/members`, and of projects.
        let shape = |member: &crate::store::Member| {
            json!({
                "id": member.user_id,
                "username": member.user,
                "name": member.user,
                "access_level": member.level as i64,
            })
        };
        return print_json(&members.iter().map(shape).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["USER", "LEVEL"]);
    for member in members {
        table.row([member.user, level_word(member.level).to_owned()]);
    }
    table.print()
}
