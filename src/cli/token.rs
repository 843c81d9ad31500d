//! `breakwater token`: credentials with scopes. The secret is printed once, alone, on standard output.

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::Outcome;
use super::output::{Table, hint, print, print_json, shown_time, tell};
use super::shown::Shown;
use super::words::level_word;
use super::workplace::Workplace;
use crate::admin::tokens::{ListedToken, NewTokenFields, NewTokenView, TokenView};
use crate::admin::{
    CreateAccessToken, CreateDeployToken, CreateJobToken, CreatePersonalToken, ListTokens, Named,
    NamedPlace, RevokeToken, RotateToken, ShowToken, id, one_of,
};
use crate::error::Result;
use crate::store::{GroupId, Level, ProjectId, TokenId, UserId};

/// How long a token lives that is no job's, unless somebody says.
const LIFETIME: &str = "365d";

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
    Create(Box<Shown<Create>>),
    List(Shown<ListTokens>),
    /// Show one token: whose it is, its scopes, when it ends and was last used; never its secret
    #[command(after_help = "Example:\n  breakwater token show 7 --json")]
    Show {
        /// Its id, as in the list
        #[arg(value_parser = id)]
        id: i64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Revoke(Shown<RevokeToken>),
    Rotate(Shown<RotateToken>),
}

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
  breakwater token create --name job-1 --job acme/api --user alice --expires 1h")]
struct Create {
    #[command(flatten)]
    new: NewTokenFields,
    /// The access level of a group's or project's token [default: maintainer]
    #[arg(long = "level", value_name = "LEVEL", value_parser = one_of::<Level>(), conflicts_with_all = ["user", "deploy", "job"])]
    access_level: Option<Level>,
    /// A personal access token of this user
    #[arg(long, value_name = "NAME", conflicts_with_all = ["group", "project", "deploy"])]
    user: Option<Named<UserId>>,
    /// A group access token
    #[arg(long, value_name = "PATH", conflicts_with_all = ["project", "deploy", "job"])]
    group: Option<Named<GroupId>>,
    /// A project access token
    #[arg(long, value_name = "PATH", conflicts_with_all = ["deploy", "job"])]
    project: Option<Named<ProjectId>>,
    /// A deploy token of this group or project
    #[arg(long, value_name = "PATH", conflicts_with = "job")]
    deploy: Option<String>,
    /// The name that a deploy token logs in with [default: gitlab+deploy-token-ID]
    #[arg(long, value_name = "U", requires = "deploy", conflicts_with_all = ["user", "group", "project", "job"])]
    username: Option<String>,
    /// A job token for this project; it logs in as gitlab-ci-token, and speaks for --user
    #[arg(long, value_name = "PROJECT", requires = "user")]
    job: Option<Named<ProjectId>>,
}

impl Token {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Create(create) => {
                let Shown { request, json } = *create;
                request.run(place, json)?;
            }
            Action::List(Shown { request, json }) => {
                let tokens = place.perform(request)?;
                match json {
                    true => print_json(&tokens)?,
                    false => table(tokens)?,
                }
            }
            Action::Show { id, json } => {
                let token = place.perform(ShowToken { id })?;
                match json {
                    true => print_json(&token)?,
                    false => show(token)?,
                }
            }
            Action::Revoke(Shown { request, json }) => {
                let id = request.id;
                let with_it = place.perform(request)?;
                let line = format!("revoked token {id}{}", shown_with_it(&with_it));
                let with_it: Vec<_> = with_it.iter().map(|id| id.0).collect();
                tell(&json!({ "revoked": id, "with_it": with_it }), json, &line)?;
            }
            Action::Rotate(Shown { request, json }) => {
                print_secret(&place.perform(request)?, json)?;
            }
        }
        Ok(Outcome::Done)
    }
}

impl Create {
    fn run(self, place: &Workplace, json: bool) -> Result<()> {
        let mut new = self.new;
        if let Some(project) = self.job {
            let request = CreateJobToken {
                project,
                name: Some(new.name),
                ttl: new.expires_at,
                user: self.user,
            };
            return print_secret(&place.perform(request)?, json);
        }
        new.expires_at.get_or_insert_with(|| LIFETIME.to_owned());
        if let Some(path) = self.deploy {
            let is_named = self.username.is_some();
            let made = place.perform(CreateDeployToken {
                place: path.into(),
                new,
                username: self.username,
            })?;
            print_secret(&made, json)?;
            if !json && !is_named {
                let username = made.view.username.unwrap_or_default();
                hint(&format!("this token logs in as {username}"));
            }
            return Ok(());
        }
        let group = self.group.map(NamedPlace::Group);
        let made = match group.or(self.project.map(NamedPlace::Project)) {
            Some(of) => place.perform(CreateAccessToken {
                place: of,
                new,
                access_level: self.access_level,
            })?,
            None => place.perform(CreatePersonalToken {
                user: self.user,
                new,
            })?,
        };
        print_secret(&made, json)
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

fn print_secret<V: Serialize>(made: &NewTokenView<V>, json: bool) -> Result<()> {
    match json {
        true => print_json(made),
        false => print(made.token.expose()),
    }
}

fn show(token: ListedToken) -> Result<()> {
    for (field, value) in COLUMNS.into_iter().zip(cells(token)) {
        print(&format!("{:<10} {value}", field.to_lowercase()))?;
    }
    Ok(())
}

fn table(tokens: Vec<ListedToken>) -> Result<()> {
    let mut table = Table::new(&COLUMNS);
    for token in tokens {
        table.row(cells(token));
    }
    table.print()
}

const COLUMNS: [&str; 10] = [
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
];

fn cells(token: ListedToken) -> [String; COLUMNS.len()] {
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
    [
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
    ]
}
