//! The manual's table of what clients are told when something fails. Statuses and codes come from the
//! program; what a person can make of them stands here.

use std::fmt::Write;
use std::time::Duration;

use breakwater::error::Kind;
use breakwater::server::status_and_code;

const RETRY: Duration = Duration::ZERO;

/// Kinds of errors that a client can cause or meet, by status, and what each means.
const ERRORS: &[(Kind, &str)] = &[
    (Kind::NameInvalid, "no repository can have that name"),
    (Kind::TagInvalid, "no tag can have that name"),
    (
        Kind::DigestInvalid,
        "no digest, or not the digest of what was sent",
    ),
    (
        Kind::ManifestInvalid,
        "what was pushed is no manifest of the type that it says",
    ),
    (
        Kind::SizeInvalid,
        "a body has not the length that was announced",
    ),
    (Kind::BlobUploadInvalid, "an upload cannot go on like that"),
    (Kind::BadRequest, "the request is malformed in another way"),
    (
        Kind::Unauthorized,
        "no login, a wrong one, or a token that is revoked or expired: log in again",
    ),
    (
        Kind::Denied,
        "the login is good, and may not do this: a scope, an access level, a protection rule or a quota stands against it, and the message says which",
    ),
    (
        Kind::NameUnknown,
        "no such repository or upstream, or one that the caller may not see",
    ),
    (
        Kind::ManifestUnknown,
        "no such tag or manifest, here or at the upstream; or it denies it to this box",
    ),
    (Kind::BlobUnknown, "the same of a blob"),
    (Kind::BlobUploadUnknown, "no such upload, or it has expired"),
    (Kind::NotFound, "no such path"),
    (Kind::Unsupported, "the path does not take this method"),
    (
        Kind::Conflict,
        "something of that name is there already, or in use",
    ),
    (Kind::ManifestTooLarge, "a manifest is larger than 4 MiB"),
    (Kind::RangeInvalid, "there is nothing in that range"),
    (
        Kind::TooManyRequests { retry_after: RETRY },
        "too many failed logins from this address, or the upstream's rate limit and the image is not kept",
    ),
    (
        Kind::Internal,
        "something is wrong with this box: its log has the request's id",
    ),
    (
        Kind::Unavailable { retry_after: RETRY },
        "not kept, and the upstream does not give it now, or sent something else; or a list that took more than ten seconds, or one of too many lists at once: the message says why",
    ),
    (
        Kind::Busy,
        "another process keeps a database of the box locked: try again",
    ),
    (Kind::Full, "the box's disk is full"),
];

/// A row for each status and code, in the order of the statuses.
pub(super) fn errors() -> String {
    let mut table = "| status | code | |\n|---|---|---|\n".to_owned();
    let mut before = 0;
    for (kind, meaning) in ERRORS {
        let (status, code) = status_and_code(*kind);
        assert!(before <= status, "{kind:?} is not in the order of statuses");
        before = status;
        writeln!(table, "| {status} | `{code}` | {meaning} |").unwrap();
        // Not a kind: one error for each blob of a manifest.
        if *kind == Kind::ManifestInvalid {
            let meaning =
                "a manifest names blobs that are not in the repository: push or mount them first";
            writeln!(table, "| 400 | `MANIFEST_BLOB_UNKNOWN` | {meaning} |").unwrap();
        }
    }
    table
}
