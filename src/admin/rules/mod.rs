//! Protection rules: who may push to or delete from which repositories and tags; of groups, who may fill and purge which
//! cached ones.

mod levels;
mod view;

use std::marker::PhantomData;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named::Place;
use super::{Admin, Named, NamedPlace, Operation};
use crate::auth::policy::protection::{check_pattern, check_tag_expression, check_tag_pattern};
use crate::error::{Error, Kind, Result};
use crate::store::{
    MinimumLevel, Page, ProjectId, ProtectionRule, RuleId, RuleOwner, TagRule, Window,
};
use crate::time::Timestamp;

pub use levels::{Least, Minimums, UpTo};
pub use view::{RepositoryRuleView, RuleView, ShownRule, TagRuleView};

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
    #[arg(value_name = "PATH")]
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    /// Of a repository's whole path, or of a cached image; * is any run of characters, slashes too
    #[arg(required = true)]
    #[serde(rename = "repository_path_pattern")]
    pub pattern: Option<String>,
    /// another name of repository_path_pattern
    #[arg(skip)]
    pub container_path: Option<String>,
    /// Protect only tags that match; * as above
    #[arg(
        long,
        visible_alias = "matching-package-version",
        value_name = "PATTERN"
    )]
    #[serde(rename = "matching_package_version")]
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
    #[serde(rename = "tag_name_pattern")]
    pub regex: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub minimums: Minimums,
    /// Once such a tag is there it neither moves nor goes
    #[arg(long)]
    #[serde(default)]
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

/// Changes a rule about repositories of the place; what is not given stays as it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetRepositoryRule {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    #[schemars(skip)]
    pub rule_id: i64,
    /// of the whole path; * for any run of characters
    pub repository_path_pattern: Option<String>,
    /// another name of repository_path_pattern
    pub container_path: Option<String>,
    /// only tags that match; * as above; empty: all
    pub matching_package_version: Option<String>,
    #[serde(flatten)]
    pub minimums: Minimums,
}

/// Changes a rule about tags of the project; what is not given stays as it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetTagRule {
    #[schemars(skip)]
    pub project: Named<ProjectId>,
    #[schemars(skip)]
    pub rule_id: i64,
    /// a regular expression
    pub tag_name_pattern: Option<String>,
    #[serde(flatten)]
    pub minimums: Minimums,
    /// such a tag, once made, neither moves nor goes
    pub immutable: Option<bool>,
}

/// List the rules of a project or group
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "Example:\n  breakwater rule list acme/api --json")]
pub struct ListRules {
    /// The project or group
    pub path: String,
}

/// The rules of one kind, page by page.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListRulesOfKind<V> {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
    #[serde(skip)]
    #[schemars(skip)]
    pub shown: PhantomData<V>,
}

/// Remove a rule
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "Example:\n  breakwater rule remove 3")]
pub struct RemoveRule<V = RuleView> {
    #[serde(flatten)]
    #[schemars(skip)]
    #[arg(skip)]
    pub place: Option<NamedPlace>,
    /// As `rule list` shows it
    #[serde(alias = "rule_id")]
    #[schemars(skip)]
    pub id: i64,
    #[serde(skip)]
    #[schemars(skip)]
    #[arg(skip)]
    pub shown: PhantomData<V>,
}

impl Operation for AddRule {
    const NAME: &'static str = "rules.add";
    type View = RepositoryRuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<RepositoryRuleView> {
        let place = admin.place(&self.place)?;
        let pattern = self.pattern.or(self.container_path);
        let pattern = pattern
            .ok_or_else(|| Error::new(Kind::Usage, "a rule needs a repository_path_pattern"))?;
        let mut rule = ProtectionRule {
            id: RuleId(0),
            owner: place.rules(),
            pattern: String::new(),
            tag_pattern: None,
            min_push: None,
            min_delete: None,
            created_at: Timestamp(0),
        };
        set_rule(admin, &mut rule, Some(pattern), self.tags, &self.minimums)?;
        let access = &admin.store.access;
        rule.id = access.add_rule(&admin.actor, &rule)?;
        access
            .rule(rule.id)?
            .map(Into::into)
            .ok_or_else(|| no_such(rule.id))
    }
}

impl Operation for AddTagRule {
    const NAME: &'static str = "rules.add_tag";
    type View = TagRuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<TagRuleView> {
        let mut rule = TagRule {
            id: RuleId(0),
            project: admin.project(&self.project)?.id,
            pattern: String::new(),
            min_push: None,
            min_delete: None,
            immutable: false,
            created_at: Timestamp(0),
        };
        let immutable = Some(self.immutable);
        set_tag_rule(&mut rule, Some(self.regex), &self.minimums, immutable)?;
        let access = &admin.store.access;
        rule.id = access.add_tag_rule(&admin.actor, &rule)?;
        access
            .tag_rule(rule.id)?
            .map(Into::into)
            .ok_or_else(|| no_such(rule.id))
    }
}

impl Operation for SetRule {
    const NAME: &'static str = "rules.set";
    type View = RuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<RuleView> {
        let (access, id) = (&admin.store.access, RuleId(self.id));
        if let Some(rule) = access.rule(id)? {
            if self.immutable.is_some() {
                return Err(not_for(id, "--immutable", "a rule about repositories"));
            }
            let changed = change(admin, rule, self.pattern, self.tags, &self.minimums)?;
            return Ok(RuleView::Repository(changed));
        }
        let rule = access.tag_rule(id)?.ok_or_else(|| no_such(id))?;
        if self.tags.is_some() {
            return Err(not_for(id, "--tags", "a rule about tags"));
        }
        let changed = change_of_tags(admin, rule, self.pattern, &self.minimums, self.immutable)?;
        Ok(RuleView::Tag(changed))
    }
}

impl Operation for SetRepositoryRule {
    const NAME: &'static str = "rules.set_repository";
    type View = RepositoryRuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<RepositoryRuleView> {
        let (id, owner) = (RuleId(self.rule_id), admin.place(&self.place)?.rules());
        let rule = admin
            .store
            .access
            .rule(id)?
            .filter(|rule| rule.owner == owner);
        let rule = rule.ok_or_else(|| no_such(id))?;
        let pattern = self.repository_path_pattern.or(self.container_path);
        change(
            admin,
            rule,
            pattern,
            self.matching_package_version,
            &self.minimums,
        )
    }
}

impl Operation for SetTagRule {
    const NAME: &'static str = "rules.set_tag";
    type View = TagRuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<TagRuleView> {
        let (id, project) = (RuleId(self.rule_id), admin.project(&self.project)?.id);
        let rule = admin.store.access.tag_rule(id)?;
        let rule = rule
            .filter(|rule| rule.project == project)
            .ok_or_else(|| no_such(id))?;
        change_of_tags(
            admin,
            rule,
            self.tag_name_pattern,
            &self.minimums,
            self.immutable,
        )
    }
}

impl Operation for ListRules {
    const NAME: &'static str = "rules.list";
    type View = Vec<RuleView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<RuleView>> {
        rules_of(admin, &admin.place_of_path(&self.path)?)
    }
}

impl<V: ShownRule> Operation for ListRulesOfKind<V> {
    const NAME: &'static str = "rules.list_of_kind";
    type View = Page<V>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<V>> {
        let rules = rules_of(admin, &admin.place(&self.place)?)?.into_iter();
        let rules = rules.filter_map(V::of);
        Ok(Page::of(rules.collect(), self.window))
    }
}

impl<V: ShownRule> Operation for RemoveRule<V> {
    const NAME: &'static str = "rules.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let (access, id) = (&admin.store.access, RuleId(self.id));
        let place = self.place.map(|named| admin.place(&named)).transpose()?;
        let found = RuleView::find(admin.store, id)?;
        let found = found.filter(|rule| place.is_none_or(|place| rule.is_of(place.rules())));
        match found.and_then(V::of) {
            Some(_) => access.remove_rule(&admin.actor, id),
            None => Err(no_such(id)),
        }
    }
}

impl Place {
    /// Whose rules those of the place are.
    fn rules(&self) -> RuleOwner {
        match self {
            Self::Group(group) => RuleOwner::Group(group.id),
            Self::Project(project) => RuleOwner::Project(project.id),
        }
    }
}

fn rules_of(admin: &Admin<'_>, place: &Place) -> Result<Vec<RuleView>> {
    let access = &admin.store.access;
    let tag_rules = match place {
        Place::Project(project) => access.tag_rules(project.id)?,
        Place::Group(_) => Vec::new(),
    };
    let rules = access.rules(place.rules())?.into_iter();
    let rules = rules.map(|rule| RuleView::Repository(rule.into()));
    let tag_rules = tag_rules.into_iter();
    Ok(rules
        .chain(tag_rules.map(|rule| RuleView::Tag(rule.into())))
        .collect())
}

fn change(
    admin: &Admin<'_>,
    mut rule: ProtectionRule,
    pattern: Option<String>,
    tags: Option<String>,
    minimums: &Minimums,
) -> Result<RepositoryRuleView> {
    set_rule(admin, &mut rule, pattern, tags, minimums)?;
    admin.store.access.set_rule(&admin.actor, &rule)?;
    Ok(rule.into())
}

fn change_of_tags(
    admin: &Admin<'_>,
    mut rule: TagRule,
    pattern: Option<String>,
    minimums: &Minimums,
    immutable: Option<bool>,
) -> Result<TagRuleView> {
    set_tag_rule(&mut rule, pattern, minimums, immutable)?;
    admin.store.access.set_tag_rule(&admin.actor, &rule)?;
    Ok(rule.into())
}

fn set_rule(
    admin: &Admin<'_>,
    rule: &mut ProtectionRule,
    pattern: Option<String>,
    tags: Option<String>,
    minimums: &Minimums,
) -> Result<()> {
    if let Some(pattern) = pattern {
        let project = match rule.owner {
            RuleOwner::Project(project) => admin.store.access.project(project)?,
            RuleOwner::Group(_) => None,
        };
        let project = project.as_ref().map(|project| project.path.as_str());
        check_pattern(&pattern, project).map_err(wrong("repository_path_pattern"))?;
        rule.pattern = pattern;
    }
    set_tags(rule, tags)?;
    rule.min_push = minimums.push(rule.min_push);
    rule.min_delete = minimums.delete(rule.min_delete);
    refuse_empty(rule.min_push, rule.min_delete, false)
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
            .remedy("leave out `matching_package_version` (on the command line `--tags`)")
            .about(FIELD));
    }
    check_tag_pattern(&tags).map_err(wrong(FIELD))?;
    rule.tag_pattern = Some(tags);
    Ok(())
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
        "say who may push, with `minimum_access_level_for_push`, or who may delete, with `minimum_access_level_for_delete` (on the command line `--min-push` and `--min-delete`); to end it, use `breakwater rule remove`",
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
        .about("Protection Rule")
}

fn not_for(id: RuleId, option: &str, what: &str) -> Error {
    let what = format!("rule {} is {what}: it has no {option}", id.0);
    Error::new(Kind::Usage, what).remedy("leave it out")
}
