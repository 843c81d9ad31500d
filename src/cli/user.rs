//! `breakwater user`: people and service accounts.

use std::io::{BufRead, Read};

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, print, print_json, yes};
use super::workplace::Workplace;
use crate::admin::{AddUser, ListUsers, RemoveUser, SetBlocked, SetPassword};
use crate::auth::administration::names;
use crate::error::{Error, Kind, Result};

/// More than any password may have, so that too long ones are told as such.
const MAX_LINE: u64 = 4096;

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
  pass show alice | breakwater user add alice --password-stdin
  breakwater user add ci --service")]
    Add {
        /// Up to 255 letters, digits, _ . and -
        name: String,
        /// Let the user administer this box
        #[arg(long)]
        admin: bool,
        /// Make an account that has tokens but no password
        #[arg(long, conflicts_with = "password_stdin")]
        service: bool,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List all users
    #[command(after_help = "Example:\n  breakwater user list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a user's password and tokens until unblocked
    #[command(after_help = "Example:\n  breakwater user block alice")]
    Block {
        /// The user
        name: String,
    },
    /// Let a blocked user in again
    #[command(after_help = "Example:\n  breakwater user unblock alice")]
    Unblock {
        /// The user
        name: String,
    },
    /// Change a user's password
    #[command(
        after_help = "Example:\n  pass show root | breakwater user passwd root --password-stdin"
    )]
    Passwd {
        /// The user
        name: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove a user with memberships and tokens
    #[command(after_help = "Example:\n  breakwater user remove alice")]
    Remove {
        /// The user
        name: String,
    },
}

impl User {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        // What is wrong with the command itself is said before the store is looked for.
        match &self.action {
            Action::Add {
                name,
                service,
                password_stdin,
                ..
            } => {
                names::check_user_name(name)?;
                if !service && !password_stdin {
                    return Err(Error::new(
                        Kind::Usage,
                        "a user needs a password, a service account has none",
                    )
                    .remedy(
                        "give --password-stdin and the password on standard input, or --service",
                    ));
                }
            }
            Action::Passwd {
                password_stdin: false,
                ..
            } => {
                return Err(
                    Error::new(Kind::Usage, "there is nowhere to read the password from")
                        .remedy("give --password-stdin and the password on standard input"),
                );
            }
            _ => {}
        }
        match self.action {
            Action::Add {
                name,
                admin,
                service,
                ..
            } => add(place, name, admin, service)?,
            Action::List { json } => list(place, json)?,
            Action::Block { name } => set_blocked(place, &name, true)?,
            Action::Unblock { name } => set_blocked(place, &name, false)?,
            Action::Passwd { name, .. } => {
                place.perform(SetPassword {
                    id: name.clone().into(),
                    password: Some(read_password()?),
                })?;
                print(&format!("changed the password of {name}"))?;
            }
            Action::Remove { name } => {
                let id = name.clone().into();
                place.perform(RemoveUser { id })?;
                print(&format!("removed user {name}, with memberships and tokens"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn add(place: &Workplace, name: String, admin: bool, service: bool) -> Result<()> {
    let added = place.perform(AddUser {
        username: name,
        password: (!service).then(read_password).transpose()?,
        admin: Some(admin),
        service: Some(service),
        force_random_password: None,
    })?;
    let what = if service { "service account" } else { "user" };
    print(&format!("added {what} {}", added.username))
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

fn set_blocked(place: &Workplace, name: &str, blocked: bool) -> Result<()> {
    let id = name.to_owned().into();
    place.perform(SetBlocked { id, blocked })?;
    let done = if blocked { "blocked" } else { "unblocked" };
    print(&format!("{done} user {name}"))
}

/// The first line of standard input, without its end.
pub(super) fn read_password() -> Result<String> {
    let mut line = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_LINE)
        .read_until(b'\n', &mut line)
        .map_err(|error| Error::io("cannot read", std::path::Path::new("standard input"), error))?;
    let unusable = |what: &str| Error::new(Kind::BadRequest, what);
    let line = String::from_utf8(line).map_err(|_| unusable("the password is not UTF-8"))?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => {
            Err(unusable("there is no password on standard input")
                .remedy("write it there as one line"))
        }
        password => Ok(password.to_owned()),
    }
}
