//! `breakwater token`: credentials with scopes. The secret is printed once, alone, on standard output.

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, hint, print, print_json, shown_time};
use super::shown::Shown;
use super::words::level_word;
use super::workplace::Workplace;
use crate::admin::tokens::{ListedToken, NewTokenView, TokenView};
use crate::admin::{CreateToken, ListTokens, RevokeToken, RotateToken};
use crate::error::Result;
use crate::store::{Level, TokenId};

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
    Create(Box<Shown<CreateToken>>),
    List(Shown<ListTokens>),
    Revoke(RevokeToken),
    Rotate(Shown<RotateToken>),
}

impl Token {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Create(create) => {
                let Shown { request, json } = *create;
                let is_named = request.username.is_some();
                let made = place.perform(request)?;
                print_secret(&made, json)?;
                if let (TokenView::Deploy(token), false, false) = (&made.view, json, is_named) {
                    let username = token.username.as_deref().unwrap_or_default();
                    hint(&format!("this token logs in as {username}"));
                }
            }
            Action::List(Shown { request, json }) => {
                let tokens = place.perform(request)?;
                match json {
                    true => print_json(&tokens)?,
                    false => table(tokens)?,
                }
            }
            Action::Revoke(request) => {
                let id = request.id;
                let with_it = place.perform(request)?;
                print(&format!("revoked token {id}{}", shown_with_it(&with_it)))?;
            }
            Action::Rotate(Shown { request, json }) => {
                print_secret(&place.perform(request)?, json)?;
            }
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

fn print_secret(made: &NewTokenView, json: bool) -> Result<()> {
    match json {
        true => print_json(made),
        false => print(made.token.expose()),
    }
}

fn table(tokens: Vec<ListedToken>) -> Result<()> {
    let mut table = Table::new(&[
        "ID",
        "KIND",
        "NAME",
        "OWNER",
        "LEVEL",
        "SCOPES",
        "STATE",
        "EXPIRES",
        "LAST USED",
        "MADE BY",
    ]);
    for token in tokens {
        let (id, name, scopes, level, username, made_by) = match token.view {
            TokenView::Access(view) => {
                let level = view.access_level.and_then(Level::from_number);
                (
                    view.id,
                    view.name,
                    view.scopes,
                    level,
                    None,
                    view.created_by,
                )
            }
            TokenView::Deploy(view) => (
                view.id,
                view.name,
                view.scopes,
                None,
                view.username,
                view.created_by,
            ),
            TokenView::Job(view) => (view.id, view.name, Vec::new(), None, None, view.created_by),
        };
        let owners = [token.user, token.group_path, token.project_path, username];
        table.row([
            id.0.to_string(),
            token.kind.as_str().to_owned(),
            name,
            owners.into_iter().flatten().collect::<Vec<_>>().join(", "),
            level.map_or("", level_word).to_owned(),
            scopes.join(" "),
            <&str>::from(token.state).to_owned(),
            shown_time(token.ends_at, "never"),
            shown_time(token.used_at, "never"),
            made_by,
        ]);
    }
    table.print()
}
