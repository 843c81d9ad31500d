//! Lists as they are kept: written on the way to a client, and given while the upstream is away; where the list itself
//! was not kept, one is made of what else is.

use std::sync::Arc;

use serde_json::Map;

use super::{ListPage, ListingAnswer, content_type, fallback_tag};
use crate::auth::Grant;
use crate::error::Result;
use crate::oci::{Digest, Manifest};
use crate::proxy::{CacheWord, Proxy, Target};
use crate::spool::Owner;
use crate::store::{KeptListing, ListingKind};
use crate::time::Timestamp;
use crate::upstream::Listing;

/// Tags on a page made from the cache, where the client does not say how many.
const TAG_PAGE: u32 = 100;
/// Referrers in a list made from the cache.
const MOST_REFERRERS: u32 = 100;

impl Proxy {
    pub(super) fn keep_listing(
        &self,
        target: &Target,
        kind: ListingKind,
        key: &str,
        listing: &Listing,
    ) -> Result<()> {
        let cache = &self.store.cache;
        let repository = self.repository_to_fill(target)?;
        let length = listing.body.length();
        self.store.spools.work(target.owner(), length, || {
            let kept = KeptListing {
                body: listing.body.read()?.into_owned(),
                content_type: content_type(kind).to_owned(),
                next: listing.next.clone(),
                filters_applied: listing.filters_applied.clone(),
                fetched_at: Timestamp::now(),
            };
            cache.keep_listing(repository, kind, key, &kept)
        })
    }

    /// The list as it was kept, marked stale where it is older than `tag_ttl`; where it was not, what `otherwise`
    /// makes of what else is kept.
    pub(super) fn kept_list(
        &self,
        target: &Target,
        (kind, key): (ListingKind, &str),
        owner: &Owner,
        otherwise: impl FnOnce() -> Result<Option<ListingAnswer>>,
    ) -> Result<Option<ListingAnswer>> {
        let Some(repository) = self.repository_of(target)? else {
            return Ok(None);
        };
        let spools = &self.store.spools;
        let kept = spools.work(owner.clone(), super::MAX_KEPT, || {
            let Some(kept) = self.store.cache.listing(repository, kind, key)? else {
                return Ok(None);
            };
            let mut body = spools.spool(owner.clone());
            body.append(&kept.body)?;
            let now = Timestamp::now();
            Ok(Some(ListingAnswer {
                age: Some(now.since(kept.fetched_at)),
                body: body.finish()?,
                content_type: content_type(kind),
                next: kept.next,
                filters_applied: kept.filters_applied,
                cache: if self.freshness.is_fresh(kept.fetched_at, now) {
                    CacheWord::Hit
                } else {
                    CacheWord::Stale
                },
            }))
        })?;
        kept.map_or_else(otherwise, |kept| Ok(Some(kept)))
    }

    /// The tags that are kept of a repository, as a list.
    pub(super) fn kept_tags(
        &self,
        target: &Target,
        page: &ListPage,
    ) -> Result<Option<ListingAnswer>> {
        let Some(repository) = self.repository_of(target)? else {
            return Ok(None);
        };
        let n = page.n.unwrap_or(TAG_PAGE).clamp(1, 1_000);
        let mut tags = self.store.cache.tags(
            repository,
            page.last.as_deref(),
            (n as usize).saturating_add(1),
        )?;
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
            body: body.to_string().into_bytes().into(),
            content_type: content_type(ListingKind::Tags),
            next,
            filters_applied: None,
            cache: CacheWord::Stale,
            age: None,
        }))
    }

    /// The whole list, where one filtered by type was asked for and is not kept: the client filters it, as nothing says
    /// that it was done. Or the index under the fallback tag, where it was read from an upstream without the API and that
    /// is away now; or a list of the referrers that are kept, as those are that were imported.
    pub(super) fn kept_fallback(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
        page: &ListPage,
    ) -> Result<Option<ListingAnswer>> {
        let is_filter = |pair: &str| pair.starts_with("artifactType=");
        if !page.query.is_empty() && page.query.split('&').all(is_filter) {
            let key = format!("{digest}&");
            let key = (ListingKind::Referrers, key.as_str());
            if let Some(whole) = self.kept_list(target, key, &page.owner, || Ok(None))? {
                return Ok(Some(whole));
            }
        }
        if self.kept_tag(target, &fallback_tag(digest)?)?.is_none() {
            return self.kept_referrers(target, digest);
        }
        self.referrers_by_tag(grant, target, digest).map(Some)
    }

    fn kept_referrers(&self, target: &Target, subject: &Digest) -> Result<Option<ListingAnswer>> {
        let Some(repository) = self.repository_of(target)? else {
            return Ok(None);
        };
        let cache = &self.store.cache;
        let mut descriptors = Vec::new();
        for kept in cache.referrers(repository, subject, MOST_REFERRERS)? {
            let Some((_, content)) = self.kept_manifest(target, &kept.digest)? else {
                continue;
            };
            let length = content.length();
            descriptors.push(self.store.spools.work(target.owner(), length, || {
                let manifest = Manifest::parse(&content.read()?, Some(kept.media_type))?;
                let mut descriptor = Map::new();
                let mut say = |name: &str, value| descriptor.insert(name.to_owned(), value);
                say("mediaType", kept.media_type.as_str().into());
                say("digest", kept.digest.as_str().into());
                say("size", length.into());
                if let Some(artifact_type) = manifest.artifact_type {
                    say("artifactType", artifact_type.into());
                }
                if let Some(annotations) = manifest.annotations {
                    say("annotations", serde_json::json!(annotations));
                }
                Ok(descriptor)
            })?);
        }
        if descriptors.is_empty() {
            return Ok(None);
        }
        let body = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": content_type(ListingKind::Referrers),
            "manifests": descriptors,
        });
        Ok(Some(ListingAnswer {
            body: body.to_string().into_bytes().into(),
            content_type: content_type(ListingKind::Referrers),
            next: None,
            filters_applied: None,
            cache: CacheWord::Stale,
            age: None,
        }))
    }
}
