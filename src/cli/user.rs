//! `breakwater user`: people and service accounts.

use std::io::{BufRead, Read};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Table, print, print_json, yes};
use super::workplace::{Workplace, find_user};
use crate::auth::administration::names;
use crate::auth::password;
use crate::error::{Error, Kind, Result};
use crate::server::{ROOT, forget_initial_password};
use crate::store::{self, Store};

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
        let store = place.open_store()?;
        match self.action {
            Action::Add {
                name,
                admin,
                service,
                ..
            } => add(place, &store, &name, admin, service)?,
            Action::List { json } => list(&store, json)?,
            Action::Block { name } => set_blocked(place, &store, &name, true)?,
            Action::Unblock { name } => set_blocked(place, &store, &name, false)?,
            Action::Passwd { name, .. } => passwd(place, &store, &name)?,
            Action::Remove { name } => {
                store
                    .access
                    .remove_user(&place.actor, find_user(&store, &name)?.id)?;
                if name == ROOT {
                    forget_initial_password(&store)?;
                }
                print(&format!("removed user {name}, with memberships and tokens"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn add(place: &Workplace, store: &Store, name: &str, admin: bool, service: bool) -> Result<()> {
    let hash = if service {
        None
    } else {
        Some(password::hash(&read_password()?)?)
    };
    store
        .access
        .create_user(&place.actor, name, admin, service, hash.as_deref())?;
    let what = if service { "service account" } else { "user" };
    print(&format!("added {what} {name}"))
}

fn list(store: &Store, json: bool) -> Result<()> {
    let users = store.access.users()?;
    if json {
        return print_json(&users.iter().map(shape).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["ID", "NAME", "STATE", "ADMIN", "SERVICE", "CREATED"]);
    for user in users {
        table.row([
            user.id.0.to_string(),
            user.name.clone(),
            state(&user).to_owned(),
            yes(user.admin),
            yes(user.service),
            user.created_at.to_string(),
        ]);
    }
    table.print()
}

/// The field names of `/api/v4/users`.
fn shape(user: &store::User) -> Value {
    json!({
        "id": user.id,
        "username": user.name,
        "name": user.name,
        "state": state(user),
        "is_admin": user.admin,
        "bot": user.service,
        "created_at": user.created_at.to_string(),
    })
}

fn state(user: &store::User) -> &'static str {
    if user.blocked { "blocked" } else { "active" }
}

fn set_blocked(place: &Workplace, store: &Store, name: &str, blocked: bool) -> Result<()> {
    store
        .access
        .set_blocked(&place.actor, find_user(store, name)?.id, blocked)?;
    print(&format!(
        "{} user {name}",
        if blocked { "blocked" } else { "unblocked" }
    ))
}

fn passwd(place: &Workplace, store: &Store, name: &str) -> Result<()> {
    let user = find_user(store, name)?;
    if user.service {
        let what = format!("`{name}` is a service account, which has no password");
        return Err(Error::new(Kind::Conflict, what).remedy("make it a token instead"));
    }
    let hash = password::hash(&read_password()?)?;
    store.access.set_password(&place.actor, user.id, &hash)?;
    if name == ROOT {
        forget_initial_password(store)?;
    }
    print(&format!("changed the password of {name}"))
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
