//! The tables of `registry.sqlite`, as migrations. Those that it shares with `cache.sqlite`
//! stand in `content::schema`.

use crate::store::content::shared_tables;

pub(in crate::store) const MIGRATIONS: &[&str] = &[
    // 1: repositories, blobs and their links, manifests and what they refer to, tags, uploads, cleanups.
    concat!(
        shared_tables!(
            on_delete: "",
            repositories: "
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
        UNIQUE (project_id, path)",
            blob_links: "
        -- When a push last relied on it, or its last manifest went: the grace of garbage counts from here.
        needed_at INTEGER NOT NULL,",
            manifests: "
        artifact_type TEXT,
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
        -- By tag or digest, by whomever.
        last_pulled_at INTEGER,",
            tags: "
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,",
        ),
        "
    CREATE INDEX repositories_path ON repositories (path);
    CREATE INDEX repositories_removed ON repositories (removed_at) WHERE removed_at IS NOT NULL;
    CREATE INDEX repositories_shown ON repositories (project_id, path) WHERE manifest_count > 0;

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

    -- Manifests that may be needed by nothing since a cleanup took a tag, to be looked at from `due_at` on.
    CREATE TABLE cleanup_left (
        manifest_id INTEGER PRIMARY KEY REFERENCES manifests (id) ON DELETE CASCADE,
        due_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX cleanup_left_due ON cleanup_left (due_at);

    -- The last cleanup of each project, or the one that goes on, also after a crash.
    CREATE TABLE cleanup_runs (
        -- A row of access.sqlite, which may be gone.
        project_id INTEGER PRIMARY KEY,
        started_at INTEGER NOT NULL,
        finished_at INTEGER,
        removed_tags INTEGER NOT NULL DEFAULT 0,
        kept_tags INTEGER NOT NULL DEFAULT 0,
        error TEXT
    ) STRICT;

    -- Deletions of many tags that somebody has asked for.
    CREATE TABLE cleanup_requests (
        repository_id INTEGER PRIMARY KEY REFERENCES repositories (id) ON DELETE CASCADE,
        name_regex_delete TEXT NOT NULL,
        name_regex_keep TEXT,
        keep_n INTEGER,
        -- Seconds.
        older_than INTEGER,
        requested_at INTEGER NOT NULL
    ) STRICT;

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
    "
    ),
];
