//! Backups of the precious databases, and what is saved every night.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::Result;
use crate::time::Timestamp;

/// Writes a backup below the data directory, from where whoever asked for it takes it away. What is left there is
/// removed by the next start.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct BackUp {
    /// Tells it apart from what others have asked for at the same time.
    pub process: u32,
}

impl Operation for BackUp {
    const NAME: &'static str = "backup.make";
    /// Where it is, from the data directory.
    type View = String;
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<String> {
        let name = format!("staging/backup-{}.sqlite", self.process);
        let path = admin.store.directory().join(&name);
        admin.store.backup(&admin.actor, &path)?;
        Ok(name)
    }
}

/// Saves below the data directory, now, what is saved there every night.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SaveRows {}

impl Operation for SaveRows {
    const NAME: &'static str = "backup.save";
    type View = ();
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        admin.store.save_rows(Timestamp::now())
    }
}
