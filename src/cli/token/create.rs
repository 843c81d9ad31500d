//! `breakwater token create`: which options make which kind of token.

use clap::{ArgGroup, Args};

use super::print_secret;
use crate::auth::administration::expiry::{parse_expiry, parse_ttl};
use crate::auth::administration::{names, tokens};

use crate::cli::output::hint;
use crate::cli::words::Level;
use crate::cli::workplace::{Place, Workplace, find_group, find_place, find_project, find_user};
use crate::error::Result;
use crate::store::{self, Maker, NewToken, Store, TokenKind};
use crate::time::Timestamp;

/// Make a token and print its secret alone on standard output; it is not shown again
#[derive(Debug, Args)]
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
pub(super) struct Create {
    /// What the token is called in lists
    #[arg(long)]
    name: String,
    /// read_registry, write_registry, read_virtual_registry, write_virtual_registry, and, but for deploy
    /// tokens, read_api, api; a job token has none
    #[arg(
        long,
        required_unless_present = "job",
        conflicts_with = "job",
        value_name = "SCOPE"
    )]
    scope: Vec<String>,
    /// 30d (from now), 2027-01-31 (the first moment of that day, UTC), or never
    #[arg(
        long,
        value_name = "30d|DATE|never",
        default_value = "365d",
        conflicts_with = "job"
    )]
    expires: String,
    /// The access level of a group's or project's token [default: maintainer]
    #[arg(long, value_enum, conflicts_with_all = ["user", "deploy", "job"])]
    level: Option<Level>,
    /// A personal access token of this user
    #[arg(long, value_name = "NAME", conflicts_with_all = ["group", "project", "deploy"])]
    user: Option<String>,
    /// A group access token
    #[arg(long, value_name = "PATH", conflicts_with_all = ["project", "deploy", "job"])]
    group: Option<String>,
    /// A project access token
    #[arg(long, value_name = "PATH", conflicts_with_all = ["deploy", "job"])]
    project: Option<String>,
    /// A deploy token of this group or project
    #[arg(long, value_name = "PATH", conflicts_with = "job")]
    deploy: Option<String>,
    /// The name that a deploy token logs in with [default: gitlab+deploy-token-ID]
    #[arg(long, value_name = "U", requires = "deploy", conflicts_with_all = ["user", "group", "project", "job"])]
    username: Option<String>,
    /// A job token for this project; it logs in as gitlab-ci-token, and speaks for --user
    #[arg(long, value_name = "PROJECT", requires = "user")]
    job: Option<String>,
    /// How long a job token lives
    #[arg(
        long,
        value_name = "1h",
        default_value = "1h",
        requires = "job",
        conflicts_with = "scope"
    )]
    ttl: String,
    /// Print JSON: id, kind, name, scopes, expires_at, token, and a deploy token's username
    #[arg(long)]
    json: bool,
}

impl Create {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        // What is wrong with the command itself is said before the store is looked for.
        let now = Timestamp::now();
        names::check_token_name(&self.name)?;
        if let Some(username) = &self.username {
            names::check_deploy_username(username)?;
        }
        let scopes = self.scopes()?;
        let expires_at = match self.job {
            Some(_) => Some(now.plus(parse_ttl(&self.ttl)?)),
            None => parse_expiry(&self.expires, now)?,
        };
        let store = place.open_store()?;
        let mut token = NewToken {
            kind: TokenKind::Personal,
            name: self.name.clone(),
            digest: [0; 32],
            scopes,
            user_id: None,
            group_id: None,
            project_id: None,
            username: None,
            access_level: None,
            expires_at,
            maker: Maker::on_the_box(),
        };
        self.belong(&store, &mut token)?;
        let (made, secret) = tokens::create_token(&store, &place.actor, token)?;
        print_secret(&made, &secret, self.json)?;
        if let (None, false, Some(username)) = (&self.username, self.json, &made.username) {
            hint(&format!("this token logs in as {username}"));
        }
        Ok(())
    }

    fn scopes(&self) -> Result<Vec<String>> {
        let kind = match (&self.job, &self.deploy) {
            (Some(_), _) => TokenKind::Job,
            (_, Some(_)) => TokenKind::Deploy,
            _ => TokenKind::Personal,
        };
        tokens::scope_words(kind, self.scope.iter().map(String::as_str))
    }

    /// Fills in the kind, and whose the token is. Groups and projects have no user behind their tokens, only
    /// the level that such a user would have.
    fn belong(&self, store: &Store, token: &mut NewToken) -> Result<()> {
        let level = self.level.map_or(store::Level::Maintainer, Into::into);
        if let Some(path) = &self.job {
            token.kind = TokenKind::Job;
            token.project_id = Some(find_project(store, path)?.id);
        } else if let Some(path) = &self.group {
            token.kind = TokenKind::Group;
            token.group_id = Some(find_group(store, path)?.id);
            token.access_level = Some(level);
        } else if let Some(path) = &self.project {
            token.kind = TokenKind::Project;
            token.project_id = Some(find_project(store, path)?.id);
            token.access_level = Some(level);
        } else if let Some(path) = &self.deploy {
            token.kind = TokenKind::Deploy;
            token.username.clone_from(&self.username);
            match find_place(store, path)? {
                Place::Group(group) => token.group_id = Some(group.id),
                Place::Project(project) => token.project_id = Some(project.id),
            }
        }
        if let Some(name) = &self.user {
            token.user_id = Some(find_user(store, name)?.id);
        }
        Ok(())
    }
}
