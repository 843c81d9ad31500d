//! Protection rules: who may push to or delete from which repositories and tags; of groups, who may fill and purge which
//! cached ones.

mod levels;
mod view;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named::Place;
use super::{Admin, Named, Operation};
use crate::auth::policy::protection::{check_pattern, check_tag_expression, check_tag_pattern};
use crate::error::{Error, Kind, Result};
use crate::store::{MinimumLevel, ProjectId, ProtectionRule, RuleId, RuleOwner, TagRule};
use crate::time::Timestamp;

pub use levels::{Least, Minimums, UpTo};
pub use view::{RepositoryRuleView, RuleView, TagRuleView};

/// Protect the repositories of a project, or the images that a group has in the cache: there pushing means
/// filling and deleting means purging
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "\
Examples:
  breakwater rule add acme/api 'acme/api/prod*' --min-push maintainer
  breakwater rule add acme/api acme/api --push-protected-up-to developer --min-delete admin
  breakwater rule add acme/api 'acme/api*' --tags 'v*' --min-push owner
  breakwater rule add acme 'docker.io/library/*' --min-push owner")]
pub struct AddRule {
    /// The project or group
    pub path: String,
    /// Of a repository's whole path, or of a cached image; * is any run of characters, slashes too
    pub pattern: String,
    /// Protect only tags that match; * as above
    #[arg(
        long,
        visible_alias = "matching-package-version",
        value_name = "PATTERN"
    )]
    pub tags: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub minimums: Minimums,
}

/// Protect the tags of a project that match a regular expression
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "\
Examples:
  breakwater rule tag acme/api '^v[0-9]+' --immutable
  breakwater rule tag acme/api '^latest$' --min-push maintainer --min-delete owner")]
pub struct AddTagRule {
    /// The project
    #[arg(value_name = "PATH")]
    #[schemars(skip)]
    pub project: Named<ProjectId>,
    /// It matches anywhere in a tag, unless it is anchored with ^ and $
    pub regex: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub minimums: Minimums,
    /// Once such a tag is there it neither moves nor goes
    #[arg(long)]
    pub immutable: bool,
}

/// Change a rule; what is not given stays as it is
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "\
Examples:
  breakwater rule set 3 --push-protected-up-to no_access
  breakwater rule set 3 --min-push maintainer --min-delete none
  breakwater rule set 4 --immutable false")]
pub struct SetRule {
    /// As `rule list` shows it
    pub id: i64,
    /// The pattern, or the regular expression of a rule about tags
    #[arg(long)]
    pub pattern: Option<String>,
    /// Protect only tags that match; empty: all
    #[arg(
        long,
        visible_alias = "matching-package-version",
        value_name = "PATTERN"
    )]
    pub tags: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub minimums: Minimums,
    /// Of a rule about tags: whether they neither move nor go
    #[arg(long, value_name = "true|false")]
    pub immutable: Option<bool>,
}

/// List the rules of a project or group
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "Example:\n  breakwater rule list acme/api --json")]
pub struct ListRules {
    /// The project or group
    pub path: String,
}

/// Remove a rule
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "Example:\n  breakwater rule remove 3")]
pub struct RemoveRule {
    /// As `rule list` shows it
    pub id: i64,
}

impl Operation for AddRule {
    const NAME: &'static str = "rules.add";
    type View = RuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<RuleView> {
        let (owner, project) = match admin.place_of_path(&self.path)? {
            Place::Project(project) => (RuleOwner::Project(project.id), Some(project.path)),
            Place::Group(group) => (RuleOwner::Group(group.id), None),
        };
        let mut rule = ProtectionRule {
            id: RuleId(0),
            owner,
            pattern: String::new(),
            tag_pattern: None,
            min_push: None,
            min_delete: None,
            created_at: Timestamp(0),
        };
        set_pattern(&mut rule, self.pattern, project.as_deref())?;
        set_tags(&mut rule, self.tags)?;
        set_minimums(&mut rule, &self.minimums)?;
        let access = &admin.store.access;
        let id = access.add_rule(&admin.actor, &rule)?;
        RuleView::find(admin.store, id)?.ok_or_else(|| no_such(id))
    }
}

impl Operation for AddTagRule {
    const NAME: &'static str = "rules.add_tag";
    type View = RuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<RuleView> {
        let mut rule = TagRule {
            id: RuleId(0),
            project: admin.project(&self.project)?.id,
            pattern: String::new(),
            min_push: None,
            min_delete: None,
            immutable: false,
            created_at: Timestamp(0),
        };
        set_tag_rule(
            &mut rule,
            Some(self.regex),
            &self.minimums,
            Some(self.immutable),
        )?;
        let access = &admin.store.access;
        let id = access.add_tag_rule(&admin.actor, &rule)?;
        RuleView::find(admin.store, id)?.ok_or_else(|| no_such(id))
    }
}

impl Operation for SetRule {
    const NAME: &'static str = "rules.set";
    type View = RuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<RuleView> {
        let (access, id) = (&admin.store.access, RuleId(self.id));
        if let Some(mut rule) = access.rule(id)? {
            if self.immutable.is_some() {
                return Err(not_for(id, "--immutable", "a rule about repositories"));
            }
            if let Some(pattern) = self.pattern {
                let project = match rule.owner {
                    RuleOwner::Project(project) => access.project(project)?,
                    RuleOwner::Group(_) => None,
                };
                let project = project.as_ref().map(|project| project.path.as_str());
                set_pattern(&mut rule, pattern, project)?;
            }
            set_tags(&mut rule, self.tags)?;
            set_minimums(&mut rule, &self.minimums)?;
            access.set_rule(&admin.actor, &rule)?;
            return Ok(rule.into());
        }
        let mut rule = access.tag_rule(id)?.ok_or_else(|| no_such(id))?;
        if self.tags.is_some() {
            return Err(not_for(id, "--tags", "a rule about tags"));
        }
        set_tag_rule(&mut rule, self.pattern, &self.minimums, self.immutable)?;
        access.set_tag_rule(&admin.actor, &rule)?;
        Ok(rule.into())
    }
}

impl Operation for ListRules {
    const NAME: &'static str = "rules.list";
    type View = Vec<RuleView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<RuleView>> {
        let access = &admin.store.access;
        let (owner, tag_rules) = match admin.place_of_path(&self.path)? {
            Place::Project(project) => (
                RuleOwner::Project(project.id),
                access.tag_rules(project.id)?,
            ),
            Place::Group(group) => (RuleOwner::Group(group.id), Vec::new()),
        };
        let rules = access.rules(owner)?.into_iter().map(RuleView::from);
        Ok(rules
            .chain(tag_rules.into_iter().map(RuleView::from))
            .collect())
    }
}

impl Operation for RemoveRule {
    const NAME: &'static str = "rules.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let access = &admin.store.access;
        access.remove_rule(&admin.actor, RuleId(self.id))
    }
}

/// `project` is the path of the project whose rule it is.
fn set_pattern(rule: &mut ProtectionRule, pattern: String, project: Option<&str>) -> Result<()> {
    check_pattern(&pattern, project).map_err(wrong("repository_path_pattern"))?;
    rule.pattern = pattern;
    Ok(())
}

/// An empty text protects all tags again.
fn set_tags(rule: &mut ProtectionRule, tags: Option<String>) -> Result<()> {
    const FIELD: &str = "matching_package_version";
    let Some(tags) = tags else { return Ok(()) };
    if tags.is_empty() {
        rule.tag_pattern = None;
        return Ok(());
    }
    if matches!(rule.owner, RuleOwner::Group(_)) {
        let what = "a group's rule is about whole images in the cache, not about single tags";
        return Err(Error::new(Kind::Usage, what)
            .remedy("leave out --tags")
            .about(FIELD));
    }
    check_tag_pattern(&tags).map_err(wrong(FIELD))?;
    rule.tag_pattern = Some(tags);
    Ok(())
}

fn set_minimums(rule: &mut ProtectionRule, minimums: &Minimums) -> Result<()> {
    rule.min_push = minimums.push(rule.min_push);
    rule.min_delete = minimums.delete(rule.min_delete);
    refuse_empty(rule.min_push, rule.min_delete, false)
}

fn set_tag_rule(
    rule: &mut TagRule,
    pattern: Option<String>,
    minimums: &Minimums,
    immutable: Option<bool>,
) -> Result<()> {
    if let Some(pattern) = pattern {
        check_tag_expression(&pattern).map_err(wrong("tag_name_pattern"))?;
        rule.pattern = pattern;
    }
    rule.min_push = minimums.push(rule.min_push);
    rule.min_delete = minimums.delete(rule.min_delete);
    rule.immutable = immutable.unwrap_or(rule.immutable);
    refuse_empty(rule.min_push, rule.min_delete, rule.immutable)
}

fn refuse_empty(
    push: Option<MinimumLevel>,
    delete: Option<MinimumLevel>,
    immutable: bool,
) -> Result<()> {
    if push.is_some() || delete.is_some() || immutable {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, "the rule would protect nothing").remedy(
        "say who may push, with --min-push, or who may delete, with --min-delete; to end it, use `breakwater rule remove`",
    ))
}

/// What was asked for was wrong, so that the command's exit status is 2.
fn wrong(field: &'static str) -> impl Fn(Error) -> Error {
    move |error| {
        let wrong = Error::new(Kind::Usage, error.what()).about(field);
        match error.remedy_text() {
            Some(remedy) => wrong.remedy(remedy),
            None => wrong,
        }
    }
}

fn no_such(id: RuleId) -> Error {
    Error::new(Kind::NotFound, format!("there is no rule {}", id.0))
        .remedy("see `breakwater rule list PATH`")
}

fn not_for(id: RuleId, option: &str, what: &str) -> Error {
    let what = format!("rule {} is {what}: it has no {option}", id.0);
    Error::new(Kind::Usage, what).remedy("leave it out")
}
