//! `breakwater rule`: who may push to which repositories and tags, and who may delete there.

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, print, print_json, tell, tell_done, yes};
use super::shown::Shown;
use super::workplace::Workplace;
use crate::admin::rules::RuleView;
use crate::admin::{
    AccessAction, AddRule, AddTagRule, ExplainAccess, ListRules, Named, NamedPlace, RemoveRule,
    SetRule, id, one_of,
};
use crate::error::{Error, Kind, Result};
use crate::store::{MinimumLevel, TokenId};

/// Protect repositories and tags: say who may push to them, and who may delete there
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater rule add acme/api 'acme/api/prod*' --min-push maintainer --min-delete owner
  breakwater rule add acme 'library/*' --push-protected-up-to developer
  breakwater rule tag acme/api '^v[0-9]+' --immutable
  breakwater rule list acme/api")]
pub(super) struct Rule {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(Shown<AddRule>),
    Tag(Shown<AddTagRule>),
    Set(Shown<SetRule>),
    List(Shown<ListRules>),
    Remove(Shown<RemoveRule>),
    Check(Check),
}

/// Say whether somebody may pull from, push to or delete from a repository or a tag, and why; exit status 1 if not
///
/// The answer is the server's own, except that quotas are not considered. A user is judged as when logged in with the password,
/// a token by its scopes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater rule check alice acme/api:v1.0 --action push
  breakwater rule check token:7 acme/api --action delete --json")]
struct Check {
    /// The user, or token:ID
    #[arg(value_name = "USER|token:ID")]
    who: String,
    /// The repository's whole path, and a tag if it is about one
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: String,
    #[arg(long, default_value = "pull", value_parser = one_of::<AccessAction>())]
    action: AccessAction,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    fn run(self, place: &Workplace) -> Result<Outcome> {
        let (user, token) = match self.who.strip_prefix("token:") {
            None => (Some(self.who), None),
            Some(number) => {
                let token = id(number).map_err(|why| {
                    Error::new(Kind::Usage, format!("`{number}` is no id of a token")).remedy(why)
                })?;
                (None, Some(TokenId(token)))
            }
        };
        let (repository, tag) = match self.repository.split_once(':') {
            Some((repository, tag)) => (repository.to_owned(), Some(tag.to_owned())),
            None => (self.repository, None),
        };
        let view = place.perform(ExplainAccess {
            user,
            token,
            repository,
            tag,
            action: self.action,
        })?;
        match self.json {
            true => print_json(&view)?,
            false => {
                let word = match view.allowed {
                    true => "allowed",
                    false => "refused",
                };
                let remedy = view.remedy.map(|remedy| format!(" ({remedy})"));
                print(&format!(
                    "{word}: {}{}",
                    view.why,
                    remedy.unwrap_or_default()
                ))?;
            }
        }
        Ok(match view.allowed {
            true => Outcome::Done,
            false => Outcome::Bad,
        })
    }
}

impl Rule {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add(Shown { request, json }) => {
                let path = match &request.place {
                    NamedPlace::Path(path) => path.clone(),
                    NamedPlace::Group(_) | NamedPlace::Project(_) => String::new(),
                };
                let added = place.perform(request)?;
                tell(
                    &added,
                    json,
                    &format!("added rule {} to {path}", added.id.0),
                )?;
            }
            Action::Tag(Shown { request, json }) => {
                let path = match &request.project {
                    Named::Text(path) => path.clone(),
                    Named::Id(id) => id.0.to_string(),
                };
                let added = place.perform(request)?;
                tell(
                    &added,
                    json,
                    &format!("added rule {} to {path}", added.id.0),
                )?;
            }
            Action::Set(Shown { request, json }) => {
                let id = request.id;
                let nothing = request.pattern.is_none() && request.tags.is_none();
                if nothing && request.immutable.is_none() && request.minimums.is_empty() {
                    return Err(Error::new(Kind::Usage, "there is nothing to change")
                        .remedy("see `breakwater rule set --help`"));
                }
                let changed = place.perform(request)?;
                tell(&changed, json, &format!("changed rule {id}"))?;
            }
            Action::List(Shown { request, json }) => {
                let rules = place.perform(request)?;
                match json {
                    true => print_json(&rules)?,
                    false => table(rules)?,
                }
            }
            Action::Check(check) => return check.run(place),
            Action::Remove(Shown { request, json }) => {
                let id = request.id;
                place.perform(request)?;
                tell_done("removed", id, json, &format!("removed rule {id}"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn table(rules: Vec<RuleView>) -> Result<()> {
    let least = |minimum: Option<MinimumLevel>| minimum.map_or("-", <&str>::from).to_owned();
    let mut table = Table::new(&["ID", "REPOSITORIES", "TAGS", "PUSH", "DELETE", "IMMUTABLE"]);
    for rule in rules {
        let id = rule.id().0.to_string();
        table.row(match rule {
            RuleView::Repository(rule) => [
                id,
                rule.repository_path_pattern,
                rule.matching_package_version
                    .unwrap_or_else(|| "*".to_owned()),
                least(rule.minimum_access_level_for_push),
                least(rule.minimum_access_level_for_delete),
                yes(false),
            ],
            RuleView::Tag(rule) => [
                id,
                "all of the project".to_owned(),
                format!("/{}/", rule.tag_name_pattern),
                least(rule.minimum_access_level_for_push),
                least(rule.minimum_access_level_for_delete),
                yes(rule.immutable),
            ],
        });
    }
    table.print()
}
