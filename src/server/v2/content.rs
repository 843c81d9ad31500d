//! What manifests and blobs have in common: digest, ETag, Range, If-None-Match, where it came from.

use std::sync::Arc;
use std::time::Duration;

use super::super::call::Call;
use super::super::error;
use crate::auth::keys::random_hex;
use crate::error::{Error, Kind, Result};
use crate::http::{
    Body, MAX_RANGES, Part, RangeRequest, Response, has_too_many_ranges, none_match, parse_range,
    several_parts,
};
use crate::oci::Digest;
use crate::proxy::CacheWord;
use crate::spool;

/// Content of a known digest.
pub(super) struct Content<'a> {
    pub(super) digest: &'a Digest,
    pub(super) media_type: &'a str,
    /// Its size; `None` where it is not known yet: then Range is not served.
    pub(super) size: Option<u64>,
    /// Whether it can be read more than once: else all of it answers a request for several ranges.
    pub(super) can_be_read_again: bool,
    /// Where it came from; `None` for what was pushed here.
    pub(super) cache: Option<CacheWord>,
    pub(super) age: Option<Duration>,
}

fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client has the content of this digest already, and asks whether that is still right.
pub(super) fn has_it(call: &Call<'_>, digest: &Digest) -> bool {
    let asked = call.request.headers.get("If-None-Match");
    asked.is_some() && none_match(asked, &etag(digest))
}

/// Refuses a request for more ranges than one may ask for, before anything is asked of anybody for it.
pub(super) fn check_ranges(call: &Call<'_>) -> Result<()> {
    if has_too_many_ranges(call.request.headers.get("Range")) {
        let what = format!("a request may ask for {MAX_RANGES} ranges at most");
        let remedy = "ask for fewer at once, with the gaps between them";
        return Err(Error::new(Kind::BadRequest, what).remedy(remedy));
    }
    Ok(())
}

impl Content<'_> {
    /// Answers with all of it, a part of it or several, or that the client has it already. `body` gives the body for an
    /// offset and a length (`None`: to the end), and is asked once for each part.
    pub(super) fn answer(
        &self,
        call: &mut Call<'_>,
        mut body: impl FnMut(u64, Option<u64>) -> Body,
    ) -> Result<Response> {
        call.note.cache = self.cache;
        let etag = etag(self.digest);
        let headers = &call.request.headers;
        if has_it(call, self.digest) {
            return Ok(self.headers(Response::new(304), self.media_type, &etag));
        }
        // If-Range with another validator asks for the whole (RFC 9110, 13.1.5).
        let may_part = headers
            .get("If-Range")
            .is_none_or(|validator| validator.trim() == etag);
        let range = headers.get("Range").filter(|_| may_part && !call.is_head());
        let range = self
            .size
            .map_or(RangeRequest::Whole, |size| parse_range(range, size));
        let size = self.size.unwrap_or(0);
        let (part, length) = match range {
            RangeRequest::Unsatisfiable => {
                let response = error::body(416, "RANGE_INVALID", "there is nothing in this range");
                return Ok(response.header("Content-Range", format!("bytes */{size}")));
            }
            RangeRequest::Several(parts) if self.can_be_read_again => {
                let parts = parts
                    .into_iter()
                    .map(|part| (part, body(part.offset, Some(part.length))));
                let boundary = random_hex::<16>()?;
                let (media_type, body) = several_parts(boundary, self.media_type, size, parts);
                let response = self.headers(Response::new(206), &media_type, &etag);
                return Ok(response.header("Accept-Ranges", "bytes").body(body));
            }
            RangeRequest::One(part) => (Some(part), Some(part.length)),
            RangeRequest::Whole | RangeRequest::Several(_) => (None, self.size),
        };
        let status = if part.is_some() { 206 } else { 200 };
        let mut response = self
            .headers(Response::new(status), self.media_type, &etag)
            .header("Accept-Ranges", "bytes");
        if let Some(part) = part {
            response = response.header("Content-Range", part.content_range(size));
        }
        if call.is_head() {
            return Ok(match self.size {
                Some(size) => response.header("Content-Length", size.to_string()),
                // Without one the length stays open: a 0 would be taken for an empty blob.
                None => response,
            });
        }
        let offset = part.map_or(0, |part: Part| part.offset);
        Ok(response.body(body(offset, length)))
    }

    fn headers(&self, response: Response, media_type: &str, etag: &str) -> Response {
        let response = response
            .header("Docker-Content-Digest", self.digest.as_str())
            .header("Content-Type", media_type)
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
