//! The note that a file may be there without a row: it is about to be put in place before its row, or about to go after
//! it. Whatever a crash makes of the file, garbage collection looks at it. Written in the transaction that the note is
//! about, so each database has its own.

use rusqlite::Connection;

use crate::error::Result;
use crate::oci::Digest;
use crate::store::database::{Database, Synchronous};
use crate::store::statement::{find, run};

/// Notes that a file may be there without a row.
pub(in crate::store) fn unsettle(connection: &Connection, digest: &Digest) -> Result<()> {
    run(
        connection,
        "note an unsettled file",
        "INSERT INTO unsettled (digest) VALUES (?1) ON CONFLICT DO NOTHING",
        [digest],
    )
    .map(drop)
}

/// Takes the note back: the file has its row.
pub(in crate::store) fn settle(connection: &Connection, digest: &Digest) -> Result<()> {
    run(
        connection,
        "settle a file",
        "DELETE FROM unsettled WHERE digest = ?1",
        [digest],
    )
    .map(drop)
}

impl Database {
    /// As [`unsettle`], in a transaction of its own. A power cut may undo it together with the file's new name.
    pub(in crate::store) fn unsettle(&self, digest: &Digest) -> Result<()> {
        self.write_with(Synchronous::Normal, |connection| {
            unsettle(connection, digest)
        })
    }

    /// As [`settle`], in a transaction of its own: the file is gone, or needed.
    pub(in crate::store) fn settle(&self, digest: &Digest) -> Result<()> {
        // Mostly there is no note, and nobody need wait for the writer.
        let noted = self.read(|connection| {
            find(
                connection,
                "find an unsettled file",
                "SELECT 1 FROM unsettled WHERE digest = ?1",
                [digest],
                |_| Ok(()),
            )
        })?;
        match noted {
            None => Ok(()),
            Some(()) => {
                self.write_with(Synchronous::Normal, |connection| settle(connection, digest))
            }
        }
    }

    /// As [`Self::settle`], for many.
    pub(in crate::store) fn settle_all(&self, digests: &[Digest]) -> Result<()> {
        let is_empty = self.read(|connection| {
            let text = "SELECT 1 FROM unsettled LIMIT 1";
            Ok(find(connection, "find an unsettled file", text, [], |_| Ok(()))?.is_none())
        })?;
        if is_empty {
            return Ok(());
        }
        self.write_with(Synchronous::Normal, |connection| {
            digests
                .iter()
                .try_for_each(|digest| settle(connection, digest))
        })
    }
}
