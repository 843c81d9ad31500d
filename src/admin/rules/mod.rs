//! Protection rules: who may push to or delete from which repositories and tags; of groups, who may fill and purge which
//! cached ones.

mod levels;
mod repositories;
mod tags;
mod view;

use std::marker::PhantomData;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named::Place;
use super::{Admin, NamedPlace, Operation};
use crate::error::{Error, Kind, Result};
use crate::store::{MinimumLevel, Page, RuleId, RuleOwner, Window};

pub use levels::{Least, Minimums, UpTo};
pub use repositories::{AddRule, SetRepositoryRule};
pub use tags::{AddTagRule, SetTagRule};
pub use view::{RepositoryRuleView, RuleView, ShownRule, TagRuleView};

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

impl Operation for SetRule {
    const NAME: &'static str = "rules.set";
    type View = RuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<RuleView> {
        let (access, id) = (&admin.store.access, RuleId(self.id));
        if let Some(rule) = access.rule(id)? {
            if self.immutable.is_some() {
                return Err(not_for(id, "--immutable", "a rule about repositories"));
            }
            let changed =
                repositories::change(admin, rule, self.pattern, self.tags, &self.minimums)?;
            return Ok(RuleView::Repository(changed));
        }
        let rule = access.tag_rule(id)?.ok_or_else(|| no_such(id))?;
        if self.tags.is_some() {
            return Err(not_for(id, "--tags", "a rule about tags"));
        }
        let changed = tags::change(admin, rule, self.pattern, &self.minimums, self.immutable)?;
        Ok(RuleView::Tag(changed))
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
