//! What an upstream answered: the types of what comes back, as it came and checked against nothing.

use std::io::Read;

use super::rate_limit::RateLimit;
use crate::oci::{Digest, MediaType};
use crate::spool::Content;

/// What HEAD of a manifest says.
#[derive(Debug, Clone)]
pub struct ManifestHead {
    /// `Docker-Content-Digest`, where it was sent and well-formed.
    pub digest: Option<Digest>,
    /// `Content-Type`, where it is a manifest's.
    pub media_type: Option<MediaType>,
    /// `Content-Length`, in bytes.
    pub size: Option<u64>,
    /// What this answer says of the rate limit.
    pub rate_limit: Option<RateLimit>,
}

/// A manifest as it came, not yet checked against anything.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// At least one byte, at most `oci::MAX_MANIFEST_SIZE`.
    pub content: Content,
    /// `Content-Type` as sent.
    pub content_type: String,
    /// `Docker-Content-Digest`, if it was sent and well-formed.
    pub digest: Option<Digest>,
}

/// What HEAD of a blob says.
#[derive(Debug, Clone)]
pub struct BlobHead {
    /// `Content-Length`, in bytes.
    pub size: Option<u64>,
}

/// A blob while it arrives.
pub struct BlobStream {
    /// The offset of the first byte that `reader` gives: as asked, or 0 where the upstream ignored Range.
    pub offset: u64,
    /// The whole blob's size, if the upstream said it.
    pub total: Option<u64>,
    /// For `If-Range`; only strong ones.
    pub etag: Option<String>,
    /// The bytes; fails with the io error on reset, silence or early end (never a silent early end). Its
    /// text is a sentence that names the upstream. Dropped early, it closes the connection.
    pub reader: Box<dyn Read + Send>,
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("offset", &self.offset)
            .field("total", &self.total)
            .field("etag", &self.etag)
            .finish_non_exhaustive()
    }
}

/// A JSON answer of `tags/list` or `referrers`, as it came.
#[derive(Debug, Clone)]
pub struct Listing {
    /// At most 16 MiB.
    pub body: Content,
    /// `Content-Type` as sent.
    pub content_type: String,
    /// The query of the next page from `Link: <…>; rel="next"`.
    pub next: Option<String>,
    /// `OCI-Filters-Applied`.
    pub filters_applied: Option<String>,
}
