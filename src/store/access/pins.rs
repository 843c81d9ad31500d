//! Pins: patterns of cached images that stay whatever has to go. Rows of `pins`.

use rusqlite::params;

use super::AccessDb;
use crate::error::Result;
use crate::oci::{ImagePattern, ImagePatterns};
use crate::store::audit::{Actor, Event, EventKind};
use crate::store::statement::{decoded, find, list, run};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub pattern: ImagePattern,
    pub created_at: Timestamp,
    /// Who pinned it, as the audit names them.
    pub created_by: String,
}

/// All of them, sorted.
#[derive(Debug, Default)]
pub struct Pins {
    pub rows: Vec<Pin>,
    patterns: ImagePatterns,
}

impl Pins {
    fn new(rows: Vec<Pin>) -> Self {
        let patterns = rows.iter().map(|pin| &pin.pattern).collect();
        Self { rows, patterns }
    }

    /// Whether an image stays that is called `HOST/NAME:TAG` or `HOST/NAME@DIGEST`.
    pub fn hold(&self, name: &str) -> bool {
        self.patterns.match_any(name)
    }
}

impl AccessDb {
    pub fn pins(&self) -> Result<Pins> {
        let rows = self.database.read(|connection| {
            list(
                connection,
                "list pins",
                "SELECT pattern, created_at, created_by FROM pins ORDER BY pattern",
                [],
                |row| {
                    Ok(Pin {
                        pattern: decoded(row, 0, ImagePattern::of_all_tags)?,
                        created_at: row.get(1)?,
                        created_by: row.get(2)?,
                    })
                },
            )
        })?;
        Ok(Pins::new(rows))
    }

    /// The pin, and whether it is new.
    pub fn add_pin(&self, actor: &Actor, pattern: &ImagePattern) -> Result<(Pin, bool)> {
        self.database.change(actor, |connection| {
            let text = "SELECT created_at, created_by FROM pins WHERE pattern = ?1";
            let found = find(connection, "find pin", text, [pattern.as_str()], |row| {
                Ok(Pin {
                    pattern: pattern.clone(),
                    created_at: row.get(0)?,
                    created_by: row.get(1)?,
                })
            })?;
            if let Some(pin) = found {
                return Ok(((pin, false), None));
            }
            let pin = Pin {
                pattern: pattern.clone(),
                created_at: Timestamp::now(),
                created_by: actor.name().to_owned(),
            };
            run(
                connection,
                "add pin",
                "INSERT INTO pins (pattern, created_at, created_by) VALUES (?1, ?2, ?3)",
                params![pattern.as_str(), pin.created_at, pin.created_by],
            )?;
            let event = Event::new(EventKind::PinAdded).subject("pin", pattern.as_str(), None);
            Ok(((pin, true), Some(event)))
        })
    }

    /// Whether there was such a pin.
    pub fn remove_pin(&self, actor: &Actor, pattern: &ImagePattern) -> Result<bool> {
        self.database.change(actor, |connection| {
            let text = "DELETE FROM pins WHERE pattern = ?1";
            let removed = run(connection, "remove pin", text, [pattern.as_str()])?;
            let event = Event::new(EventKind::PinRemoved).subject("pin", pattern.as_str(), None);
            Ok((removed > 0, (removed > 0).then_some(event)))
        })
    }
}
