//! What manifests and blobs have in common: digest, ETag, Range, If-None-Match, where it came from.

use std::sync::Arc;
use std::time::Duration;

use super::super::call::Call;
use super::super::error;
use crate::http::{Body, RangeRequest, Response, none_match, parse_range};
use crate::oci::Digest;
use crate::proxy::CacheWord;
use crate::spool;

/// Content of a known digest.
pub(super) struct Content<'a> {
    pub(super) digest: &'a Digest,
    pub(super) media_type: &'a str,
    /// Its size; `None` where it is not known yet: then Range is not served.
    pub(super) size: Option<u64>,
    /// Where it came from; `None` for what was pushed here.
    pub(super) cache: Option<CacheWord>,
    pub(super) age: Option<Duration>,
}

fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client has the content of this digest already, and asks whether that is still right.
pub(super) fn has_it(call: &Call<'_>, digest: &Digest) -> bool {
    none_match(call.request.headers.get("If-None-Match"), &etag(digest))
}

impl Content<'_> {
    /// Answers with all of it, a part of it, or that the client has it already. `body` gives the body for
    /// an offset and a length (`None`: to the end).
    pub(super) fn answer(
        &self,
        call: &mut Call<'_>,
        body: impl FnOnce(u64, Option<u64>) -> Body,
    ) -> Response {
        call.note.cache = self.cache;
        let etag = etag(self.digest);
        let headers = &call.request.headers;
        if has_it(call, self.digest) {
            return self.headers(Response::new(304), &etag);
        }
        // If-Range with another validator asks for the whole (RFC 9110, 13.1.5).
        let may_part = headers
            .get("If-Range")
            .is_none_or(|validator| validator.trim() == etag);
        let range = headers.get("Range").filter(|_| may_part && !call.is_head());
        let range = self
            .size
            .map_or(RangeRequest::Whole, |size| parse_range(range, size));
        let (status, offset, length) = match (range, self.size) {
            (RangeRequest::Unsatisfiable, size) => {
                return error::body(416, "RANGE_INVALID", "there is nothing in this range")
                    .header("Content-Range", format!("bytes */{}", size.unwrap_or(0)));
            }
            (RangeRequest::Part { offset, length }, _) => (206, offset, Some(length)),
            (RangeRequest::Whole, size) => (200, 0, size),
        };
        let mut response = self
            .headers(Response::new(status), &etag)
            .header("Accept-Ranges", "bytes");
        if let (206, Some(length), Some(size)) = (status, length, self.size) {
            response = response.header(
                "Content-Range",
                format!(
                    "bytes {offset}-{}/{size}",
                    offset.saturating_add(length).saturating_sub(1)
                ),
            );
        }
        if call.is_head() {
            return match self.size {
                Some(size) => response.header("Content-Length", size.to_string()),
                // Without one the length stays open: a 0 would be taken for an empty blob.
                None => response,
            };
        }
        response.body(body(offset, length))
    }

    fn headers(&self, response: Response, etag: &str) -> Response {
        let response = response
            .header("Docker-Content-Digest", self.digest.as_str())
            .header("Content-Type", self.media_type)
            .header("ETag", etag);
        let response = match self.cache {
            Some(cache) => response.header("X-Cache", cache.as_str()),
            None => response,
        };
        match self.age {
            Some(age) => response.header("Age", age.as_secs().to_string()),
            None => response,
        }
    }
}

/// What is in `content` from `offset` on, `length` bytes of it or all. A file among it is to be held until it is
/// delivered.
pub(in crate::server) fn part_of(
    content: &spool::Content,
    offset: u64,
    length: Option<u64>,
) -> Body {
    let rest = content.length().saturating_sub(offset);
    let length = length.map_or(rest, |length| length.min(rest));
    match content {
        spool::Content::File { file, .. } => Body::File {
            file: Arc::clone(file),
            offset,
            length,
        },
        spool::Content::Memory(bytes) if length == content.length() => Body::Bytes(bytes.clone()),
        spool::Content::Memory(bytes) => {
            let at = |position: u64| usize::try_from(position).unwrap_or(bytes.len());
            let part = at(offset)..at(offset.saturating_add(length));
            Body::Bytes(bytes.get(part).unwrap_or_default().into())
        }
    }
}

/// An answer with all of `content`, which is held until it is delivered.
pub(in crate::server) fn whole(response: Response, content: spool::Content) -> Response {
    response.body(part_of(&content, 0, None)).holding(content)
}
