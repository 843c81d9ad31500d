//! The tables of `audit.sqlite`, as migrations that are only ever appended.
//!
//! Rows of other databases are named by what they were called and which id they had, not by foreign keys:
//! what was done to them outlives them. Names are shown, and ids decide: a later user or group of the same name has
//! another id.

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
        actor_user_id INTEGER,
        address TEXT,
        correlation_id TEXT,
        subject_kind TEXT,
        subject_name TEXT,
        subject_id INTEGER,
        -- The user whom it concerns.
        about_user TEXT,
        about_user_id INTEGER,
        -- The group or project that it concerns: its path, and whichever it is.
        group_path TEXT,
        group_id INTEGER,
        project_id INTEGER,
        details TEXT NOT NULL,
        -- How often it happened within its minute, and when last.
        count INTEGER NOT NULL DEFAULT 1,
        last_time INTEGER NOT NULL,
        -- What is pruned apart: change, login, ban, refusal or pull.
        class TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_class ON events (class, kind, ifnull(actor_user, actor), id);
    CREATE INDEX events_time ON events (time);

    -- Whom an event concerns, by id: the users, the group with all above it, the project.
    CREATE TABLE concerned (
        noun TEXT NOT NULL CHECK (noun IN ('user', 'group', 'project')),
        id INTEGER NOT NULL,
        event INTEGER NOT NULL REFERENCES events (id) ON DELETE CASCADE,
        PRIMARY KEY (noun, id, event)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX concerned_event ON concerned (event);
    ",
];
