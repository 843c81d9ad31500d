//! The tables that both databases have. What is particular to one of them is given to [`shared_tables`].
//!
//! `blobs` has one row for each file that is needed. In the cache everything that needs a file hangs on that row with
//! ON DELETE CASCADE, so that forgetting a file forgets all of it; what was pushed cannot be had again, so there a row
//! goes only when somebody names it. Every foreign key has an index: without one, each removed row would scan the other
//! table.

macro_rules! shared_tables {
    (
        on_delete: $on_delete:literal,
        repositories: $repositories:literal,
        blob_links: $blob_links:literal,
        manifests: $manifests:literal,
        tags: $tags:literal $(,)?
    ) => {
        concat!(
            "
    CREATE TABLE repositories (
        id INTEGER PRIMARY KEY AUTOINCREMENT,",
            $repositories,
            "
    ) STRICT;

    CREATE TABLE blobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL CHECK (size >= 0),
        added_at INTEGER NOT NULL
    ) STRICT;

    -- The bytes of all files and their number, so that each fill can ask for them, and whoever looks.
    CREATE TABLE used (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        bytes INTEGER NOT NULL,
        blobs INTEGER NOT NULL
    ) STRICT;
    INSERT INTO used (id, bytes, blobs) VALUES (1, 0, 0);
    CREATE TRIGGER blobs_added AFTER INSERT ON blobs BEGIN
        UPDATE used SET bytes = bytes + new.size, blobs = blobs + 1;
    END;
    CREATE TRIGGER blobs_removed AFTER DELETE ON blobs BEGIN
        UPDATE used SET bytes = bytes - old.size, blobs = blobs - 1;
    END;
    CREATE TRIGGER blobs_changed AFTER UPDATE OF size ON blobs BEGIN
        UPDATE used SET bytes = bytes + new.size - old.size;
    END;

    -- In which repositories a blob may be read.
    CREATE TABLE blob_links (
        repository_id INTEGER NOT NULL REFERENCES repositories (id)",
            $on_delete,
            ",
        blob_id INTEGER NOT NULL REFERENCES blobs (id)",
            $on_delete,
            ",
        linked_at INTEGER NOT NULL,",
            $blob_links,
            "
        PRIMARY KEY (repository_id, blob_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blob_links_blob ON blob_links (blob_id);

    CREATE TABLE manifests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        repository_id INTEGER NOT NULL REFERENCES repositories (id)",
            $on_delete,
            ",
        blob_id INTEGER NOT NULL REFERENCES blobs (id)",
            $on_delete,
            ",
        media_type TEXT NOT NULL,
        subject TEXT,",
            $manifests,
            "
        UNIQUE (repository_id, blob_id)
    ) STRICT;
    CREATE INDEX manifests_blob ON manifests (blob_id);
    CREATE INDEX manifests_subject ON manifests (repository_id, subject) WHERE subject IS NOT NULL;

    -- What a manifest refers to, here or not. An index of 4 MiB has 44,000 of these, so they are short: the digest is
    -- the hash alone, whose length tells the algorithm.
    CREATE TABLE manifest_references (
        manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
        hash BLOB NOT NULL CHECK (length(hash) IN (32, 64)),
        PRIMARY KEY (manifest_id, hash)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX manifest_references_hash ON manifest_references (hash);

    CREATE TABLE tags (
        repository_id INTEGER NOT NULL REFERENCES repositories (id)",
            $on_delete,
            ",
        name TEXT NOT NULL,
        manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,",
            $tags,
            "
        -- By whomever, also what it pointed to before.
        last_pulled_at INTEGER,
        PRIMARY KEY (repository_id, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tags_manifest ON tags (manifest_id);

    -- Files whose row is about to come, or has just gone: what a crash leaves of either is found here.
    CREATE TABLE unsettled (
        digest TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
"
        )
    };
}

pub(in crate::store) use shared_tables;
