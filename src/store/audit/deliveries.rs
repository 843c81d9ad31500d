//! What waits to be delivered to the receivers of webhooks, each in its order. Bounded for each receiver: the oldest go,
//! and are counted.
//!
//! Commits here reach the disk with the next checkpoint: a crash of the process takes nothing back, and a power cut may
//! let something be delivered twice, or not at all.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Row, params};

use super::AuditDb;
use crate::error::Result;
use crate::store::database::Synchronous;
use crate::store::notices::EvictedFor;
use crate::store::statement::{find, get, list, run, size};
use crate::time::Timestamp;

/// An event to be queued for a receiver.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The webhook's own random name.
    pub receiver: String,
    pub message: String,
    pub created_at: Timestamp,
    pub body: String,
}

/// The next event of a receiver.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: i64,
    pub message: String,
    pub created_at: Timestamp,
    pub body: String,
    /// How many were dropped since the last delivery.
    pub dropped: u64,
}

/// How a receiver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    pub uid: String,
    pub queued: u64,
    pub dropped: u64,
    pub delivered_at: Option<Timestamp>,
    pub failing_since: Option<Timestamp>,
    pub last_error: Option<String>,
}

const RECEIVERS: &str =
    "SELECT uid, (SELECT count(*) FROM deliveries WHERE receiver = uid), dropped,
    delivered_at, failing_since, last_error FROM receivers";

impl AuditDb {
    fn write_deliveries<T>(&self, work: impl Fn(&Connection) -> Result<T>) -> Result<T> {
        self.database.write_with(Synchronous::Normal, work)
    }

    /// Queues them in this order, and drops the oldest of receivers that have more than `most`; how many that were. The
    /// very first stays: it may be on its way.
    pub fn queue_deliveries(&self, new: &[NewDelivery], most: u64) -> Result<u64> {
        self.write_deliveries(|connection| {
            let mut receivers = HashSet::new();
            for one in new {
                if receivers.insert(&one.receiver) {
                    let text = "INSERT OR IGNORE INTO receivers (uid) VALUES (?1)";
                    run(connection, "note a receiver", text, [&one.receiver])?;
                }
                run(
                    connection,
                    "queue a delivery",
                    "INSERT INTO deliveries (receiver, message, created_at, body) VALUES (?1, ?2, ?3, ?4)",
                    params![one.receiver, one.message, one.created_at, one.body],
                )?;
            }
            let mut dropped = 0_u64;
            for receiver in receivers {
                let text = "SELECT count(*) FROM deliveries WHERE receiver = ?1";
                let queued = get(connection, "count deliveries", text, [receiver], |row| {
                    size(row, 0)
                })?;
                let surplus = queued.saturating_sub(most);
                if surplus > 0 {
                    let went = run(
                        connection,
                        "drop the oldest deliveries",
                        "DELETE FROM deliveries WHERE id IN (
                             SELECT id FROM deliveries WHERE receiver = ?1 ORDER BY id LIMIT ?2 OFFSET 1)",
                        params![receiver, i64::try_from(surplus).unwrap_or(i64::MAX)],
                    )?;
                    note_dropped(connection, receiver, went)?;
                    dropped = dropped.saturating_add(went as u64);
                }
            }
            Ok(dropped)
        })
    }

    /// The receivers for whom anything waits.
    pub fn waiting_receivers(&self) -> Result<Vec<String>> {
        self.database.read(|connection| {
            list(
                connection,
                "list receivers that wait",
                "SELECT uid FROM receivers WHERE EXISTS (SELECT 1 FROM deliveries WHERE receiver = uid)",
                [],
                |row| row.get(0),
            )
        })
    }

    /// The oldest event that waits for a receiver.
    pub fn next_delivery(&self, receiver: &str) -> Result<Option<Delivery>> {
        self.database.read(|connection| {
            find(
                connection,
                "find the next delivery",
                "SELECT id, message, created_at, body,
                     (SELECT dropped FROM receivers WHERE uid = deliveries.receiver)
                 FROM deliveries WHERE receiver = ?1 ORDER BY id LIMIT 1",
                [receiver],
                |row| {
                    Ok(Delivery {
                        id: row.get(0)?,
                        message: row.get(1)?,
                        created_at: row.get(2)?,
                        body: row.get(3)?,
                        dropped: size(row, 4)?,
                    })
                },
            )
        })
    }

    /// It arrived, with the word of how many had been dropped.
    pub fn note_delivered(
        &self,
        receiver: &str,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<()> {
        let told = i64::try_from(delivery.dropped).unwrap_or(i64::MAX);
        self.write_deliveries(|connection| {
            remove(connection, delivery.id)?;
            run(
                connection,
                "note a delivery",
                "UPDATE receivers SET delivered_at = ?2, dropped = max(dropped - ?3, 0),
                     failing_since = NULL, last_error = NULL
                 WHERE uid = ?1",
                params![receiver, now, told],
            )?;
            Ok(())
        })
    }

    /// A try failed; `given_up` is the event where it is not tried again.
    pub fn note_undelivered(
        &self,
        receiver: &str,
        why: &str,
        given_up: Option<i64>,
        now: Timestamp,
    ) -> Result<()> {
        self.write_deliveries(|connection| {
            run(
                connection,
                "note a failed delivery",
                "UPDATE receivers SET failing_since = ifnull(failing_since, ?2), last_error = ?3 WHERE uid = ?1",
                params![receiver, now, why],
            )?;
            if let Some(id) = given_up {
                let went = remove(connection, id)?;
                note_dropped(connection, receiver, went)?;
            }
            Ok(())
        })
    }

    /// How the receivers are.
    pub fn receivers(&self) -> Result<Vec<Receiver>> {
        self.database
            .read(|connection| list(connection, "list receivers", RECEIVERS, [], receiver))
    }

    /// How one is; `None` where nothing was ever queued for it.
    pub fn receiver(&self, uid: &str) -> Result<Option<Receiver>> {
        self.database.read(|connection| {
            let text = format!("{RECEIVERS} WHERE uid = ?1");
            find(connection, "find receiver", &text, [uid], receiver)
        })
    }

    /// Forgets receivers that are no webhook's any more, with what waits for them.
    pub fn keep_receivers(&self, uids: &HashSet<&str>) -> Result<()> {
        let known: Vec<String> = self.database.read(|connection| {
            let text = "SELECT uid FROM receivers";
            list(connection, "name receivers", text, [], |row| row.get(0))
        })?;
        let is_gone = |uid: &&String| !uids.contains(uid.as_str());
        let gone: Vec<_> = known.iter().filter(is_gone).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.write_deliveries(|connection| {
            for uid in &gone {
                let text = "DELETE FROM receivers WHERE uid = ?1";
                run(connection, "forget a receiver", text, [uid])?;
            }
            Ok(())
        })
    }

    /// Whether [`Self::mark_told`] noted that it was told.
    pub fn was_told(&self, what: &str) -> Result<bool> {
        self.database.read(|connection| {
            let text = "SELECT 1 FROM told_once WHERE what = ?1";
            let found = find(connection, "find what was told", text, [what], |_| Ok(()))?;
            Ok(found.is_some())
        })
    }

    /// Notes what was told, or is to be told again, and forgets what was told before `before`.
    pub fn mark_told(
        &self,
        marks: &HashMap<String, bool>,
        now: Timestamp,
        before: Timestamp,
    ) -> Result<()> {
        self.write_deliveries(|connection| {
            for (what, is_told) in marks {
                match is_told {
                    true => {
                        let text = "INSERT OR REPLACE INTO told_once (what, at) VALUES (?1, ?2)";
                        run(connection, "note what was told", text, params![what, now])?;
                    }
                    false => {
                        let text = "DELETE FROM told_once WHERE what = ?1";
                        run(connection, "tell it again", text, [what])?;
                    }
                }
            }
            let text = "DELETE FROM told_once WHERE at < ?1";
            run(connection, "forget what was told", text, [before])?;
            Ok(())
        })
    }

    /// What the audit knows to have been evicted between two moments, by reason.
    pub fn evicted_between(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(String, EvictedFor)>> {
        self.database.scan(|connection| {
            list(
                connection,
                "sum up evictions",
                "SELECT ifnull(json_extract(details, '$.why'), ''),
                     CAST(total(json_extract(details, '$.images') * count) AS INTEGER),
                     CAST(total(json_extract(details, '$.bytes') * count) AS INTEGER)
                 FROM events WHERE time >= ?1 AND time < ?2 AND kind = 'cache.evicted' GROUP BY 1",
                [from, until],
                |row| {
                    let (images, bytes) = (row.get(1)?, row.get(2)?);
                    Ok((row.get(0)?, EvictedFor { images, bytes }))
                },
            )
        })
    }
}

fn remove(connection: &Connection, id: i64) -> Result<usize> {
    let text = "DELETE FROM deliveries WHERE id = ?1";
    run(connection, "remove a delivery", text, [id])
}

fn note_dropped(connection: &Connection, receiver: &str, count: usize) -> Result<()> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let text = "UPDATE receivers SET dropped = dropped + ?2 WHERE uid = ?1";
    run(
        connection,
        "count dropped events",
        text,
        params![receiver, count],
    )
    .map(drop)
}

fn receiver(row: &Row<'_>) -> rusqlite::Result<Receiver> {
    Ok(Receiver {
        uid: row.get(0)?,
        queued: size(row, 1)?,
        dropped: size(row, 2)?,
        delivered_at: row.get(3)?,
        failing_since: row.get(4)?,
        last_error: row.get(5)?,
    })
}
