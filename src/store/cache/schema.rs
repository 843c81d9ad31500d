//! The tables of `cache.sqlite`, as migrations that are only ever appended.
//!
//! `blobs` has one row for each file of the blob directory. Everything that needs the file hangs on that row
//! with ON DELETE CASCADE, so that forgetting a file forgets all of it. Every foreign key has an index:
//! without one, each removed row would scan the other table.

pub(super) const MIGRATIONS: &[&str] = &[
    // 1: origins, repositories, blobs and their links, manifests, tags, listings, pulls, uses of tokens.
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

    CREATE TABLE repositories (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        origin_id INTEGER NOT NULL REFERENCES origins (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        -- Where what is purged waits for its end: the repository that it was in. Its name is none of an image.
        removed_from INTEGER,
        UNIQUE (origin_id, name)
    ) STRICT;
    CREATE UNIQUE INDEX repositories_removed ON repositories (removed_from)
        WHERE removed_from IS NOT NULL;

    CREATE TABLE blobs (
        id INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL CHECK (size >= 0),
        added_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE blob_links (
        repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
        blob_id INTEGER NOT NULL REFERENCES blobs (id) ON DELETE CASCADE,
        linked_at INTEGER NOT NULL,
        PRIMARY KEY (repository_id, blob_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blob_links_blob ON blob_links (blob_id);

    CREATE TABLE manifests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
        blob_id INTEGER NOT NULL REFERENCES blobs (id) ON DELETE CASCADE,
        media_type TEXT NOT NULL,
        subject TEXT,
        fetched_at INTEGER NOT NULL,
        UNIQUE (repository_id, blob_id)
    ) STRICT;
    CREATE INDEX manifests_blob ON manifests (blob_id);
    CREATE INDEX manifests_subject ON manifests (repository_id, subject) WHERE subject IS NOT NULL;

    -- What a manifest refers to, here or not.
    CREATE TABLE manifest_children (
        manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (manifest_id, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX manifest_children_digest ON manifest_children (digest);

    CREATE TABLE tags (
        repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
        confirmed_at INTEGER NOT NULL,
        gone_at INTEGER,
        -- By whomever, also what it pointed to before.
        last_pulled_at INTEGER,
        PRIMARY KEY (repository_id, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tags_manifest ON tags (manifest_id);

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
        PRIMARY KEY (manifest_id, group_id, tag)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX pulls_group ON pulls (group_id);

    CREATE TABLE token_uses (
        -- A row of access.sqlite, which may be gone.
        token_id INTEGER PRIMARY KEY,
        address TEXT NOT NULL,
        used_at INTEGER NOT NULL
    ) STRICT;
    ",
    // 2: what a purge has taken the rows of, until the files are gone too.
    "
    CREATE TABLE unsettled (
        digest TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
    ",
];
