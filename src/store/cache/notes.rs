//! Pulls and uses of tokens: noted in memory on the request's way, written in batches.
//!
//! What is lost in a crash is at most the last seconds of statistics.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{MutexGuard, PoisonError};

use rusqlite::params;

use super::{CacheDb, Pull};
use crate::error::Result;
use crate::oci::Tag;
use crate::store::TokenId;
use crate::store::statement::{find, run};
use crate::time::Timestamp;

/// While the disk is full nothing can be written: past this many, new ones are dropped.
const MAX_NOTES: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Notes {
    pulls: HashMap<Pull, Pulled>,
    tokens: HashMap<TokenId, (IpAddr, Timestamp)>,
}

#[derive(Debug, Clone, Copy)]
struct Pulled {
    first: Timestamp,
    last: Timestamp,
    count: i64,
}

impl Notes {
    fn add_pull(&mut self, pull: Pull, pulled: Pulled) {
        let room = self.pulls.len() < MAX_NOTES;
        match self.pulls.entry(pull) {
            Entry::Occupied(mut entry) => {
                let noted = entry.get_mut();
                noted.first = noted.first.min(pulled.first);
                noted.last = noted.last.max(pulled.last);
                noted.count = noted.count.saturating_add(pulled.count);
            }
            Entry::Vacant(entry) if room => {
                entry.insert(pulled);
            }
            Entry::Vacant(_) => {}
        }
    }

    fn add_token_use(&mut self, token: TokenId, address: IpAddr, at: Timestamp) {
        let room = self.tokens.len() < MAX_NOTES;
        match self.tokens.entry(token) {
            Entry::Occupied(mut entry) if entry.get().1 <= at => {
                entry.insert((address, at));
            }
            Entry::Vacant(entry) if room => {
                entry.insert((address, at));
            }
            Entry::Occupied(_) | Entry::Vacant(_) => {}
        }
    }
}

impl CacheDb {
    /// Notes a pull in memory; written with the next batch, if its manifest is kept by then.
    pub fn note_pull(&self, pull: Pull, now: Timestamp) {
        let pulled = Pulled {
            first: now,
            last: now,
            count: 1,
        };
        self.notes().add_pull(pull, pulled);
    }

    /// Notes a token's use in memory; written with the next batch.
    pub fn note_token_used(&self, token: TokenId, address: IpAddr, now: Timestamp) {
        self.notes().add_token_use(token, address, now);
    }

    /// Writes what was noted; the server calls it every few seconds and at the end. What could not be
    /// written is kept for the next call.
    pub fn write_notes(&self) -> Result<()> {
        let notes = std::mem::take(&mut *self.notes());
        if notes.pulls.is_empty() && notes.tokens.is_empty() {
            return Ok(());
        }
        let result = self.insert(&notes);
        if result.is_err() {
            let mut newer = self.notes();
            for (pull, pulled) in notes.pulls {
                newer.add_pull(pull, pulled);
            }
            for (token, (address, at)) in notes.tokens {
                newer.add_token_use(token, address, at);
            }
        }
        result
    }

    /// When and from which address the token was last used, what is noted and not written yet included.
    pub fn token_last_used(&self, token: TokenId) -> Result<Option<(Timestamp, String)>> {
        if let Some((address, at)) = self.notes().tokens.get(&token) {
            return Ok(Some((*at, address.to_string())));
        }
        self.database.read(|connection| {
            find(
                connection,
                "find a token's last use",
                "SELECT used_at, address FROM token_uses WHERE token_id = ?1",
                [token.0],
                |row| Ok((Timestamp(row.get(0)?), row.get(1)?)),
            )
        })
    }

    fn insert(&self, notes: &Notes) -> Result<()> {
        self.database.write(|connection| {
            for (pull, pulled) in &notes.pulls {
                // A manifest that is not kept (streamed past, or evicted since) has nothing to hang it on.
                run(
                    connection,
                    "write pull",
                    "INSERT INTO pulls (manifest_id, group_id, tag, first_at, last_at, count)
                     SELECT manifests.id, ?3, ?4, ?5, ?6, ?7
                     FROM blobs JOIN manifests
                         ON manifests.blob_id = blobs.id AND manifests.repository_id = ?1
                     WHERE blobs.digest = ?2
                     ON CONFLICT (manifest_id, group_id, tag) DO UPDATE SET
                         last_at = max(last_at, excluded.last_at), count = count + excluded.count",
                    params![
                        pull.repository.0,
                        pull.manifest.as_str(),
                        pull.group.0,
                        pull.tag.as_ref().map_or("", Tag::as_str),
                        pulled.first.0,
                        pulled.last.0,
                        pulled.count
                    ],
                )?;
                if let Some(tag) = &pull.tag {
                    run(
                        connection,
                        "write a tag's last pull",
                        "UPDATE tags SET last_pulled_at = max(ifnull(last_pulled_at, 0), ?3)
                         WHERE repository_id = ?1 AND name = ?2",
                        params![pull.repository.0, tag.as_str(), pulled.last.0],
                    )?;
                }
            }
            for (token, (address, at)) in &notes.tokens {
                run(
                    connection,
                    "write a token's use",
                    "INSERT INTO token_uses (token_id, address, used_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (token_id) DO UPDATE SET
                         address = excluded.address, used_at = excluded.used_at
                     WHERE excluded.used_at >= used_at",
                    params![token.0, address.to_string(), at.0],
                )?;
            }
            Ok(())
        })
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
