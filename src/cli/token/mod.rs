//! `breakwater token`: credentials with scopes. The secret is printed once, alone, on standard output.

mod create;
mod list;
mod rotate;

pub(super) use list::Owners;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Outcome;
use super::output::{print, print_json, time};
use super::words::kind_word;
use super::workplace::Workplace;
use crate::auth::secret::Secret;
use crate::error::Result;
use crate::store::{self, TokenId};

/// Make, list, rotate and revoke tokens
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TOKEN=$(breakwater token create --name ci --user alice --scope read_registry)
  breakwater token list --user alice
  TOKEN=$(breakwater token rotate 7)")]
pub(super) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(create::Create),
    List(list::List),
    /// End a token; it is refused from its next request on
    ///
    /// Personal tokens that its user made with it end too, and those that they made; what else it made stands alone:
    /// see `token list --made-by`.
    #[command(after_help = "Example:\n  breakwater token revoke 7")]
    Revoke {
        /// As `token list` shows it
        id: i64,
    },
    Rotate(rotate::Rotate),
}

impl Token {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Create(create) => create.run(place)?,
            Action::List(list) => list.run(place)?,
            Action::Revoke { id } => {
                let access = &place.open_store()?.access;
                let with_it = access.revoke_token(&place.actor, TokenId(id))?;
                print(&format!("revoked token {id}{}", shown_with_it(&with_it)))?;
            }
            Action::Rotate(rotate) => rotate.run(place)?,
        }
        Ok(Outcome::Done)
    }
}

/// `, and what was made with it: 9, 12`
fn shown_with_it(ids: &[TokenId]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let ids: Vec<_> = ids.iter().map(|id| id.0.to_string()).collect();
    format!(", and what was made with it: {}", ids.join(", "))
}

/// Prints a new token's secret, for the only time: alone, or within what programs want to know of it.
fn print_secret(token: &store::Token, secret: &Secret, json: bool) -> Result<()> {
    if !json {
        return print(secret.expose());
    }
    let mut shape = json!({
        "id": token.id,
        "kind": kind_word(token.kind),
        "name": token.name,
        "scopes": token.scopes,
        "expires_at": time(token.expires_at),
        "token": secret.expose(),
    });
    if let (Some(username), Some(fields)) = (&token.username, shape.as_object_mut()) {
        fields.insert("username".to_owned(), json!(username));
    }
    print_json(&shape)
}
