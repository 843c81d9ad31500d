//! `breakwater user`: people and service accounts.

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, print, print_json, tell, tell_done, yes};
use super::password::PasswordSource;
use super::workplace::Workplace;
use crate::admin::{
    AddUser, ListUsers, RemoveUser, SetBlocked, SetPassword, ShowUser, UserDetails,
};
use crate::auth::administration::names;
use crate::error::Result;

/// Make, list, block and remove users and service accounts
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater user add ci --service
  breakwater user list")]
pub(super) struct User {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a user with a password, or a service account without one
    #[command(after_help = "\
Examples:
  breakwater user add alice
  pass show alice | breakwater user add alice --password-stdin
  breakwater user add ci --service")]
    Add(Add),
    /// List all users
    #[command(after_help = "Example:\n  breakwater user list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a user with tokens and memberships
    #[command(after_help = "Example:\n  breakwater user show alice --json")]
    Show {
        /// The user
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a user's password and tokens until unblocked
    #[command(after_help = "Example:\n  breakwater user block alice")]
    Block {
        /// The user
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a blocked user in again
    #[command(after_help = "Example:\n  breakwater user unblock alice")]
    Unblock {
        /// The user
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a user's password
    #[command(
        after_help = "Examples:\n  breakwater user passwd root\n  pass show root | breakwater user passwd root --password-stdin"
    )]
    Passwd {
        /// The user
        name: String,
        /// Read the password from the first line of standard input, instead of asking for it on the terminal
        #[arg(long)]
        password_stdin: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a user with memberships and tokens
    #[command(after_help = "Example:\n  breakwater user remove alice")]
    Remove {
        /// The user
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// Up to 255 letters, digits, _ . and -
    name: String,
    /// Let the user administer this box
    #[arg(long)]
    admin: bool,
    /// Make an account that has tokens but no password
    #[arg(long, conflicts_with = "password_stdin")]
    service: bool,
    /// Read the password from the first line of standard input, instead of asking for it on the terminal
    #[arg(long)]
    password_stdin: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl User {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add(add) => add.run(place)?,
            Action::List { json } => list(place, json)?,
            Action::Show { name, json } => {
                let details = place.perform(ShowUser { id: name.into() })?;
                match json {
                    true => print_json(&details)?,
                    false => show(&details)?,
                }
            }
            Action::Block { name, json } => set_blocked(place, &name, true, json)?,
            Action::Unblock { name, json } => set_blocked(place, &name, false, json)?,
            Action::Passwd {
                name,
                password_stdin,
                json,
            } => {
                let source = PasswordSource::choose(
                    password_stdin,
                    "there is nowhere to read the password from",
                    "give --password-stdin and the password on standard input, or run this on a terminal",
                )?;
                place.perform(SetPassword {
                    id: name.clone().into(),
                    password: Some(source.read(&name)?),
                })?;
                let line = format!("changed the password of {name}");
                tell_done("password_changed", &name, json, &line)?;
            }
            Action::Remove { name, json } => {
                let id = name.clone().into();
                place.perform(RemoveUser { id })?;
                let line = format!("removed user {name}, with memberships and tokens");
                tell_done("removed", &name, json, &line)?;
            }
        }
        Ok(Outcome::Done)
    }
}

impl Add {
    fn run(self, place: &Workplace) -> Result<()> {
        // What is wrong with the command itself is said before the store is looked for.
        names::check_user_name(&self.name)?;
        let source = match self.service {
            true => None,
            false => Some(PasswordSource::choose(
                self.password_stdin,
                "a user needs a password, a service account has none",
                "give --password-stdin and the password on standard input, run this on a terminal, or give --service",
            )?),
        };
        let source = source.map(|source| source.read(&self.name));
        let added = place.perform(AddUser {
            username: self.name,
            password: source.transpose()?,
            admin: Some(self.admin),
            service: Some(self.service),
            force_random_password: None,
        })?;
        let what = match self.service {
            true => "service account",
            false => "user",
        };
        tell(
            &added,
            self.json,
            &format!("added {what} {}", added.username),
        )
    }
}

fn show(details: &UserDetails) -> Result<()> {
    let user = &details.user;
    for (field, value) in [
        ("name", user.username.clone()),
        ("id", user.id.0.to_string()),
        ("state", <&str>::from(user.state).to_owned()),
        ("admin", yes(user.is_admin == Some(true))),
        ("service", yes(user.bot)),
        ("created", user.created_at.to_string()),
        (
            "tokens",
            format!("{} active of {}", details.active_tokens, details.tokens),
        ),
    ] {
        print(&format!("{field:<10} {value}"))?;
    }
    if details.memberships.is_empty() {
        return Ok(());
    }
    print("")?;
    let mut table = Table::new(&["MEMBER OF", "LEVEL"]);
    for membership in &details.memberships {
        table.row([
            membership.path.clone(),
            <&str>::from(membership.access_level).to_owned(),
        ]);
    }
    table.print()
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let users = place.perform(ListUsers::default())?.entries;
    if json {
        return print_json(&users);
    }
    let mut table = Table::new(&["ID", "NAME", "STATE", "ADMIN", "SERVICE", "CREATED"]);
    for user in users {
        table.row([
            user.id.0.to_string(),
            user.username,
            <&str>::from(user.state).to_owned(),
            yes(user.is_admin == Some(true)),
            yes(user.bot),
            user.created_at.to_string(),
        ]);
    }
    table.print()
}

fn set_blocked(place: &Workplace, name: &str, blocked: bool, json: bool) -> Result<()> {
    let id = name.to_owned().into();
    place.perform(SetBlocked { id, blocked })?;
    let done = if blocked { "blocked" } else { "unblocked" };
    tell_done(done, name, json, &format!("{done} user {name}"))
}
