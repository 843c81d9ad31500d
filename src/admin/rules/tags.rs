//! Rules about the tags of a project.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Admin, Named, Operation};
use super::{Minimums, TagRuleView, no_such, refuse_empty, wrong};
use crate::auth::policy::protection::check_tag_expression;
use crate::error::Result;
use crate::store::{ProjectId, RuleId, TagRule};
use crate::time::Timestamp;

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

impl Operation for SetTagRule {
    const NAME: &'static str = "rules.set_tag";
    type View = TagRuleView;

    fn perform(self, admin: &Admin<'_>) -> Result<TagRuleView> {
        let (id, project) = (RuleId(self.rule_id), admin.project(&self.project)?.id);
        let rule = admin.store.access.tag_rule(id)?;
        let rule = rule
            .filter(|rule| rule.project == project)
            .ok_or_else(|| no_such(id))?;
        change(
            admin,
            rule,
            self.tag_name_pattern,
            &self.minimums,
            self.immutable,
        )
    }
}

pub(super) fn change(
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
