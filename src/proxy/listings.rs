//! `tags/list` and `referrers` of an upstream: asked for, kept, and given from the cache while the upstream
//! is away. An answer is never an empty list that the upstream did not give.

use std::sync::Arc;
use std::time::Duration;

use super::{CacheWord, Proxy, Target, upstream_error};
use crate::auth::Grant;
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, MediaType, Reference, Tag};
use crate::store::{KeptListing, ListingKind};
use crate::time::Timestamp;
use crate::upstream::{Fault, FaultKind, Listing};

/// Tags on a page made from the cache, where the client does not say how many.
const TAG_PAGE: u32 = 100;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// At most this many.
    pub n: Option<u32>,
    /// Those after this one.
    pub last: Option<String>,
    /// The client's query, form-encoded, both of the above in it, as the upstream is to see it: the next
    /// page may be named in words that only the upstream knows.
    pub query: String,
}

/// A list to be answered with, as the upstream gave it.
pub struct ListingAnswer {
    /// JSON.
    pub body: Vec<u8>,
    /// Its type.
    pub content_type: String,
    /// The query of the next page.
    pub next: Option<String>,
    /// `OCI-Filters-Applied`.
    pub filters_applied: Option<String>,
    /// Where the answer came from.
    pub cache: CacheWord,
    /// Since when it is kept.
    pub age: Option<Duration>,
}

impl Proxy {
    /// The tags of a repository (distribution-spec, "Listing Tags").
    ///
    /// # Errors
    /// `NameUnknown` where the upstream does not know the repository; `Unavailable` where it is away and
    /// nothing of the repository is kept.
    pub fn tags(&self, grant: &Grant, target: &Target, page: &ListPage) -> Result<ListingAnswer> {
        let asked = target.upstream.tags_list(&target.repository, &page.query);
        let key = (ListingKind::Tags, page.query.as_str());
        self.listing(grant, target, key, asked, || self.kept_tags(target, page))
            .map_err(|fault| {
                upstream_error(
                    fault,
                    Kind::NameUnknown,
                    &format!("tags of {}", target.shown()),
                )
            })?
    }

    /// The referrers of a manifest (distribution-spec, "Listing Referrers"). `query` is the client's, form-encoded,
    /// as the upstream is to see it. Where the upstream has no such API, its fallback tag is read.
    ///
    /// # Errors
    /// `ManifestUnknown` where the upstream has neither; `Unavailable` where it is away and nothing is kept.
    pub fn referrers(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
        query: &str,
    ) -> Result<ListingAnswer> {
        let key = format!("{digest}&{query}");
        let asked = target.upstream.referrers(&target.repository, digest, query);
        if let Err(fault) = &asked
            && fault.kind == FaultKind::NotFound
        {
            return self.referrers_by_tag(grant, target, digest);
        }
        self.listing(grant, target, (ListingKind::Referrers, &key), asked, || {
            self.kept_fallback(grant, target, digest)
        })
        .map_err(|fault| {
            upstream_error(
                fault,
                Kind::ManifestUnknown,
                &format!("referrers of {digest} in {}", target.shown()),
            )
        })?
    }

    /// The upstream's answer, kept if `grant` may fill; or what is kept, where it gave none. The outer error
    /// is the upstream's where nothing is kept.
    fn listing(
        &self,
        grant: &Grant,
        target: &Target,
        (kind, key): (ListingKind, &str),
        asked: Result<Listing, Fault>,
        otherwise: impl FnOnce() -> Result<Option<ListingAnswer>>,
    ) -> Result<Result<ListingAnswer>, Fault> {
        match asked {
            Ok(listing) => Ok(self.keep_listing(grant, target, kind, key, listing)),
            Err(fault) => match self
                .kept_listing(target, kind, key)
                .and_then(|kept| kept.map_or_else(otherwise, |k| Ok(Some(k))))
            {
                Ok(Some(kept)) => Ok(Ok(kept)),
                Ok(None) => Err(fault),
                Err(error) => Ok(Err(error)),
            },
        }
    }

    fn keep_listing(
        &self,
        grant: &Grant,
        target: &Target,
        kind: ListingKind,
        key: &str,
        listing: Listing,
    ) -> Result<ListingAnswer> {
        if grant.may_fill() {
            let repository = self.repository_to_fill(target)?;
            let kept = KeptListing {
                body: listing.body.clone(),
                content_type: listing.content_type.clone(),
                next: listing.next.clone(),
                filters_applied: listing.filters_applied.clone(),
                fetched_at: Timestamp::now(),
            };
            self.store
                .cache
                .keep_listing(repository, kind, key, &kept)?;
        }
        Ok(ListingAnswer {
            body: listing.body,
            content_type: listing.content_type,
            next: listing.next,
            filters_applied: listing.filters_applied,
            cache: CacheWord::fetched(grant),
            age: None,
        })
    }

    fn kept_listing(
        &self,
        target: &Target,
        kind: ListingKind,
        key: &str,
    ) -> Result<Option<ListingAnswer>> {
        let Some(repository) = self.repository_of(target)? else {
            return Ok(None);
        };
        let kept = self.store.cache.listing(repository, kind, key)?;
        Ok(kept.map(|kept| ListingAnswer {
            age: Some(Timestamp::now().since(kept.fetched_at)),
            body: kept.body,
            content_type: kept.content_type,
            next: kept.next,
            filters_applied: kept.filters_applied,
            cache: CacheWord::Stale,
        }))
    }

    /// The tags that are kept of a repository, as a list.
    fn kept_tags(&self, target: &Target, page: &ListPage) -> Result<Option<ListingAnswer>> {
        let Some(repository) = self.repository_of(target)? else {
            return Ok(None);
        };
        let n = page.n.unwrap_or(TAG_PAGE).clamp(1, 1_000);
        let mut tags = self
            .store
            .cache
            .tags(repository, page.last.as_deref(), n as usize + 1)?;
        if tags.is_empty() && page.last.is_none() {
            return Ok(None);
        }
        let more = tags.len() > n as usize;
        tags.truncate(n as usize);
        let next = tags
            .last()
            .filter(|_| more)
            .map(|last| format!("n={n}&last={last}"));
        let body = serde_json::json!({ "name": target.repository.as_str(), "tags": tags });
        Ok(Some(ListingAnswer {
            body: body.to_string().into_bytes(),
            content_type: "application/json".to_owned(),
            next,
            filters_applied: None,
            cache: CacheWord::Stale,
            age: None,
        }))
    }

    /// The index under the fallback tag `sha256-HEX` (distribution-spec, "Unavailable Referrers API").
    fn referrers_by_tag(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
    ) -> Result<ListingAnswer> {
        let tag = fallback_tag(digest)?;
        let answer = self.manifest(grant, target, &Reference::Tag(tag.clone()))?;
        if answer.media_type != MediaType::OciIndex {
            let what = format!(
                "referrers of {digest} in {}: the tag {tag} is no index",
                target.shown()
            );
            return Err(Error::new(Kind::ManifestUnknown, what));
        }
        Ok(ListingAnswer {
            body: answer.bytes.to_vec(),
            content_type: answer.media_type.as_str().to_owned(),
            next: None,
            filters_applied: None,
            cache: answer.cache,
            age: answer.age,
        })
    }

    /// The index under the fallback tag, where it was read from an upstream without the API and that is away
    /// now.
    fn kept_fallback(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
    ) -> Result<Option<ListingAnswer>> {
        if self.kept_tag(target, &fallback_tag(digest)?)?.is_none() {
            return Ok(None);
        }
        self.referrers_by_tag(grant, target, digest).map(Some)
    }
}

/// The tag that stands for the referrers of a digest: `sha256-HEX`.
fn fallback_tag(digest: &Digest) -> Result<Tag> {
    let tag = digest.as_str().replace(':', "-");
    Tag::parse(&tag.chars().take(128).collect::<String>())
}
