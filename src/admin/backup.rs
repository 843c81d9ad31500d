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
    /// Whether it is for a backup with images: then the rows of the cache too, and [`NoteBackup`] tells when it is done.
    pub with_images: bool,
}

impl Operation for BackUp {
    const NAME: &'static str = "backup.make";
    /// Where it is, from the data directory; and where the rows of the cache are.
    type View = (String, Option<String>);
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<Self::View> {
        let (store, process) = (admin.store, self.process);
        let precious = format!("staging/backup-{process}.sqlite");
        let path = store.directory().join(&precious);
        if !self.with_images {
            store.backup(&admin.actor, &path)?;
            return Ok((precious, None));
        }
        let rows = format!("staging/backup-{process}-cache.sqlite");
        store.backup_all(&path, &store.directory().join(&rows))?;
        Ok((precious, Some(rows)))
    }
}

/// Tells the audit that a backup with images is done.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NoteBackup {}

impl Operation for NoteBackup {
    const NAME: &'static str = "backup.note";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        admin.store.note_whole_backup(&admin.actor);
        Ok(())
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
