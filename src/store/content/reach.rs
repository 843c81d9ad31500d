//! Reachability, written once for both databases: what an image consists of, and what needs a manifest or a blob. These
//! are parts of statements on a connection whose main database is one of the two. References count within a repository.

/// The blob that a reference is about.
pub(in crate::store) const REFERRED_BLOB: &str =
    "blobs.digest = iif(length(hash) = 32, 'sha256:', 'sha512:') || lower(hex(hash))";

/// What belongs to an image besides what its manifest refers to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Attached {
    /// What has it as its subject: signatures, for example.
    Included,
    /// That, and what is attached by the name of its tag, as cosign does and as the fallback for lists of referrers does:
    /// `sha256-HEX.sig`, `sha256-HEX`.
    AlsoByTag,
    Excluded,
}

/// A table `NAME (id, repository_id)` for WITH RECURSIVE: the manifests that `seed` selects, and downwards those that
/// they consist of.
pub(in crate::store) fn below(name: &str, seed: &str, attached: Attached) -> String {
    let by_subject = format!(
        "UNION
         SELECT attached.id, attached.repository_id
         FROM {name}
         CROSS JOIN manifests AS part ON part.id = {name}.id
         CROSS JOIN blobs ON blobs.id = part.blob_id
         CROSS JOIN manifests AS attached
             ON attached.repository_id = {name}.repository_id AND attached.subject = blobs.digest"
    );
    let by_tag = format!(
        "UNION
         SELECT tags.manifest_id, tags.repository_id
         FROM {name}
         CROSS JOIN manifests AS part ON part.id = {name}.id
         CROSS JOIN blobs ON blobs.id = part.blob_id
         CROSS JOIN tags ON tags.repository_id = {name}.repository_id
             AND tags.name >= replace(blobs.digest, ':', '-')
             AND tags.name < replace(blobs.digest, ':', '-') || '~'"
    );
    let attached = match attached {
        Attached::Excluded => String::new(),
        Attached::Included => by_subject,
        Attached::AlsoByTag => format!("{by_subject} {by_tag}"),
    };
    format!(
        "{name} (id, repository_id) AS (
             {seed}
             UNION
             SELECT part.id, part.repository_id
             FROM {name}
             CROSS JOIN manifest_references ON manifest_references.manifest_id = {name}.id
             CROSS JOIN blobs ON {REFERRED_BLOB}
             CROSS JOIN manifests AS part
                 ON part.repository_id = {name}.repository_id AND part.blob_id = blobs.id
             {attached})"
    )
}

/// A table `above (id, is_attached)` for WITH RECURSIVE: the manifest `?1` and upwards those that refer to it; and, with
/// `is_attached`, its subject and what refers to that, because it is only attached to their images.
pub(in crate::store) const ABOVE: &str = "
    above (id, is_attached) AS (
        SELECT ?1, FALSE
        UNION
        SELECT parent.id, above.is_attached
        FROM above
        CROSS JOIN manifests AS part ON part.id = above.id
        CROSS JOIN blobs ON blobs.id = part.blob_id
        CROSS JOIN manifest_references ON hash = unhex(substr(blobs.digest, 8))
        CROSS JOIN manifests AS parent ON parent.id = manifest_references.manifest_id
            AND parent.repository_id = part.repository_id
        UNION
        SELECT subject.id, TRUE
        FROM above
        CROSS JOIN manifests AS part ON part.id = above.id
        CROSS JOIN blobs ON blobs.digest = part.subject
        CROSS JOIN manifests AS subject ON subject.blob_id = blobs.id
            AND subject.repository_id = part.repository_id
    )";

/// A condition: whether a manifest of the repository refers to the digest, both given as SQL.
pub(in crate::store) fn is_referred_to(digest: &str, repository: &str) -> String {
    format!(
        "EXISTS (
             SELECT 1 FROM manifest_references
             JOIN manifests AS parent ON parent.id = manifest_references.manifest_id
             WHERE hash = unhex(substr({digest}, 8)) AND parent.repository_id = {repository})"
    )
}

/// The same for the digest of a manifest: few refer to one, and its repository may have very many.
pub(in crate::store) fn is_part(digest: &str, repository: &str) -> String {
    format!(
        "EXISTS (
             SELECT 1 FROM manifest_references
             CROSS JOIN manifests AS parent ON parent.id = manifest_references.manifest_id
             WHERE hash = unhex(substr({digest}, 8)) AND parent.repository_id = {repository})"
    )
}

/// A condition: whether neither a link nor a manifest needs the row of `blobs`.
pub(in crate::store) const IS_UNNEEDED: &str = "
    NOT EXISTS (SELECT 1 FROM blob_links WHERE blob_id = blobs.id)
    AND NOT EXISTS (SELECT 1 FROM manifests WHERE blob_id = blobs.id)";

/// How many parts of the image of the manifest `?1` are not to be read in its repository. Of an index those platforms
/// count that are here; where there is none, the index itself lacks one.
pub(in crate::store) fn missing_parts() -> String {
    const IS_INDEX: &str = "manifests.media_type IN (
        'application/vnd.oci.image.index.v1+json',
        'application/vnd.docker.distribution.manifest.list.v2+json')";
    let parts = below(
        "parts",
        "SELECT id, repository_id FROM manifests WHERE id = ?1",
        Attached::Excluded,
    );
    format!(
        "WITH RECURSIVE {parts}
         SELECT CAST(total(NOT is_here) AS INTEGER) FROM (
             SELECT DISTINCT hash, EXISTS (
                 SELECT 1 FROM blobs CROSS JOIN blob_links ON blob_links.blob_id = blobs.id
                     AND blob_links.repository_id = manifests.repository_id
                 WHERE {REFERRED_BLOB}) AS is_here
             FROM parts
             CROSS JOIN manifests ON manifests.id = parts.id AND NOT {IS_INDEX}
             CROSS JOIN manifest_references ON manifest_references.manifest_id = parts.id
             UNION ALL
             SELECT NULL, FALSE
             FROM parts
             CROSS JOIN manifests ON manifests.id = parts.id AND {IS_INDEX}
             WHERE EXISTS (
                 SELECT 1 FROM manifest_references
                 WHERE manifest_references.manifest_id = parts.id)
             AND NOT EXISTS (
                 SELECT 1 FROM manifest_references
                 CROSS JOIN blobs ON {REFERRED_BLOB}
                 CROSS JOIN manifests AS platform ON platform.blob_id = blobs.id
                     AND platform.repository_id = parts.repository_id
                 WHERE manifest_references.manifest_id = parts.id))"
    )
}

/// The bytes that are here of the manifest `?1` and of what it consists of, each file once.
pub(in crate::store) fn image_size() -> String {
    let parts = below(
        "parts",
        "SELECT id, repository_id FROM manifests WHERE id = ?1",
        Attached::Excluded,
    );
    format!(
        "WITH RECURSIVE {parts}
         SELECT CAST(total(size) AS INTEGER) FROM blobs WHERE id IN (
             SELECT blob_id FROM parts CROSS JOIN manifests ON manifests.id = parts.id
             UNION
             SELECT blobs.id FROM parts
             CROSS JOIN manifest_references ON manifest_references.manifest_id = parts.id
             CROSS JOIN blobs ON {REFERRED_BLOB})"
    )
}
