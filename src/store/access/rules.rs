//! Protection rules: rows of `protection_rules`, of both kinds. What they mean for whom is decided above.

use rusqlite::{Connection, Row, params};

use super::groups::group_place;
use super::minimum_level::MinimumLevel;
use super::projects::project_place;
use super::{AccessDb, GroupId, ProjectId, RuleId, no_such, taken};
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::audit::{Actor, Detail, Event, EventKind, EventPlace};
use crate::store::statement::{find, get, list, run, size};
use crate::time::Timestamp;

/// Whose repositories a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleOwner {
    /// A project: what is pushed to it.
    Project(ProjectId),
    /// A group: what it and those below it have in the cache. Pushing means filling, deleting means purging.
    Group(GroupId),
}

/// A rule about the repositories whose path matches a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionRule {
    pub id: RuleId,
    pub owner: RuleOwner,
    /// Of the whole path; `*` matches any run of characters.
    pub pattern: String,
    /// Narrows it to the tags that match; `*` as above.
    pub tag_pattern: Option<String>,
    /// Who may push; `None`: this rule does not say.
    pub min_push: Option<MinimumLevel>,
    /// Who may delete; `None`: this rule does not say.
    pub min_delete: Option<MinimumLevel>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A rule about a project's tags that match a regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRule {
    pub id: RuleId,
    pub project: ProjectId,
    /// The regular expression; it matches anywhere in the tag unless it is anchored.
    pub pattern: String,
    /// Who may push such a tag; `None`: this rule does not say.
    pub min_push: Option<MinimumLevel>,
    /// Who may delete one; `None`: this rule does not say.
    pub min_delete: Option<MinimumLevel>,
    /// Whether such a tag, once made, neither moves nor goes.
    pub immutable: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The most rules of one kind that a project or a group may have: each of them is looked at for every push, and those of
/// groups for every pull.
pub const MAX_RULES: u64 = 100;

const REPOSITORY: &str = "repository";
const TAG: &str = "tag";

impl AccessDb {
    /// Adds a rule; its `id` and `created_at` are given here. `Conflict` if there is one of the same patterns;
    /// `NotFound` if its owner is gone; `BadRequest` if it protects nothing, or there are [`MAX_RULES`] already.
    pub fn add_rule(&self, actor: &Actor, rule: &ProtectionRule) -> Result<RuleId> {
        protects_something(rule.min_push, rule.min_delete, false)?;
        let (project, group) = owner_columns(rule.owner);
        self.database
            .change(actor, |connection| {
                one_more_fits(connection, REPOSITORY, rule.owner)?;
                let id = get(
                    connection,
                    "add protection rule",
                    "INSERT INTO protection_rules
                         (kind, project_id, group_id, pattern, tag_pattern, min_push, min_delete, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
                    params![
                        REPOSITORY,
                        project,
                        group,
                        rule.pattern,
                        rule.tag_pattern,
                        rule.min_push,
                        rule.min_delete,
                        Timestamp::now().0,
                    ],
                    |row| row.get(0).map(RuleId),
                )?;
                let owner = owner_place(connection, rule.owner)?;
                Ok((id, Some(about_rule(EventKind::RuleAdded, id, rule, owner))))
            })
            .map_err(|error| taken(error, || already(&rule.pattern)))
    }

    /// As [`Self::add_rule`], for tags.
    pub fn add_tag_rule(&self, actor: &Actor, rule: &TagRule) -> Result<RuleId> {
        protects_something(rule.min_push, rule.min_delete, rule.immutable)?;
        self.database
            .change(actor, |connection| {
                one_more_fits(connection, TAG, RuleOwner::Project(rule.project))?;
                let id = get(
                    connection,
                    "add tag rule",
                    "INSERT INTO protection_rules
                         (kind, project_id, pattern, min_push, min_delete, immutable, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
                    params![
                        TAG,
                        rule.project.0,
                        rule.pattern,
                        rule.min_push,
                        rule.min_delete,
                        rule.immutable,
                        Timestamp::now().0,
                    ],
                    |row| row.get(0).map(RuleId),
                )?;
                let owner = project_place(connection, rule.project)?;
                let event = about_tag_rule(EventKind::RuleAdded, id, rule, owner);
                Ok((id, Some(event)))
            })
            .map_err(|error| taken(error, || already(&rule.pattern)))
    }

    /// Writes all of a rule but its owner. `NotFound` if there is none with its id; otherwise as
    /// [`Self::add_rule`].
    pub fn set_rule(&self, actor: &Actor, rule: &ProtectionRule) -> Result<()> {
        protects_something(rule.min_push, rule.min_delete, false)?;
        self.database
            .change(actor, |connection| {
                let changed = run(
                    connection,
                    "change protection rule",
                    "UPDATE protection_rules
                     SET pattern = ?2, tag_pattern = ?3, min_push = ?4, min_delete = ?5
                     WHERE id = ?1 AND kind = 'repository'",
                    params![
                        rule.id.0,
                        rule.pattern,
                        rule.tag_pattern,
                        rule.min_push,
                        rule.min_delete,
                    ],
                )?;
                found(changed, rule.id)?;
                let owner = owner_place(connection, rule.owner)?;
                let event = about_rule(EventKind::RuleChanged, rule.id, rule, owner);
                Ok(((), Some(event)))
            })
            .map_err(|error| taken(error, || already(&rule.pattern)))
    }

    /// As [`Self::set_rule`], for tags.
    pub fn set_tag_rule(&self, actor: &Actor, rule: &TagRule) -> Result<()> {
        protects_something(rule.min_push, rule.min_delete, rule.immutable)?;
        self.database
            .change(actor, |connection| {
                let changed = run(
                    connection,
                    "change tag rule",
                    "UPDATE protection_rules
                     SET pattern = ?2, min_push = ?3, min_delete = ?4, immutable = ?5
                     WHERE id = ?1 AND kind = 'tag'",
                    params![
                        rule.id.0,
                        rule.pattern,
                        rule.min_push,
                        rule.min_delete,
                        rule.immutable,
                    ],
                )?;
                found(changed, rule.id)?;
                let owner = project_place(connection, rule.project)?;
                let event = about_tag_rule(EventKind::RuleChanged, rule.id, rule, owner);
                Ok(((), Some(event)))
            })
            .map_err(|error| taken(error, || already(&rule.pattern)))
    }

    /// Removes a rule of either kind. `NotFound` if there is none.
    pub fn remove_rule(&self, actor: &Actor, id: RuleId) -> Result<()> {
        self.database.change(actor, |connection| {
            let removed = find(
                connection,
                "remove protection rule",
                "DELETE FROM protection_rules WHERE id = ?1 RETURNING pattern, project_id, group_id",
                [id.0],
                |row| Ok((row.get::<_, String>(0)?, owner(row)?)),
            )?;
            let (pattern, owner) = removed.ok_or_else(|| no_such("rule", id.0))?;
            let place = owner_place(connection, owner)?;
            let event = Event::new(EventKind::RuleRemoved)
                .subject("rule", &pattern, Some(id.0))
                .place(place);
            Ok(((), Some(event)))
        })
    }

    /// The rule about repositories with this id.
    pub fn rule(&self, id: RuleId) -> Result<Option<ProtectionRule>> {
        self.database.read(|connection| {
            let text = select("id = ?1 AND kind = 'repository'");
            find(connection, "find protection rule", &text, [id.0], rule)
        })
    }

    /// The rule about tags with this id.
    pub fn tag_rule(&self, id: RuleId) -> Result<Option<TagRule>> {
        self.database.read(|connection| {
            let text = select("id = ?1 AND kind = 'tag'");
            find(connection, "find tag rule", &text, [id.0], tag_rule)
        })
    }

    /// The owner's own rules about repositories, in the order in which they were made.
    pub fn rules(&self, owner: RuleOwner) -> Result<Vec<ProtectionRule>> {
        let (project, group) = owner_columns(owner);
        self.database.read(|connection| {
            let text = select("kind = 'repository' AND project_id IS ?1 AND group_id IS ?2");
            list(
                connection,
                "list protection rules",
                &text,
                params![project, group],
                rule,
            )
        })
    }

    /// The project's rules about tags, in the order in which they were made.
    pub fn tag_rules(&self, project: ProjectId) -> Result<Vec<TagRule>> {
        self.database.read(|connection| {
            let text = select("kind = 'tag' AND project_id = ?1");
            list(connection, "list tag rules", &text, [project.0], tag_rule)
        })
    }
}

fn owner_columns(owner: RuleOwner) -> (Option<i64>, Option<i64>) {
    match owner {
        RuleOwner::Project(project) => (Some(project.0), None),
        RuleOwner::Group(group) => (None, Some(group.0)),
    }
}

fn owner_place(connection: &Connection, owner: RuleOwner) -> Result<Option<EventPlace>> {
    match owner {
        RuleOwner::Project(project) => project_place(connection, project),
        RuleOwner::Group(group) => group_place(connection, Some(group)),
    }
}

fn about_rule(
    kind: EventKind,
    id: RuleId,
    rule: &ProtectionRule,
    owner: Option<EventPlace>,
) -> Event {
    Event::new(kind)
        .subject("rule", &rule.pattern, Some(id.0))
        .place(owner)
        .detail_if("tags", rule.tag_pattern.as_deref().map(Detail::name))
        .detail_if("min_push", rule.min_push.map(<&str>::from))
        .detail_if("min_delete", rule.min_delete.map(<&str>::from))
}

fn about_tag_rule(kind: EventKind, id: RuleId, rule: &TagRule, owner: Option<EventPlace>) -> Event {
    Event::new(kind)
        .subject("tag rule", &rule.pattern, Some(id.0))
        .place(owner)
        .detail_if("min_push", rule.min_push.map(<&str>::from))
        .detail_if("min_delete", rule.min_delete.map(<&str>::from))
        .detail("immutable", rule.immutable)
}

fn protects_something(
    push: Option<MinimumLevel>,
    delete: Option<MinimumLevel>,
    immutable: bool,
) -> Result<()> {
    if push.is_some() || delete.is_some() || immutable {
        return Ok(());
    }
    Err(Error::new(
        Kind::BadRequest,
        "a rule must say who may push, or who may delete",
    ))
}

fn one_more_fits(connection: &Connection, kind: &str, owner: RuleOwner) -> Result<()> {
    let (project, group) = owner_columns(owner);
    let count = get(
        connection,
        "count protection rules",
        "SELECT count(*) FROM protection_rules
         WHERE kind = ?1 AND project_id IS ?2 AND group_id IS ?3",
        params![kind, project, group],
        |row| size(row, 0),
    )?;
    if count < MAX_RULES {
        return Ok(());
    }
    let (whose, what) = match owner {
        RuleOwner::Project(_) => (
            "a project",
            if kind == TAG { "tags" } else { "repositories" },
        ),
        RuleOwner::Group(_) => ("a group", "what it has in the cache"),
    };
    let what =
        format!("{whose} has at most {MAX_RULES} rules about {what}, and all of them are there");
    Err(Error::new(Kind::BadRequest, what).remedy("remove one, or write one pattern for several"))
}

fn already(pattern: &str) -> String {
    format!("there is a rule for `{}` already", excerpt(pattern))
}

fn found(rows: usize, id: RuleId) -> Result<()> {
    if rows == 0 {
        return Err(no_such("rule", id.0));
    }
    Ok(())
}

fn select(condition: &str) -> String {
    format!(
        "SELECT id, project_id, group_id, pattern, tag_pattern, min_push, min_delete, immutable, created_at
         FROM protection_rules WHERE {condition} ORDER BY id"
    )
}

fn rule(row: &Row<'_>) -> rusqlite::Result<ProtectionRule> {
    Ok(ProtectionRule {
        id: RuleId(row.get(0)?),
        owner: owner(row)?,
        pattern: row.get(3)?,
        tag_pattern: row.get(4)?,
        min_push: row.get(5)?,
        min_delete: row.get(6)?,
        created_at: Timestamp(row.get(8)?),
    })
}

/// Reads the columns `project_id` and `group_id`.
fn owner(row: &Row<'_>) -> rusqlite::Result<RuleOwner> {
    Ok(match row.get::<_, Option<i64>>("project_id")? {
        Some(project) => RuleOwner::Project(ProjectId(project)),
        None => RuleOwner::Group(GroupId(row.get("group_id")?)),
    })
}

fn tag_rule(row: &Row<'_>) -> rusqlite::Result<TagRule> {
    Ok(TagRule {
        id: RuleId(row.get(0)?),
        project: ProjectId(row.get(1)?),
        pattern: row.get(3)?,
        min_push: row.get(5)?,
        min_delete: row.get(6)?,
        immutable: row.get(7)?,
        created_at: Timestamp(row.get(8)?),
    })
}
