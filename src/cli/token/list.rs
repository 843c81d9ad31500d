//! `breakwater token list`: everything about tokens but their secrets, which nobody has any more.

use std::collections::HashMap;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::output::{Table, print_json, shown_time, time};
use crate::cli::words::{kind_word, level_word};
use crate::cli::workplace::{Place, Workplace, find_place, find_user};
use crate::error::Result;
use crate::store::{GroupId, ProjectId, Store, Token, TokenId, UserId};
use crate::time::Timestamp;

/// List tokens; never their secrets
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater token list --json
  breakwater token list acme
  breakwater token list --user alice
  breakwater token list --made-by 7")]
pub(super) struct List {
    /// Tokens of this group or project itself
    path: Option<String>,
    /// Tokens of this user
    #[arg(long, value_name = "NAME", conflicts_with = "path")]
    user: Option<String>,
    /// Tokens that this one made, over the REST API, and those that they made; rotating counts as the same token
    #[arg(long, value_name = "ID", conflicts_with_all = ["path", "user"])]
    made_by: Option<i64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let store = place.open_store()?;
        let mut tokens = self.tokens(&store)?;
        for token in &mut tokens {
            // Uses are written to the cache's database, in batches.
            let used = store.cache.token_last_used(token.id)?;
            token.last_used_at = used.map(|(at, _)| at);
        }
        let now = Timestamp::now();
        if self.json {
            let shapes: Vec<_> = tokens.iter().map(|token| shape(token, now)).collect();
            return print_json(&shapes);
        }
        let owners = Owners::read(&store)?;
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
            let level = token.access_level.map_or("", level_word);
            table.row([
                token.id.0.to_string(),
                kind_word(token.kind).to_owned(),
                token.name.clone(),
                owners.of(&token),
                level.to_owned(),
                token.scopes.join(" "),
                state(&token, now).to_owned(),
                shown_time(token.expires_at, "never"),
                shown_time(token.last_used_at, "never"),
                token.maker.label.clone(),
            ]);
        }
        table.print()
    }

    fn tokens(&self, store: &Store) -> Result<Vec<Token>> {
        if let Some(id) = self.made_by {
            return store.access.tokens_made_by(TokenId(id));
        }
        if let Some(name) = &self.user {
            return store.access.tokens(Some(find_user(store, name)?.id));
        }
        let mut tokens = store.access.tokens(None)?;
        match &self.path {
            None => {}
            Some(path) => match find_place(store, path)? {
                Place::Group(group) => tokens.retain(|token| token.group_id == Some(group.id)),
                Place::Project(project) => {
                    tokens.retain(|token| token.project_id == Some(project.id));
                }
            },
        }
        Ok(tokens)
    }
}

/// The names of those whom tokens belong to.
pub(in crate::cli) struct Owners {
    users: HashMap<UserId, String>,
    groups: HashMap<GroupId, String>,
    projects: HashMap<ProjectId, String>,
}

impl Owners {
    pub(in crate::cli) fn read(store: &Store) -> Result<Self> {
        let (users, groups) = (store.access.users()?, store.access.groups()?);
        let projects = store.access.projects()?;
        Ok(Self {
            users: users.into_iter().map(|user| (user.id, user.name)).collect(),
            groups: groups
                .into_iter()
                .map(|group| (group.id, group.path))
                .collect(),
            projects: projects
                .into_iter()
                .map(|project| (project.id, project.path))
                .collect(),
        })
    }

    /// A job token belongs to a user and a project, a deploy token to a path and its own username.
    pub(in crate::cli) fn of(&self, token: &Token) -> String {
        let owners = [
            token.user_id.and_then(|id| self.users.get(&id)),
            token.group_id.and_then(|id| self.groups.get(&id)),
            token.project_id.and_then(|id| self.projects.get(&id)),
            token.username.as_ref(),
        ];
        let owners: Vec<_> = owners.into_iter().flatten().map(String::as_str).collect();
        owners.join(", ")
    }
}

fn state(token: &Token, now: Timestamp) -> &'static str {
    if token.revoked {
        "revoked"
    } else if token.expires_at.is_some_and(|at| at <= now) {
        "expired"
    } else {
        "active"
    }
}

/// The field names of `/api/v4/personal_access_tokens`, `…/access_tokens` and `…/deploy_tokens` together,
/// and the kind.
fn shape(token: &Token, now: Timestamp) -> Value {
    json!({
        "id": token.id,
        "kind": kind_word(token.kind),
        "name": token.name,
        "scopes": token.scopes,
        "user_id": token.user_id,
        "group_id": token.group_id,
        "project_id": token.project_id,
        "username": token.username,
        "access_level": token.access_level.map(|level| level as i64),
        "revoked": token.revoked,
        "expired": state(token, now) == "expired",
        "active": state(token, now) == "active",
        "created_at": token.created_at.to_string(),
        "created_by": token.maker.label,
        "made_by": token.maker.token_id,
        "made_by_user_id": token.maker.user_id,
        "ends_with_maker": token.ends_with_maker,
        "expires_at": time(token.expires_at),
        "last_used_at": time(token.last_used_at),
    })
}
