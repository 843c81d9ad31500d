//! Tokens of every kind: personal ones, those of groups and projects, deploy tokens, and those of jobs.

mod expiry;
mod list;
mod view;

use clap::{ArgGroup, Args};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named::Place;
use super::{Admin, Named, Operation, one_of};
use crate::auth::administration::expiry::parse_ttl;
use crate::auth::administration::{names, tokens};
use crate::error::{Error, Kind, Result};
use crate::store::{GroupId, Level, NewToken, ProjectId, TokenId, TokenKind, UserId};
use crate::time::Timestamp;

pub use list::{ListTokens, ListedToken, Owners, State};
pub use view::{AccessTokenView, DeployTokenView, JobTokenView, NewTokenView, TokenView};

/// Make a token and print its secret alone on standard output; it is not shown again
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Args)]
// clap waives `requires` where what is required conflicts with what is given: both are said.
#[command(group(ArgGroup::new("owner").required(true).multiple(true).args(["user", "group", "project", "deploy", "job"])))]
#[command(after_help = "\
Examples:
  TOKEN=$(breakwater token create --name ci --user alice --scope read_registry)
  breakwater token create --name ci --user alice --scope read_registry,write_registry
  breakwater token create --name box --user alice --scope api --expires 30d --json
  breakwater token create --name farm --group acme --level developer --scope read_registry,write_registry
  breakwater token create --name k8s --deploy acme --username puller --scope read_registry
  breakwater token create --name job-1 --job acme/api --user alice --ttl 1h")]
pub struct CreateToken {
    /// What the token is called in lists
    #[arg(long)]
    pub name: String,
    /// read_registry, write_registry, read_virtual_registry, write_virtual_registry, and, but for deploy
    /// tokens, read_api, api; a job token has none
    #[arg(
        long = "scope",
        required_unless_present = "job",
        conflicts_with = "job",
        value_name = "SCOPE"
    )]
    pub scopes: Vec<String>,
    /// 30d (from now), 2027-01-31 (the first moment of that day, UTC), or never
    #[arg(
        long = "expires",
        value_name = "30d|DATE|never",
        default_value = "365d",
        conflicts_with = "job"
    )]
    pub expires_at: Option<String>,
    /// The access level of a group's or project's token [default: maintainer]
    #[arg(long = "level", value_name = "LEVEL", value_parser = one_of::<Level>(), conflicts_with_all = ["user", "deploy", "job"])]
    #[schemars(skip)]
    pub access_level: Option<Level>,
    /// A personal access token of this user
    #[arg(long, value_name = "NAME", conflicts_with_all = ["group", "project", "deploy"])]
    pub user: Option<Named<UserId>>,
    /// A group access token
    #[arg(long, value_name = "PATH", conflicts_with_all = ["project", "deploy", "job"])]
    pub group: Option<Named<GroupId>>,
    /// A project access token
    #[arg(long, value_name = "PATH", conflicts_with_all = ["deploy", "job"])]
    pub project: Option<Named<ProjectId>>,
    /// A deploy token of this group or project
    #[arg(long, value_name = "PATH", conflicts_with = "job")]
    pub deploy: Option<String>,
    /// The name that a deploy token logs in with [default: gitlab+deploy-token-ID]
    #[arg(long, value_name = "U", requires = "deploy", conflicts_with_all = ["user", "group", "project", "job"])]
    pub username: Option<String>,
    /// A job token for this project; it logs in as gitlab-ci-token, and speaks for --user
    #[arg(long, value_name = "PROJECT", requires = "user")]
    pub job: Option<Named<ProjectId>>,
    /// How long a job token lives
    #[arg(
        long,
        value_name = "1h",
        default_value = "1h",
        requires = "job",
        conflicts_with = "scopes"
    )]
    pub ttl: Option<String>,
}

/// Replace a token by one with another secret and id, and print the new secret alone
///
/// The old one is refused from its next request on. Whoever rotates a token that was revoked already uses a
/// secret that should be gone: then all that came from the same first token are revoked.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "\
Examples:
  TOKEN=$(breakwater token rotate 7)
  breakwater token rotate 7 --expires 30d --json")]
pub struct RotateToken {
    /// As `token list` shows it
    pub id: i64,
    /// 30d (from now), 2027-01-31 (the first moment of that day, UTC), or never
    #[arg(
        long = "expires",
        value_name = "30d|DATE|never",
        default_value = "365d"
    )]
    pub expires_at: Option<String>,
}

/// End a token; it is refused from its next request on
///
/// Personal tokens that its user made with it end too, and those that they made; what else it made stands alone:
/// see `token list --made-by`.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "Example:\n  breakwater token revoke 7")]
pub struct RevokeToken {
    /// As `token list` shows it
    pub id: i64,
}

impl Operation for CreateToken {
    const NAME: &'static str = "tokens.create";
    type View = NewTokenView;

    fn perform(self, admin: &Admin<'_>) -> Result<NewTokenView> {
        let now = Timestamp::now();
        let kind = self.kind();
        names::check_token_name(&self.name).map_err(|error| error.about("name"))?;
        let words = self.scopes.iter().map(String::as_str);
        let scopes = tokens::scope_words(kind, words).map_err(|error| error.about("scopes"))?;
        let username = self.username.clone().filter(|name| !name.is_empty());
        if let Some(username) = &username {
            names::check_deploy_username(username).map_err(|error| error.about("username"))?;
        }
        let mut token = NewToken {
            kind,
            name: self.name.clone(),
            digest: [0; 32],
            scopes,
            user_id: None,
            group_id: None,
            project_id: None,
            username,
            access_level: None,
            expires_at: None,
            maker: admin.caller.maker(),
        };
        if kind == TokenKind::Job {
            let ttl = parse_ttl(self.ttl.as_deref().unwrap_or("1h"));
            token.expires_at = Some(now.plus(ttl.map_err(|error| error.about("ttl"))?));
        }
        self.belong(admin, &mut token)?;
        if kind != TokenKind::Job {
            let asked = expiry::parse(self.expires_at.as_deref(), now)?;
            token.expires_at = expiry::of_new(admin, asked, &token, now)?;
        }
        let (made, secret) = tokens::create_token(admin.store, &admin.actor, token)?;
        Ok(NewTokenView {
            view: TokenView::of(admin.store, made, now)?,
            token: secret,
        })
    }
}

impl CreateToken {
    fn kind(&self) -> TokenKind {
        if self.job.is_some() {
            TokenKind::Job
        } else if self.deploy.is_some() {
            TokenKind::Deploy
        } else if self.group.is_some() {
            TokenKind::Group
        } else if self.project.is_some() {
            TokenKind::Project
        } else {
            TokenKind::Personal
        }
    }

    /// Fills in whose the token is. Groups and projects have no user behind their tokens, only the level that such a
    /// user would have.
    fn belong(&self, admin: &Admin<'_>, token: &mut NewToken) -> Result<()> {
        if let Some(group) = &self.group {
            token.group_id = Some(admin.group(group)?.id);
        }
        if let Some(project) = self.project.as_ref().or(self.job.as_ref()) {
            token.project_id = Some(admin.project(project)?.id);
        }
        if let Some(path) = &self.deploy {
            match admin.place_of_path(path)? {
                Place::Group(group) => token.group_id = Some(group.id),
                Place::Project(project) => token.project_id = Some(project.id),
            }
        }
        if let Some(user) = &self.user {
            token.user_id = Some(admin.user(user)?.id);
        }
        if matches!(token.kind, TokenKind::Group | TokenKind::Project) {
            token.access_level = Some(self.access_level.unwrap_or(Level::Maintainer));
        }
        Ok(())
    }
}

impl Operation for RotateToken {
    const NAME: &'static str = "tokens.rotate";
    type View = NewTokenView;

    fn perform(self, admin: &Admin<'_>) -> Result<NewTokenView> {
        let (store, now, id) = (admin.store, Timestamp::now(), TokenId(self.id));
        let asked = expiry::parse(self.expires_at.as_deref(), now)?;
        let old = store.access.token(id)?.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no token {}", id.0))
                .remedy("see `breakwater token list`")
        })?;
        let maker = admin.caller.maker();
        if maker.token_id.is_some() && !old.revoked && old.is_expired(now) {
            return Err(Error::new(Kind::BadRequest, "token is expired"));
        }
        let expires_at = expiry::of_successor(admin, asked, &old, now)?;
        let (made, secret) = tokens::rotate_token(store, &admin.actor, id, expires_at, &maker)?
            .ok_or_else(|| revoked_already(id))?;
        Ok(NewTokenView {
            view: TokenView::of(store, made, now)?,
            token: secret,
        })
    }
}

impl Operation for RevokeToken {
    const NAME: &'static str = "tokens.revoke";
    /// The others that were revoked with it.
    type View = Vec<TokenId>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<TokenId>> {
        let access = &admin.store.access;
        access.revoke_token(&admin.actor, TokenId(self.id))
    }
}

fn revoked_already(id: TokenId) -> Error {
    let what = format!(
        "token {} was revoked already, and somebody still uses it: all tokens that it was rotated from or into are revoked now",
        id.0
    );
    Error::new(Kind::Conflict, what).remedy("make a new one with `breakwater token create`")
}
