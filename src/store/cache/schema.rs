//! The tables of `cache.sqlite`, as migrations. Those that it shares with `registry.sqlite`
//! stand in `content::schema`.

use crate::store::content::shared_tables;

pub(in crate::store) const MIGRATIONS: &[&str] = &[
    // 1: origins, repositories, blobs and their links, manifests, tags, listings, pulls, sums by the hour, uses of tokens.
    concat!(
        "
    CREATE TABLE state (
        key TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE origins (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        upstream TEXT NOT NULL,
        -- Tells one set of credentials from another; says nothing about them.
        fingerprint TEXT NOT NULL,
        UNIQUE (upstream, fingerprint)
    ) STRICT;
",
        shared_tables!(
            on_delete: " ON DELETE CASCADE",
            repositories: "
        origin_id INTEGER NOT NULL REFERENCES origins (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        -- Where what is purged waits for its end: the repository that it was in. Its name is none of an image.
        removed_from INTEGER,
        UNIQUE (origin_id, name)",
            blob_links: "",
            manifests: "
        fetched_at INTEGER NOT NULL,",
            tags: "
        confirmed_at INTEGER NOT NULL,
        gone_at INTEGER,",
        ),
        "
    CREATE UNIQUE INDEX repositories_removed ON repositories (removed_from)
        WHERE removed_from IS NOT NULL;

    CREATE TABLE listings (
        repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        body BLOB NOT NULL,
        content_type TEXT NOT NULL,
        next TEXT,
        filters_applied TEXT,
        fetched_at INTEGER NOT NULL,
        PRIMARY KEY (repository_id, kind, key)
    ) STRICT;

    CREATE TABLE pulls (
        manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
        -- A row of access.sqlite, which may be gone.
        group_id INTEGER NOT NULL,
        -- '': asked for by digest.
        tag TEXT NOT NULL,
        first_at INTEGER NOT NULL,
        last_at INTEGER NOT NULL,
        count INTEGER NOT NULL,
        -- As `count`, but older pulls count less: see `Frequency`. As of `last_at`.
        weight REAL NOT NULL,
        PRIMARY KEY (manifest_id, group_id, tag)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX pulls_group ON pulls (group_id);

    -- What lists of all images are sorted by.
    CREATE INDEX pulls_last ON pulls (last_at);
    CREATE INDEX tags_pulled ON tags (last_pulled_at);
    CREATE INDEX manifests_fetched ON manifests (fetched_at);

    -- Blobs that were found damaged or missing: to be fetched again, or lost.
    CREATE TABLE repairs (
        digest TEXT PRIMARY KEY,
        -- What it is part of, for people.
        images TEXT NOT NULL,
        found_at INTEGER NOT NULL,
        -- Since when it is known that its upstream has it no more.
        lost_at INTEGER
    ) STRICT, WITHOUT ROWID;

    -- What was served, came and went, by the hour.
    CREATE TABLE hours (
        begins_at INTEGER PRIMARY KEY,
        served INTEGER NOT NULL,
        served_from_cache INTEGER NOT NULL,
        served_bytes INTEGER NOT NULL,
        served_bytes_from_cache INTEGER NOT NULL,
        fetched_bytes INTEGER NOT NULL,
        evicted_bytes INTEGER NOT NULL,
        refused INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE token_uses (
        -- A row of access.sqlite, which may be gone.
        token_id INTEGER PRIMARY KEY,
        address TEXT NOT NULL,
        used_at INTEGER NOT NULL
    ) STRICT;
    "
    ),
];
