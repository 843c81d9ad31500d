//! The tables of `registry.sqlite`, as migrations that are only ever appended.
//!
//! `blobs` has one row for each file that hosted content needs. Nothing hangs on it by cascade: what was pushed
//! cannot be had again, so a row of it goes only when somebody names it. Every foreign key has an index.

pub(in crate::store) const MIGRATIONS: &[&str] = &[
    // 1: repositories, blobs and their links, manifests and what they refer to, tags, uploads.
    "
    CREATE TABLE repositories (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        -- A row of access.sqlite, which may be gone: then nobody sees the repository, and a new project
        -- of the same path does not get it, because ids are never given out twice.
        project_id INTEGER NOT NULL,
        path TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        -- Of what was removed, whose project_id is its own id, negated: see `removal`.
        removed_from INTEGER,
        removed_at INTEGER,
        -- Kept by the triggers below, so that lists and quotas need not count.
        manifest_count INTEGER NOT NULL DEFAULT 0,
        tag_count INTEGER NOT NULL DEFAULT 0,
        -- What quotas count for its rows, on top of the bytes of the files.
        row_bytes INTEGER NOT NULL DEFAULT 256,
        UNIQUE (project_id, path)
    ) STRICT;
    CREATE INDEX repositories_path ON repositories (path);
    CREATE INDEX repositories_removed ON repositories (removed_at) WHERE removed_at IS NOT NULL;
    CREATE INDEX repositories_shown ON repositories (project_id, path) WHERE manifest_count > 0;

    CREATE TABLE blobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL CHECK (size >= 0),
        added_at INTEGER NOT NULL
    ) STRICT;

    -- In which repositories a blob was uploaded or mounted: only there it can be read and used.
    CREATE TABLE blob_links (
        repository_id INTEGER NOT NULL REFERENCES repositories (id),
        blob_id INTEGER NOT NULL REFERENCES blobs (id),
        linked_at INTEGER NOT NULL,
        -- When a push last relied on it, or its last manifest went: the grace of garbage counts from here.
        needed_at INTEGER NOT NULL,
        PRIMARY KEY (repository_id, blob_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blob_links_blob ON blob_links (blob_id);

    CREATE TABLE manifests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        repository_id INTEGER NOT NULL REFERENCES repositories (id),
        blob_id INTEGER NOT NULL REFERENCES blobs (id),
        media_type TEXT NOT NULL,
        artifact_type TEXT,
        subject TEXT,
        -- JSON, as pushed, of manifests with a subject: lists of referrers show it.
        annotations TEXT,
        -- Its own bytes and those of what it refers to, as it says.
        total_size INTEGER NOT NULL,
        reference_count INTEGER NOT NULL,
        -- What quotas count for its rows, with those of `manifest_references`: about what they take on the disk.
        row_bytes INTEGER NOT NULL AS (
            512 + 128 * reference_count
            + ifnull(octet_length(annotations), 0) + ifnull(octet_length(artifact_type), 0)),
        pushed_at INTEGER NOT NULL,
        pushed_by TEXT NOT NULL,
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
        repository_id INTEGER NOT NULL REFERENCES repositories (id),
        name TEXT NOT NULL,
        manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        PRIMARY KEY (repository_id, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tags_manifest ON tags (manifest_id);

    -- Their bytes lie in staging/; the file's own time says when they were last written to.
    CREATE TABLE uploads (
        id TEXT PRIMARY KEY,
        repository_id INTEGER NOT NULL REFERENCES repositories (id),
        project_id INTEGER NOT NULL,
        algorithm TEXT NOT NULL,
        started_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX uploads_repository ON uploads (repository_id);
    CREATE INDEX uploads_project ON uploads (project_id);

    -- Files whose row is about to come, or has just gone: what a crash leaves of either is found here.
    CREATE TABLE unsettled (
        digest TEXT PRIMARY KEY
    ) STRICT, WITHOUT ROWID;

    -- Cascades run these too.
    CREATE TRIGGER links_added AFTER INSERT ON blob_links BEGIN
        UPDATE repositories SET row_bytes = row_bytes + 256 WHERE id = NEW.repository_id;
    END;
    CREATE TRIGGER links_removed AFTER DELETE ON blob_links BEGIN
        UPDATE repositories SET row_bytes = row_bytes - 256 WHERE id = OLD.repository_id;
    END;
    CREATE TRIGGER manifests_added AFTER INSERT ON manifests BEGIN
        UPDATE repositories
        SET manifest_count = manifest_count + 1, row_bytes = row_bytes + NEW.row_bytes
        WHERE id = NEW.repository_id;
    END;
    CREATE TRIGGER manifests_removed AFTER DELETE ON manifests BEGIN
        UPDATE repositories
        SET manifest_count = manifest_count - 1, row_bytes = row_bytes - OLD.row_bytes
        WHERE id = OLD.repository_id;
    END;
    CREATE TRIGGER manifests_moved AFTER UPDATE OF repository_id ON manifests BEGIN
        UPDATE repositories
        SET manifest_count = manifest_count - 1, row_bytes = row_bytes - OLD.row_bytes
        WHERE id = OLD.repository_id;
        UPDATE repositories
        SET manifest_count = manifest_count + 1, row_bytes = row_bytes + NEW.row_bytes
        WHERE id = NEW.repository_id;
    END;
    CREATE TRIGGER tags_added AFTER INSERT ON tags BEGIN
        UPDATE repositories SET tag_count = tag_count + 1, row_bytes = row_bytes + 256
        WHERE id = NEW.repository_id;
    END;
    CREATE TRIGGER tags_removed AFTER DELETE ON tags BEGIN
        UPDATE repositories SET tag_count = tag_count - 1, row_bytes = row_bytes - 256
        WHERE id = OLD.repository_id;
    END;
    ",
];
