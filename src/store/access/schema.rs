//! The tables of `access.sqlite`, as migrations.
//!
//! Ids are AUTOINCREMENT: they leave the box in JWTs and lists, so a removed row's id never names another.
//! What comes later (projects, flags, rules, settings per group) hangs on `groups(id)`, `users(id)` and
//! `tokens(id)` with ON DELETE CASCADE, in tables of its own or in new columns.

pub(in crate::store) const MIGRATIONS: &[&str] = &[
    // 1: users, groups, members, tokens, networks.
    "
    CREATE TABLE users (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE CHECK (name <> ''),
        admin INTEGER NOT NULL DEFAULT 0 CHECK (admin IN (0, 1)),
        service INTEGER NOT NULL DEFAULT 0 CHECK (service IN (0, 1)),
        blocked INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),
        password_hash TEXT,
        password_version INTEGER NOT NULL DEFAULT 1,
        created_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE groups (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path TEXT NOT NULL UNIQUE CHECK (path <> ''),
        parent_id INTEGER REFERENCES groups (id) ON DELETE CASCADE,
        visibility TEXT NOT NULL,
        dependency_proxy_enabled INTEGER NOT NULL DEFAULT 1
            CHECK (dependency_proxy_enabled IN (0, 1)),
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX groups_parent ON groups (parent_id);

    -- Each group with itself (distance 0) and all groups above it; groups never move.
    CREATE TABLE group_ancestors (
        group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
        distance INTEGER NOT NULL,
        ancestor_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
        PRIMARY KEY (group_id, distance)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX group_ancestors_ancestor ON group_ancestors (ancestor_id);
    CREATE TRIGGER groups_added AFTER INSERT ON groups BEGIN
        INSERT INTO group_ancestors (group_id, distance, ancestor_id)
        SELECT NEW.id, 0, NEW.id
        UNION ALL
        SELECT NEW.id, distance + 1, ancestor_id FROM group_ancestors WHERE group_id = NEW.parent_id;
    END;

    CREATE TABLE members (
        group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
        user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        level INTEGER NOT NULL,
        PRIMARY KEY (group_id, user_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX members_user ON members (user_id);

    CREATE TABLE tokens (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
        -- Words separated by spaces.
        scopes TEXT NOT NULL,
        user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
        group_id INTEGER REFERENCES groups (id) ON DELETE CASCADE,
        username TEXT,
        access_level INTEGER,
        revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
        revoked_at INTEGER,
        created_at INTEGER NOT NULL,
        -- The earlier of its own expiry and, where it ends with its maker, of the maker's.
        expires_at INTEGER,
        own_expires_at INTEGER,
        -- The maker: as lists show it, its user, and its token. No foreign keys, since a maker may go first.
        created_by TEXT NOT NULL,
        maker_user_id INTEGER,
        made_by INTEGER,
        -- The first token of the row of rotations that the maker's token belongs to.
        maker_family INTEGER,
        ends_with_maker INTEGER NOT NULL DEFAULT 0 CHECK (ends_with_maker IN (0, 1))
    ) STRICT;
    CREATE INDEX tokens_user ON tokens (user_id, kind);
    CREATE INDEX tokens_group ON tokens (group_id, kind);
    CREATE INDEX tokens_kind ON tokens (kind);
    CREATE INDEX tokens_maker ON tokens (maker_family);
    CREATE INDEX tokens_active ON tokens (kind, expires_at) WHERE revoked = 0;

    CREATE TABLE networks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        cidr TEXT NOT NULL,
        -- NULL: the mirror's group, whatever it is called.
        group_id INTEGER REFERENCES groups (id) ON DELETE CASCADE,
        ability TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX networks_cidr_group ON networks (cidr, ifnull(group_id, 0));
    CREATE INDEX networks_group ON networks (group_id);

    -- Who is signed in on the page: by a password of that version, or by a token.
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
        user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
        password_version INTEGER,
        token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE,
        created_at INTEGER NOT NULL,
        last_used_at INTEGER NOT NULL,
        ends_at INTEGER NOT NULL,
        remote_ip TEXT NOT NULL,
        browser TEXT NOT NULL,
        CHECK ((password_version IS NULL) <> (token_id IS NULL))
    ) STRICT;
    CREATE INDEX sessions_user ON sessions (user_id, last_used_at);
    CREATE INDEX sessions_token ON sessions (token_id, last_used_at);
    CREATE INDEX sessions_end ON sessions (ends_at);

    -- Images that are not evicted.
    CREATE TABLE pins (
        pattern TEXT PRIMARY KEY CHECK (pattern <> ''),
        created_at INTEGER NOT NULL,
        created_by TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
    // 2: upstreams that are added by command, and the groups' settings about them.
    "
    CREATE TABLE upstreams (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL CHECK (name <> ''),
        -- NULL: the box's, which every group may use.
        group_id INTEGER REFERENCES groups (id) ON DELETE CASCADE,
        url TEXT NOT NULL,
        username TEXT,
        -- By `auth::seal`; never the password itself.
        password_sealed BLOB,
        auth_realm TEXT,
        -- PEM, not a path: the file that it was read from may go.
        ca TEXT,
        allow_private INTEGER NOT NULL CHECK (allow_private IN (0, 1)),
        -- NULL: no limit of its own.
        max_size INTEGER CHECK (max_size >= 0),
        created_at INTEGER NOT NULL,
        CHECK ((username IS NULL) = (password_sealed IS NULL))
    ) STRICT;
    CREATE UNIQUE INDEX upstreams_name_group ON upstreams (name, ifnull(group_id, 0));
    CREATE INDEX upstreams_group ON upstreams (group_id);

    ALTER TABLE groups ADD COLUMN on_read_only_miss TEXT NOT NULL DEFAULT 'pass_through';
    -- NULL: as the group above it, at last the box's default.
    ALTER TABLE groups ADD COLUMN default_upstream TEXT;
    ",
    // 3: projects, their tokens, token families, feature flags.
    "
    CREATE TABLE projects (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path TEXT NOT NULL UNIQUE CHECK (path <> ''),
        group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
        visibility TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX projects_group ON projects (group_id);

    -- Which pushed tags go by themselves. A project without a row has the defaults, by which none does.
    CREATE TABLE cleanup_policies (
        project_id INTEGER PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
        enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
        cadence TEXT NOT NULL,
        keep_n INTEGER,
        older_than TEXT,
        -- Of whole names of tags: those that may go, and those that stay all the same.
        name_regex TEXT,
        name_regex_keep TEXT,
        next_run_at INTEGER CHECK ((next_run_at IS NULL) = (enabled = 0))
    ) STRICT;
    CREATE INDEX cleanup_policies_due ON cleanup_policies (next_run_at) WHERE next_run_at IS NOT NULL;

    ALTER TABLE tokens ADD COLUMN project_id INTEGER REFERENCES projects (id) ON DELETE CASCADE;
    -- The first token of a row of rotations; NULL: this one is the first.
    ALTER TABLE tokens ADD COLUMN family_id INTEGER;
    CREATE INDEX tokens_project ON tokens (project_id, kind);
    CREATE INDEX tokens_family ON tokens (ifnull(family_id, id));

    CREATE TABLE features (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        flag TEXT NOT NULL,
        -- NULL: the box's value, which groups may override.
        group_id INTEGER REFERENCES groups (id) ON DELETE CASCADE,
        enabled INTEGER NOT NULL CHECK (enabled IN (0, 1))
    ) STRICT;
    CREATE UNIQUE INDEX features_flag_group ON features (flag, ifnull(group_id, 0));
    CREATE INDEX features_group ON features (group_id);
    ",
    // 4: members of projects, quotas, rules about repositories and tags.
    "
    CREATE TABLE project_members (
        project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
        user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        level INTEGER NOT NULL,
        PRIMARY KEY (project_id, user_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX project_members_user ON project_members (user_id);

    -- Bytes; NULL: no limit of its own.
    ALTER TABLE groups ADD COLUMN quota INTEGER CHECK (quota >= 0);
    -- Of what the group has pulled.
    ALTER TABLE groups ADD COLUMN max_size INTEGER CHECK (max_size >= 0);
    ALTER TABLE projects ADD COLUMN quota INTEGER CHECK (quota >= 0);

    -- One table and one row of ids for both kinds, so that an id alone names a rule.
    CREATE TABLE protection_rules (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL CHECK (kind IN ('repository', 'tag')),
        -- A group's rules are about what it has in the cache, a project's about what is pushed to it.
        project_id INTEGER REFERENCES projects (id) ON DELETE CASCADE,
        group_id INTEGER REFERENCES groups (id) ON DELETE CASCADE,
        -- Of a repository's path, with `*`; or a regular expression on tags.
        pattern TEXT NOT NULL CHECK (pattern <> ''),
        -- Narrows a rule about repositories to the tags that it matches, with `*`.
        tag_pattern TEXT CHECK (tag_pattern <> ''),
        -- Words; NULL: everybody who may push or delete at all.
        min_push TEXT,
        min_delete TEXT,
        immutable INTEGER NOT NULL DEFAULT 0 CHECK (immutable IN (0, 1)),
        created_at INTEGER NOT NULL,
        CHECK ((project_id IS NULL) <> (group_id IS NULL)),
        CHECK (kind = 'repository' OR (project_id IS NOT NULL AND tag_pattern IS NULL)),
        CHECK (min_push IS NOT NULL OR min_delete IS NOT NULL OR immutable = 1)
    ) STRICT;
    CREATE UNIQUE INDEX protection_rules_pattern ON protection_rules
        (kind, ifnull(project_id, 0), ifnull(group_id, 0), pattern, ifnull(tag_pattern, ''));
    CREATE INDEX protection_rules_project ON protection_rules (project_id);
    CREATE INDEX protection_rules_group ON protection_rules (group_id);
    ",
    // 5: external registries, for which the token endpoint signs with a key of their own.
    "
    CREATE TABLE external_registries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE CHECK (name <> ''),
        issuer TEXT NOT NULL,
        -- What its clients send as `service`: it says which key signs.
        audience TEXT NOT NULL UNIQUE CHECK (audience <> ''),
        algorithm TEXT NOT NULL,
        -- PKCS 8 as PEM, by `auth::seal`; never the key itself.
        key_sealed BLOB NOT NULL,
        certificate TEXT NOT NULL,
        key_id TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE webhooks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        -- Random: what is queued for it is named by this, and never meets another webhook.
        uid TEXT NOT NULL UNIQUE CHECK (uid <> ''),
        -- NULL: the box's, which hears of all groups.
        group_id INTEGER REFERENCES groups (id) ON DELETE CASCADE,
        url TEXT NOT NULL CHECK (url <> ''),
        -- Words separated by spaces; empty: all.
        events TEXT NOT NULL,
        enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
        allow_private INTEGER NOT NULL CHECK (allow_private IN (0, 1)),
        -- By `auth::seal`; never the secret itself.
        secret_sealed BLOB NOT NULL,
        -- The one before it, and until when events are signed with both.
        old_secret_sealed BLOB,
        old_until INTEGER,
        created_at INTEGER NOT NULL,
        CHECK ((old_secret_sealed IS NULL) = (old_until IS NULL))
    ) STRICT;
    CREATE INDEX webhooks_group ON webhooks (group_id);
    ",
];
