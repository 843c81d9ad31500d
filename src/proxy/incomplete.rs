//! Kept images of which nothing but manifests is here, while the rest cannot be had. Where some layers are here the client
//! is let go on: it may have the others from elsewhere, or want a platform that is whole.

use std::time::Duration;

use super::manifests::ManifestAnswer;
use super::{CacheWord, Proxy, Target};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Reference};

/// When to ask again for such an image.
const HOPELESS_RETRY: Duration = Duration::from_secs(30);

impl Proxy {
    /// Fails for a kept image of which no layer is here, and none can be had now: the client would only find that out
    /// after its tries. HEAD is answered all the same, as whoever only looks needs no part.
    pub(super) fn refuse_hopeless(
        &self,
        target: &Target,
        reference: &Reference,
        answer: &ManifestAnswer,
    ) -> Result<()> {
        // A list of referrers by its fallback tag is an index that is read for itself.
        let is_list = matches!(reference, Reference::Tag(tag) if is_fallback_tag(tag.as_str()));
        if is_list || !matches!(answer.cache, CacheWord::Hit | CacheWord::Stale) {
            return Ok(());
        }
        let is_stale = answer.cache == CacheWord::Stale;
        let Some(why) = target.upstream.gives_nothing(is_stale) else {
            return Ok(());
        };
        match self.is_bare(target, &answer.digest) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                tracing::warn!("served without knowing whether any of it is here: {error}");
                return Ok(());
            }
        }
        let separator = match reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        let image = format!("{}{separator}{reference}", target.shown());
        let kind = Kind::Unavailable {
            retry_after: HOPELESS_RETRY,
        };
        let lacks = "none of its platforms or layers is here";
        let what = format!("{image} is kept only in part: {lacks}, and {why}");
        Err(Error::new(kind, what).remedy("pull it once while its upstream answers"))
    }

    fn is_bare(&self, target: &Target, digest: &Digest) -> Result<bool> {
        match self.repository_of(target)? {
            Some(repository) => self.store.cache.is_bare(repository, digest),
            None => Ok(false),
        }
    }
}

/// Whether a tag is `ALGORITHM-HEX`, by which referrers of a manifest are found (distribution-spec, "Referrers Tag Schema").
fn is_fallback_tag(tag: &str) -> bool {
    tag.starts_with("sha256-") || tag.starts_with("sha512-")
}
