//! Rules about the repositories of a project, and about what a group has in the cache.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Admin, NamedPlace, Operation};
use super::{Minimums, RepositoryRuleView, no_such, refuse_empty, wrong};
use crate::auth::policy::protection::{check_pattern, check_tag_pattern};
use crate::error::{Error, Kind, Result};
use crate::store::{ProtectionRule, RuleId, RuleOwner};
use crate::time::Timestamp;

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

pub(super) fn change(
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
