//! The table of `audit.sqlite`, as migrations that are only ever appended.
//!
//! Rows of other databases are named by what they were called and which id they had, not by foreign keys:
//! what was done to them outlives them.

pub(super) const MIGRATIONS: &[&str] = &[
    // 1: events.
    "
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time INTEGER NOT NULL,
        kind TEXT NOT NULL,
        actor TEXT NOT NULL,
        -- The user that the actor is, or speaks for.
        actor_user TEXT,
        address TEXT,
        correlation_id TEXT,
        subject_kind TEXT,
        subject_name TEXT,
        subject_id INTEGER,
        -- The user whom it concerns.
        about_user TEXT,
        group_path TEXT,
        details TEXT NOT NULL,
        -- How often it happened within its minute, and when last.
        count INTEGER NOT NULL DEFAULT 1,
        last_time INTEGER NOT NULL,
        -- 1: what many requests cause (logins, refusals), which must not push changes out.
        is_noted INTEGER NOT NULL CHECK (is_noted IN (0, 1))
    ) STRICT;
    CREATE INDEX events_class ON events (is_noted, id);
    CREATE INDEX events_time ON events (time);
    ",
];
