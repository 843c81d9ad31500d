//! From what was typed to a rule: a new one, or one with changes. What would protect nothing is refused.

use super::minimum::{Change, Minimums};
use crate::auth::policy::protection::{check_pattern, check_tag_expression, check_tag_pattern};
use crate::cli::workplace::{Place, Workplace, find_place};
use crate::error::{Error, Kind, Result};
use crate::store::{MinimumLevel, ProjectId, ProtectionRule, RuleId, RuleOwner, Store, TagRule};
use crate::time::Timestamp;

pub(super) fn new_rule(
    store: &Store,
    path: &str,
    pattern: String,
    tags: Option<String>,
    minimums: &Minimums,
) -> Result<ProtectionRule> {
    let owner = match find_place(store, path)? {
        Place::Project(project) => {
            check_pattern(&pattern, Some(&project.path)).map_err(usage)?;
            RuleOwner::Project(project.id)
        }
        Place::Group(group) => {
            check_pattern(&pattern, None).map_err(usage)?;
            refuse_tags_of_a_group(tags.as_deref())?;
            RuleOwner::Group(group.id)
        }
    };
    if let Some(tags) = &tags {
        check_tag_pattern(tags).map_err(usage)?;
    }
    let (min_push, min_delete) = (minimums.push().of(None), minimums.delete().of(None));
    refuse_empty(min_push, min_delete, false)?;
    Ok(ProtectionRule {
        id: RuleId(0),
        owner,
        pattern,
        tag_pattern: tags,
        min_push,
        min_delete,
        created_at: Timestamp(0),
    })
}

pub(super) fn new_tag_rule(
    project: ProjectId,
    regex: String,
    minimums: &Minimums,
    immutable: bool,
) -> Result<TagRule> {
    check_tag_expression(&regex).map_err(usage)?;
    let (min_push, min_delete) = (minimums.push().of(None), minimums.delete().of(None));
    refuse_empty(min_push, min_delete, immutable)?;
    Ok(TagRule {
        id: RuleId(0),
        project,
        pattern: regex,
        min_push,
        min_delete,
        immutable,
        created_at: Timestamp(0),
    })
}

/// What `rule set` was asked to change.
pub(super) struct Changes {
    pub(super) pattern: Option<String>,
    pub(super) tags: Option<String>,
    pub(super) minimums: Minimums,
    pub(super) immutable: Option<bool>,
}

impl Changes {
    pub(super) fn apply(self, place: &Workplace, store: &Store, id: RuleId) -> Result<()> {
        let (push, delete) = (self.minimums.push(), self.minimums.delete());
        let nothing = self.pattern.is_none() && self.tags.is_none() && self.immutable.is_none();
        if nothing && push == Change::Keep && delete == Change::Keep {
            return Err(Error::new(Kind::Usage, "there is nothing to change")
                .remedy("see `breakwater rule set --help`"));
        }
        if let Some(mut rule) = store.access.rule(id)? {
            if self.immutable.is_some() {
                return Err(not_for(id, "--immutable", "a rule about repositories"));
            }
            let project = match rule.owner {
                RuleOwner::Project(project) => store.access.project(project)?,
                RuleOwner::Group(_) => {
                    refuse_tags_of_a_group(self.tags.as_deref())?;
                    None
                }
            };
            if let Some(pattern) = self.pattern {
                let project = project.as_ref().map(|project| project.path.as_str());
                check_pattern(&pattern, project).map_err(usage)?;
                rule.pattern = pattern;
            }
            if let Some(tags) = self.tags {
                rule.tag_pattern = Some(tags).filter(|tags| !tags.is_empty());
                rule.tag_pattern
                    .as_deref()
                    .map_or(Ok(()), check_tag_pattern)
                    .map_err(usage)?;
            }
            rule.min_push = push.of(rule.min_push);
            rule.min_delete = delete.of(rule.min_delete);
            refuse_empty(rule.min_push, rule.min_delete, false)?;
            return store.access.set_rule(&place.actor, &rule);
        }
        let mut rule = stored(store.access.tag_rule(id), id)?;
        if self.tags.is_some() {
            return Err(not_for(id, "--tags", "a rule about tags"));
        }
        if let Some(pattern) = self.pattern {
            check_tag_expression(&pattern).map_err(usage)?;
            rule.pattern = pattern;
        }
        rule.min_push = push.of(rule.min_push);
        rule.min_delete = delete.of(rule.min_delete);
        rule.immutable = self.immutable.unwrap_or(rule.immutable);
        refuse_empty(rule.min_push, rule.min_delete, rule.immutable)?;
        store.access.set_tag_rule(&place.actor, &rule)
    }
}

/// The row that must be there.
pub(super) fn stored<T>(found: Result<Option<T>>, id: RuleId) -> Result<T> {
    found?.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("there is no rule {}", id.0))
            .remedy("see `breakwater rule list PATH`")
    })
}

/// What was typed was wrong, so the exit status is 2.
fn usage(error: Error) -> Error {
    let wrong = Error::new(Kind::Usage, error.what());
    match error.remedy_text() {
        Some(remedy) => wrong.remedy(remedy),
        None => wrong,
    }
}

fn refuse_tags_of_a_group(tags: Option<&str>) -> Result<()> {
    match tags {
        None | Some("") => Ok(()),
        Some(_) => Err(Error::new(
            Kind::Usage,
            "a group's rule is about whole images in the cache, not about single tags",
        )
        .remedy("leave out --tags")),
    }
}

fn refuse_empty(
    push: Option<MinimumLevel>,
    delete: Option<MinimumLevel>,
    immutable: bool,
) -> Result<()> {
    if push.is_some() || delete.is_some() || immutable {
        return Ok(());
    }
    Err(
        Error::new(Kind::Usage, "the rule would protect nothing").remedy(
            "say who may push, with --min-push, or who may delete, with --min-delete; to end it, use `breakwater rule remove`",
        ),
    )
}

fn not_for(id: RuleId, option: &str, what: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!("rule {} is {what}: it has no {option}", id.0),
    )
    .remedy("leave it out")
}
