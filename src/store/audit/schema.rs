//! The tables of `audit.sqlite`, as migrations.
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

    -- Whom webhooks tell, by the webhook's own random name: a restored access.sqlite gives its ids again. Here, because
    -- nothing that is kept in memory of access.sqlite shall be forgotten for an event, and because what was told already
    -- is not told again after a restore.
    CREATE TABLE receivers (
        uid TEXT PRIMARY KEY,
        -- Events that were dropped since the last delivery.
        dropped INTEGER NOT NULL DEFAULT 0,
        delivered_at INTEGER,
        -- Since when no try has succeeded, and why the last one did not.
        failing_since INTEGER,
        last_error TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE deliveries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        receiver TEXT NOT NULL REFERENCES receivers (uid) ON DELETE CASCADE,
        -- What the receiver knows it by, the same in each try.
        message TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        -- JSON, without what is added in each try.
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX deliveries_receiver ON deliveries (receiver, id);
    -- What is told once, such as that a token will expire.
    CREATE TABLE told_once (
        what TEXT PRIMARY KEY,
        at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX told_once_at ON told_once (at);
    ",
];
