//! Pulls and uses of tokens, which are written in batches.

use std::net::IpAddr;

use rusqlite::{Connection, params};

use super::{CacheDb, Pull};
use crate::error::Result;
use crate::oci::Tag;
use crate::store::content::note_tag_pulled;
use crate::store::deferred::{Deferred, Join};
use crate::store::statement::{find, run};
use crate::store::{Frequency, TokenId};
use crate::time::Timestamp;

/// Only while nothing can be written for long are there more.
const MAX_NOTES: usize = 100_000;

pub(super) struct Notes {
    pulls: Deferred<Pull, Pulled>,
    token_uses: Deferred<TokenId, TokenUse>,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            pulls: Deferred::new(MAX_NOTES),
            token_uses: Deferred::new(MAX_NOTES),
        }
    }
}

#[derive(Clone, Copy)]
struct Pulled {
    first: Timestamp,
    last: Timestamp,
    count: i64,
}

impl Join for Pulled {
    fn join(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
    }
}

#[derive(Clone, Copy)]
struct TokenUse {
    at: Timestamp,
    address: IpAddr,
}

impl Join for TokenUse {
    fn join(&mut self, other: Self) {
        if self.at <= other.at {
            *self = other;
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
        self.notes.pulls.note(pull, pulled);
    }

    /// Notes a token's use in memory; written with the next batch.
    pub fn note_token_used(&self, token: TokenId, address: IpAddr, now: Timestamp) {
        let token_use = TokenUse { at: now, address };
        self.notes.token_uses.note(token, token_use);
    }

    /// Writes what was noted; the server calls it every few seconds and at the end. What could not be
    /// written is kept for the next call.
    pub fn write_notes(&self) -> Result<()> {
        let pulls = self.write_pulls();
        self.write_token_uses().and(pulls)
    }

    /// When and from which address the token was last used, what is noted and not written yet included.
    pub fn token_last_used(&self, token: TokenId) -> Result<Option<(Timestamp, String)>> {
        if let Some(TokenUse { at, address }) = self.notes.token_uses.get(&token) {
            return Ok(Some((at, address.to_string())));
        }
        self.database.read(|connection| {
            find(
                connection,
                "find a token's last use",
                "SELECT used_at, address FROM token_uses WHERE token_id = ?1",
                [token.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })
    }

    fn write_pulls(&self) -> Result<()> {
        self.notes.pulls.write(|pulls| {
            self.database.write(|connection| {
                for (pull, pulled) in pulls {
                    write_pull(connection, pull, pulled)?;
                }
                Ok(())
            })
        })
    }

    fn write_token_uses(&self) -> Result<()> {
        self.notes.token_uses.write(|uses| {
            self.database.write(|connection| {
                for (token, TokenUse { at, address }) in uses {
                    run(
                        connection,
                        "write a token's use",
                        "INSERT INTO token_uses (token_id, address, used_at) VALUES (?1, ?2, ?3)
                         ON CONFLICT (token_id) DO UPDATE SET
                             address = excluded.address, used_at = excluded.used_at
                         WHERE excluded.used_at >= used_at",
                        params![token, address.to_string(), at],
                    )?;
                }
                Ok(())
            })
        })
    }
}

/// A manifest that is not kept (streamed past, or evicted since) has nothing to hang a pull on.
fn write_pull(connection: &Connection, pull: &Pull, pulled: &Pulled) -> Result<()> {
    let tag = pull.tag.as_ref().map_or("", Tag::as_str);
    let before = find(
        connection,
        "find pulls",
        "SELECT weight, last_at FROM blobs
         JOIN manifests ON manifests.blob_id = blobs.id AND manifests.repository_id = ?1
         JOIN pulls ON pulls.manifest_id = manifests.id AND group_id = ?3 AND tag = ?4
         WHERE blobs.digest = ?2",
        params![pull.repository, pull.manifest, pull.group, tag],
        |row| {
            Ok(Frequency {
                weight: row.get(0)?,
                at: row.get(1)?,
            })
        },
    )?;
    let all = before.map_or(Frequency::once(pulled.first), |before| {
        before.pulled(pulled.first)
    });
    let all = all.pulled(pulled.last);
    run(
        connection,
        "write pull",
        "INSERT INTO pulls (manifest_id, group_id, tag, first_at, last_at, count, weight)
         SELECT manifests.id, ?3, ?4, ?5, ?6, ?7, ?8
         FROM blobs JOIN manifests
             ON manifests.blob_id = blobs.id AND manifests.repository_id = ?1
         WHERE blobs.digest = ?2
         ON CONFLICT (manifest_id, group_id, tag) DO UPDATE SET
             last_at = excluded.last_at, count = count + excluded.count, weight = excluded.weight",
        params![
            pull.repository,
            pull.manifest,
            pull.group,
            tag,
            pulled.first,
            all.at,
            pulled.count,
            all.weight
        ],
    )?;
    match &pull.tag {
        Some(tag) => note_tag_pulled(connection, pull.repository.0, tag, pulled.last),
        None => Ok(()),
    }
}
