//! The list of tokens of all kinds, and whose they are.

use std::collections::HashMap;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TokenView;
use crate::admin::named::Place;
use crate::admin::{Admin, Named, Operation};
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::{GroupId, ProjectId, Store, Token, TokenId, TokenKind, UserId};
use crate::time::Timestamp;

/// List tokens; never their secrets
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "\
Examples:
  breakwater token list --json
  breakwater token list acme
  breakwater token list --user alice
  breakwater token list --expiring 14d
  breakwater token list --made-by 7 --active")]
pub struct ListTokens {
    /// Tokens of this group or project itself
    pub path: Option<String>,
    /// Tokens of this user
    #[arg(long, value_name = "NAME", conflicts_with = "path")]
    pub user: Option<Named<UserId>>,
    /// Tokens that this one made, over the REST API, and those that they made; rotating counts as the same token
    #[arg(long, value_name = "ID", value_parser = crate::admin::id, conflicts_with_all = ["path", "user"])]
    pub made_by: Option<i64>,
    /// Only those that are neither expired nor revoked
    #[arg(long)]
    #[serde(default)]
    pub active: bool,
    /// Only active ones that end within this time: 14d, 12h
    #[arg(long, value_name = "TIME")]
    pub expiring: Option<String>,
}

/// One token of any kind, by its id.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowToken {
    pub id: i64,
}

/// A token as its kind is shown, and what a list of all kinds must say beside it: which kind it is, and whose.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListedToken {
    pub kind: TokenKind,
    pub user: Option<String>,
    pub group_path: Option<String>,
    pub project_path: Option<String>,
    pub state: State,
    /// The moment at which it ends, where `expires_at` is the day
    pub ends_at: Option<Timestamp>,
    /// When it was last used, whatever its kind
    pub used_at: Option<Timestamp>,
    pub made_by_user_id: Option<UserId>,
    pub ends_with_maker: bool,
    #[serde(flatten)]
    pub view: TokenView,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum State {
    Active,
    Expired,
    Revoked,
}

impl Operation for ListTokens {
    const NAME: &'static str = "tokens.list";
    type View = Vec<ListedToken>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<ListedToken>> {
        let (store, now) = (admin.store, Timestamp::now());
        let owners = Owners::read(store)?;
        let until = self.expiring.as_deref().map(|text| end(text, now));
        let until = until.transpose()?;
        let is_listed = |token: &Token| {
            let ends = until.is_none_or(|until| token.expires_at.is_some_and(|at| at <= until));
            ends && (token.is_active(now) || !self.active && until.is_none())
        };
        let tokens = self.tokens(admin)?.into_iter().filter(is_listed);
        tokens
            .map(|token| listed(store, &owners, token, now))
            .collect()
    }
}

impl Operation for ShowToken {
    const NAME: &'static str = "tokens.show";
    type View = ListedToken;

    fn perform(self, admin: &Admin<'_>) -> Result<ListedToken> {
        let store = admin.store;
        let token = store.access.token(TokenId(self.id))?.ok_or_else(|| {
            let what = format!("there is no token {}", self.id);
            Error::new(Kind::NotFound, what).remedy("see `breakwater token list`")
        })?;
        listed(store, &Owners::read(store)?, token, Timestamp::now())
    }
}

/// When that much time is over.
fn end(text: &str, now: Timestamp) -> Result<Timestamp> {
    let time = humantime::parse_duration(text).map_err(|_| {
        let what = format!("`{}` is no value of --expiring", excerpt(text));
        Error::new(Kind::Usage, what).remedy("write a time such as 14d or 12h")
    })?;
    Ok(now.plus(time))
}

fn listed(store: &Store, owners: &Owners, token: Token, now: Timestamp) -> Result<ListedToken> {
    let names = owners.names(&token);
    Ok(ListedToken {
        kind: token.kind,
        user: names.user.map(str::to_owned),
        group_path: names.group.map(str::to_owned),
        project_path: names.project.map(str::to_owned),
        state: match (token.revoked, token.is_expired(now)) {
            (true, _) => State::Revoked,
            (false, true) => State::Expired,
            (false, false) => State::Active,
        },
        ends_at: token.expires_at,
        used_at: store.cache.token_last_used(token.id)?.map(|(at, _)| at),
        made_by_user_id: token.maker.user_id,
        ends_with_maker: token.ends_with_maker,
        view: TokenView::new(store, token, now)?,
    })
}

impl ListTokens {
    fn tokens(&self, admin: &Admin<'_>) -> Result<Vec<Token>> {
        let access = &admin.store.access;
        if let Some(id) = self.made_by {
            return access.tokens_made_by(TokenId(id));
        }
        if let Some(user) = &self.user {
            return access.tokens(Some(admin.user(user)?.id));
        }
        let mut tokens = access.tokens(None)?;
        if let Some(path) = &self.path {
            match admin.place_of_path(path)? {
                Place::Group(group) => tokens.retain(|token| token.group_id == Some(group.id)),
                Place::Project(project) => {
                    tokens.retain(|token| token.project_id == Some(project.id));
                }
            }
        }
        Ok(tokens)
    }
}

/// The names of those whom tokens belong to.
pub struct Owners {
    users: HashMap<UserId, String>,
    groups: HashMap<GroupId, String>,
    projects: HashMap<ProjectId, String>,
}

struct Names<'a> {
    user: Option<&'a str>,
    group: Option<&'a str>,
    project: Option<&'a str>,
}

impl Owners {
    pub fn read(store: &Store) -> Result<Self> {
        let access = &store.access;
        let (users, groups) = (access.users()?.into_iter(), access.groups()?.into_iter());
        let projects = access.projects()?.into_iter();
        Ok(Self {
            users: users.map(|user| (user.id, user.name)).collect(),
            groups: groups.map(|group| (group.id, group.path)).collect(),
            projects: projects.map(|project| (project.id, project.path)).collect(),
        })
    }

    fn names(&self, token: &Token) -> Names<'_> {
        let user = token.user_id.and_then(|id| self.users.get(&id));
        let group = token.group_id.and_then(|id| self.groups.get(&id));
        let project = token.project_id.and_then(|id| self.projects.get(&id));
        Names {
            user: user.map(String::as_str),
            group: group.map(String::as_str),
            project: project.map(String::as_str),
        }
    }

    /// A job token belongs to a user and a project, a deploy token to a path and its own username.
    pub fn of(&self, token: &Token) -> String {
        let names = self.names(token);
        let owners = [
            names.user,
            names.group,
            names.project,
            token.username.as_deref(),
        ];
        owners.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
