//! Feature flags: rows of `features`, by name. Which flags there are, and what they default to, is
//! decided above.

use rusqlite::{Row, params};
use serde::Serialize;

use super::groups::group_place;
use super::{AccessDb, GroupId};
use crate::error::Result;
use crate::store::audit::{Actor, Event, EventKind};
use crate::store::statement::{list, run};

/// A feature flag's value, for the box or for a group and those below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// The flag's name; the store does not know which there are.
    pub flag: String,
    /// `None`: the box's value.
    pub group: Option<GroupId>,
    pub enabled: bool,
}

impl AccessDb {
    /// All values that were set, the box's first.
    pub fn features(&self) -> Result<Vec<Feature>> {
        self.database.read(|connection| {
            list(
                connection,
                "list features",
                "SELECT flag, group_id, enabled FROM features ORDER BY ifnull(group_id, 0), flag",
                [],
                feature,
            )
        })
    }

    /// Sets a flag for the box (`None`) or a group. `NotFound` if the group is gone.
    pub fn set_feature(
        &self,
        actor: &Actor,
        flag: &str,
        group: Option<GroupId>,
        enabled: bool,
    ) -> Result<()> {
        self.database.change(actor, |connection| {
            run(
                connection,
                "set feature",
                "INSERT INTO features (flag, group_id, enabled) VALUES (?1, ?2, ?3)
                 ON CONFLICT (flag, ifnull(group_id, 0)) DO UPDATE SET enabled = excluded.enabled",
                params![flag, group.map(|id| id.0), enabled],
            )?;
            let event = Event::new(EventKind::FeatureSet)
                .subject("feature", flag, None)
                .place(group_place(connection, group)?)
                .detail("enabled", enabled);
            Ok(((), Some(event)))
        })
    }

    /// Takes a value away; whether there was one.
    pub fn reset_feature(&self, actor: &Actor, flag: &str, group: Option<GroupId>) -> Result<bool> {
        self.database.change(actor, |connection| {
            let removed = run(
                connection,
                "reset feature",
                "DELETE FROM features WHERE flag = ?1 AND group_id IS ?2",
                params![flag, group.map(|id| id.0)],
            )?;
            if removed == 0 {
                return Ok((false, None));
            }
            let event = Event::new(EventKind::FeatureReset)
                .subject("feature", flag, None)
                .place(group_place(connection, group)?);
            Ok((true, Some(event)))
        })
    }
}

fn feature(row: &Row<'_>) -> rusqlite::Result<Feature> {
    Ok(Feature {
        flag: row.get(0)?,
        group: row.get::<_, Option<i64>>(1)?.map(GroupId),
        enabled: row.get(2)?,
    })
}
