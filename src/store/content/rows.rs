//! Rows that both databases have, on a connection whose main database is one of the two.

use rusqlite::{Connection, Row};

use crate::error::Result;
use crate::oci::{Digest, MediaType, Tag};
use crate::store::statement::{decoded, get, run, size, stored_size, unknown_word};
use crate::time::Timestamp;

/// A manifest that is kept in the repository that it was asked for in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    pub digest: Digest,
    /// What it was fetched or pushed as, and is served as.
    pub media_type: MediaType,
    /// Its own bytes, without what it refers to.
    pub size: u64,
    /// When its bytes last came, from the upstream or by a push.
    pub arrived_at: Timestamp,
}

impl StoredManifest {
    /// From a row of digest, media type, size and time.
    pub(in crate::store) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let media_type = decoded(row, 1, |word| {
            MediaType::parse(word).ok_or_else(|| unknown_word("a manifest's media type", word))
        })?;
        Ok(Self {
            digest: row.get(0)?,
            media_type,
            size: size(row, 2)?,
            arrived_at: row.get(3)?,
        })
    }
}

/// The row of a blob whose file is in place: found, or made. Its bytes were hashed just now, so a row with another size
/// was wrong.
pub(in crate::store) fn ensure_blob(
    connection: &Connection,
    digest: &Digest,
    size: u64,
    now: Timestamp,
) -> Result<i64> {
    get(
        connection,
        "add blob",
        "INSERT INTO blobs (digest, size, added_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (digest) DO UPDATE SET size = excluded.size RETURNING id",
        rusqlite::params![digest, stored_size(size), now],
        |row| row.get(0),
    )
}

/// What a manifest that is new in its repository refers to. It may name the same layer twice.
pub(in crate::store) fn add_references<'a>(
    connection: &Connection,
    manifest: i64,
    references: impl IntoIterator<Item = &'a Digest>,
) -> Result<()> {
    for digest in references {
        run(
            connection,
            "add reference",
            "INSERT INTO manifest_references (manifest_id, hash) VALUES (?1, ?2)
             ON CONFLICT DO NOTHING",
            rusqlite::params![manifest, digest.hash()],
        )?;
    }
    Ok(())
}

/// Writes when a tag was last pulled, by whomever and whatever it points to now.
pub(in crate::store) fn note_tag_pulled(
    connection: &Connection,
    repository: i64,
    tag: &Tag,
    at: Timestamp,
) -> Result<()> {
    run(
        connection,
        "write a tag's last pull",
        "UPDATE tags SET last_pulled_at = max(ifnull(last_pulled_at, 0), ?3)
         WHERE repository_id = ?1 AND name = ?2",
        rusqlite::params![repository, tag.as_str(), at],
    )
    .map(drop)
}
