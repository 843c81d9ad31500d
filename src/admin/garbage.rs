//! Garbage collection when somebody asks for it; the running server does the same every hour.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::Result;
use crate::time::Timestamp;
use crate::upkeep::garbage::{self, Collected, Collection};

/// Removes what pushed images do not need any more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CollectGarbage {
    /// Whether to look only.
    pub dry_run: bool,
    /// Whether images without a tag go too.
    pub untagged: bool,
    /// Whether what belonged to removed projects goes too.
    pub removed_projects: bool,
    /// Whether files that were taken up without anybody needing them go too.
    pub unreferenced: bool,
    /// How long what is not needed is left alone.
    pub grace: Duration,
}

impl Operation for CollectGarbage {
    const NAME: &'static str = "garbage.collect";
    type View = Collected;
    // There may be many files to look through.
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<Collected> {
        let collection = Collection {
            grace: self.grace,
            untagged: self.untagged,
            removed_projects: self.removed_projects,
            unreferenced: self.unreferenced,
            dry_run: self.dry_run,
            ..Collection::periodic(Timestamp::now())
        };
        let collected = garbage::collect(admin.store, &collection)?;
        tracing::info!(request = ?self, ?collected, "collected garbage, as the command line asked");
        Ok(collected)
    }
}
