//! `breakwater token`: credentials with scopes. The secret is printed once, alone, on standard output.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::output::{Table, print, print_json, shown_time, time};
use super::words::{Level, kind_word};
use super::workplace::{Workplace, find_group, find_user};
use super::{Outcome, names, unavailable};
use crate::auth::scope::parse_scopes;
use crate::auth::secret::Secret;
use crate::error::{Error, Kind, Result};
use crate::store::{self, NewToken, Store, TokenId, TokenKind};
use crate::time::Timestamp;

/// Who made a token: this box's command line, not a user.
const CREATED_BY: &str = "box";
/// How long a token lives if nobody says otherwise.
const DEFAULT_EXPIRY: Duration = Duration::from_secs(365 * 86_400);

/// Make, list and revoke tokens
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TOKEN=$(breakwater token create --name ci --user alice --scope read_registry)
  breakwater token list --user alice")]
pub(super) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    /// List tokens; never their secrets
    #[command(after_help = "\
Examples:
  breakwater token list --json
  breakwater token list --user alice")]
    List {
        /// Tokens of this group or project
        path: Option<String>,
        /// Tokens of this user
        #[arg(long, value_name = "NAME", conflicts_with = "path")]
        user: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a token; it is refused from its next request on
    #[command(after_help = "Example:\n  breakwater token revoke 7")]
    Revoke {
        /// As `token list` shows it
        id: i64,
    },
}

/// Make a token and print its secret alone on standard output; it is not shown again
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("owner").required(true).multiple(true).args(["user", "group", "project", "deploy", "job"])))]
#[command(after_help = "\
Examples:
  TOKEN=$(breakwater token create --name ci --user alice --scope read_registry)
  breakwater token create --name ci --user alice --scope read_registry,write_registry
  breakwater token create --name box --user alice --scope api --expires 30d --json")]
struct Create {
    /// What the token is called in lists
    #[arg(long)]
    name: String,
    /// read_registry, write_registry, read_virtual_registry, write_virtual_registry, read_api, api
    #[arg(long, required = true, value_name = "SCOPE")]
    scope: Vec<String>,
    /// 30d (from now), 2027-01-31 (the first moment of that day, UTC), or never
    #[arg(long, value_name = "30d|DATE|never", default_value = "365d")]
    expires: String,
    /// The access level of a group or project access token
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// A personal access token of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A group access token (not available in this version)
    #[arg(long, value_name = "PATH")]
    group: Option<String>,
    /// A project access token (not available in this version)
    #[arg(long, value_name = "PATH")]
    project: Option<String>,
    /// A deploy token (not available in this version)
    #[arg(long, value_name = "PATH")]
    deploy: Option<String>,
    /// The name that a deploy token logs in with
    #[arg(long, value_name = "U", requires = "deploy")]
    username: Option<String>,
    /// A job token (not available in this version)
    #[arg(long, value_name = "PROJECT", requires = "user")]
    job: Option<String>,
    /// How long a job token lives
    #[arg(long, value_name = "1h", requires = "job")]
    ttl: Option<String>,
    /// Print JSON: id, kind, name, scopes, expires_at, token
    #[arg(long)]
    json: bool,
}

impl Token {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Create(create) => create.run(place)?,
            Action::List { path, user, json } => {
                list(&place.open_store()?, path.as_deref(), user.as_deref(), json)?;
            }
            Action::Revoke { id } => {
                place.open_store()?.access.revoke_token(TokenId(id))?;
                print(&format!("revoked token {id}"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

impl Create {
    fn run(self, place: &Workplace) -> Result<()> {
        let user = self.personal_owner()?;
        names::check_token_name(&self.name)?;
        let scopes = parse_scopes(self.scope.iter().map(String::as_str))?;
        let expires_at = parse_expiry(&self.expires, Timestamp::now())?;
        let store = place.open_store()?;
        let kind = TokenKind::Personal;
        let secret = Secret::mint(kind)?;
        let mut scopes: Vec<_> = scopes
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect();
        scopes.sort();
        let id = store.access.create_token(&NewToken {
            kind,
            name: self.name.clone(),
            digest: secret.digest(),
            scopes: scopes.clone(),
            user_id: Some(find_user(&store, user)?.id),
            group_id: None,
            project_id: None,
            username: None,
            access_level: None,
            expires_at,
            created_by: CREATED_BY.to_owned(),
        })?;
        if !self.json {
            return print(secret.expose());
        }
        print_json(&json!({
            "id": id,
            "kind": kind_word(kind),
            "name": self.name,
            "scopes": scopes,
            "expires_at": time(expires_at),
            "token": secret.expose(),
        }))
    }

    /// The user that a personal token is for; the other kinds are refused.
    fn personal_owner(&self) -> Result<&str> {
        let others = [
            ("group access tokens (--group)", self.group.is_some()),
            ("project access tokens (--project)", self.project.is_some()),
            ("deploy tokens (--deploy)", self.deploy.is_some()),
            ("job tokens (--job)", self.job.is_some()),
        ];
        if let Some((kind, _)) = others.iter().find(|(_, asked)| *asked) {
            let remedy = "make a personal one with --user";
            return Err(unavailable(&format!("making {kind}")).remedy(remedy));
        }
        if self.level.is_some() {
            let what = "a personal access token has no level of its own";
            return Err(
                Error::new(Kind::Usage, what).remedy("leave out --level; its user's counts")
            );
        }
        self.user.as_deref().ok_or_else(|| {
            Error::new(Kind::Usage, "nobody is named whose token it is").remedy("give --user NAME")
        })
    }
}

/// `30d` from `now`, a date (its first moment in UTC), an RFC 3339 time, or `never`.
fn parse_expiry(text: &str, now: Timestamp) -> Result<Option<Timestamp>> {
    let wrong =
        |what: String| Err(Error::new(Kind::Usage, what).remedy("write 30d, 2027-01-31 or never"));
    if text == "never" {
        return Ok(None);
    }
    // Time before date: a date's parser would take a time's date and forget the rest.
    let at = if let Ok(time) = text.parse::<jiff::Timestamp>() {
        Some(Timestamp(time.as_second()))
    } else if let (10, Ok(date)) = (text.len(), text.parse::<jiff::civil::Date>()) {
        let midnight = date.to_datetime(jiff::civil::Time::midnight());
        let midnight = jiff::tz::Offset::UTC.to_timestamp(midnight).ok();
        midnight.map(|time| Timestamp(time.as_second()))
    } else {
        let duration = humantime::parse_duration(text).ok();
        duration
            .filter(|duration| *duration <= 100 * DEFAULT_EXPIRY)
            .map(|duration| now.plus(duration))
    };
    let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    match at {
        None => wrong(format!("`{shown}` is no time to expire at")),
        Some(at) if at <= now => wrong(format!("`{shown}` is not in the future")),
        at => Ok(at),
    }
}

fn list(store: &Store, path: Option<&str>, user: Option<&str>, json: bool) -> Result<()> {
    let user = user.map(|name| find_user(store, name)).transpose()?;
    let group = path.map(|path| find_group(store, path)).transpose()?;
    let mut tokens = store.access.tokens(user.map(|user| user.id))?;
    if let Some(group) = group {
        tokens.retain(|token| token.group_id == Some(group.id));
    }
    let mut shown = Vec::new();
    for mut token in tokens {
        // Uses are written to the cache's database, in batches.
        if let Some((at, _)) = store.cache.token_last_used(token.id)? {
            token.last_used_at = Some(at);
        }
        shown.push(token);
    }
    let now = Timestamp::now();
    if json {
        return print_json(
            &shown
                .iter()
                .map(|token| shape(token, now))
                .collect::<Vec<_>>(),
        );
    }
    let mut table = Table::new(&[
        "ID",
        "KIND",
        "NAME",
        "OWNER",
        "SCOPES",
        "STATE",
        "EXPIRES",
        "LAST USED",
    ]);
    for token in shown {
        let owner = owner(store, &token)?;
        table.row([
            token.id.0.to_string(),
            kind_word(token.kind).to_owned(),
            token.name.clone(),
            owner,
            token.scopes.join(" "),
            state(&token, now).to_owned(),
            shown_time(token.expires_at, "never"),
            shown_time(token.last_used_at, "never"),
        ]);
    }
    table.print()
}

fn owner(store: &Store, token: &store::Token) -> Result<String> {
    if let Some(id) = token.user_id {
        return Ok(store
            .access
            .user(id)?
            .map_or_else(String::new, |user| user.name));
    }
    match token.group_id {
        Some(id) => Ok(store
            .access
            .group(id)?
            .map_or_else(String::new, |group| group.path)),
        None => Ok(String::new()),
    }
}

fn state(token: &store::Token, now: Timestamp) -> &'static str {
    if token.revoked {
        "revoked"
    } else if token.expires_at.is_some_and(|at| at <= now) {
        "expired"
    } else {
        "active"
    }
}

/// The field names of `/api/v4/personal_access_tokens`, and the kind.
fn shape(token: &store::Token, now: Timestamp) -> Value {
    json!({
        "id": token.id,
        "kind": kind_word(token.kind),
        "name": token.name,
        "scopes": token.scopes,
        "user_id": token.user_id,
        "group_id": token.group_id,
        "username": token.username,
        "access_level": token.access_level.map(|level| level as i64),
        "revoked": token.revoked,
        "active": state(token, now) == "active",
        "created_at": token.created_at.to_string(),
        "created_by": token.created_by,
        "expires_at": time(token.expires_at),
        "last_used_at": time(token.last_used_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_a_time_from_now_a_date_or_never() {
        // 2026-11-23T00:00:00Z
        let now = Timestamp(1_795_392_000);
        assert_eq!(now.to_string(), "2026-11-23T00:00:00Z");
        let cases: &[(&str, Option<Option<&str>>)] = &[
            ("never", Some(None)),
            ("30d", Some(Some("2026-12-23T00:00:00Z"))),
            ("365d", Some(Some("2027-11-23T00:00:00Z"))),
            ("2h", Some(Some("2026-11-23T02:00:00Z"))),
            ("2027-01-31", Some(Some("2027-01-31T00:00:00Z"))),
            (
                "2027-01-31T12:00:00+02:00",
                Some(Some("2027-01-31T10:00:00Z")),
            ),
            ("2026-11-23", None),
            ("2020-01-01", None),
            ("0", None),
            ("200000000d", None),
            ("soon", None),
            ("", None),
            ("2027-02-30", None),
            ("2027-01-31T12:00:00", None),
        ];
        for (text, expected) in cases {
            let got = parse_expiry(text, now)
                .ok()
                .map(|at| at.map(|at| at.to_string()));
            let expected = expected.map(|at| at.map(str::to_owned));
            assert_eq!(got, expected, "{text:?}");
        }
    }
}
