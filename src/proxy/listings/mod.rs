//! `tags/list` and `referrers` of an upstream: asked for, kept, and given from the cache while the upstream
//! is away. An answer is never an empty list that the upstream did not give, nor anything else than a list.

mod kept;
mod shape;

use std::sync::Arc;
use std::time::Duration;

use super::manifest_check::no_room;
use super::{CacheWord, Proxy, Target, read_only, upstream_error};
use crate::auth::Grant;
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, MediaType, Reference, Tag};
use crate::spool::{Content, Owner};
use crate::store::ListingKind;
use crate::upstream::{Fault, FaultKind, Listing};
use shape::check_shape;

/// The longest list that is kept, in bytes.
const MAX_KEPT: u64 = 2 * 1024 * 1024;

/// Which part of a list is asked for.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// On whose behalf the answer is held.
    pub owner: Owner,
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
    /// JSON of the right shape.
    pub body: Content,
    /// Its type, in our words.
    pub content_type: &'static str,
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
    /// `NameUnknown` where the upstream does not know the repository, or nothing of it is kept for a caller for
    /// whom nothing is fetched; `Unavailable` where it is away and nothing of the repository is kept.
    pub fn tags(&self, grant: &Grant, target: &Target, page: &ListPage) -> Result<ListingAnswer> {
        let what = || format!("the list of tags of {}", target.shown());
        let key = (ListingKind::Tags, page.query.as_str());
        let kept_tags = || self.kept_tags(target, page);
        if !grant.passes_through() {
            let kept = self.kept_list(target, key, &page.owner, kept_tags)?;
            return kept.ok_or_else(|| read_only::refused(grant, Kind::NameUnknown, &what()));
        }
        let (upstream, repository) = (&target.upstream, &target.repository);
        let spool = || self.store.spools.spool(page.owner.clone());
        let asked = upstream.tags_list(repository, &page.query, spool);
        self.listing(grant, target, key, asked, &page.owner, kept_tags)
            .map_err(|unlisted| unlisted.error(Kind::NameUnknown, &what()))
    }

    /// The referrers of a manifest (distribution-spec, "Listing Referrers"), of which only the page's query counts.
    /// Where the upstream has no such API, its fallback tag is read.
    ///
    /// # Errors
    /// `ManifestUnknown` where the upstream has neither, or nothing is kept for a caller for whom nothing is
    /// fetched; `Unavailable` where it is away and nothing is kept.
    pub fn referrers(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
        page: &ListPage,
    ) -> Result<ListingAnswer> {
        let what = || format!("the list of referrers of {digest} in {}", target.shown());
        let key = format!("{digest}&{}", page.query);
        let key = (ListingKind::Referrers, key.as_str());
        let kept_fallback = || self.kept_fallback(grant, target, digest, page);
        if !grant.passes_through() {
            let kept = self.kept_list(target, key, &page.owner, kept_fallback)?;
            return kept.ok_or_else(|| read_only::refused(grant, Kind::ManifestUnknown, &what()));
        }
        let asked = self.ask_referrers(target, digest, page);
        if let Err(fault) = &asked
            && fault.kind == FaultKind::NotFound
        {
            return self.referrers_by_tag(grant, target, digest);
        }
        self.listing(grant, target, key, asked, &page.owner, kept_fallback)
            .map_err(|unlisted| unlisted.error(Kind::ManifestUnknown, &what()))
    }

    fn ask_referrers(
        &self,
        target: &Target,
        digest: &Digest,
        page: &ListPage,
    ) -> Result<Listing, Fault> {
        let (upstream, repository) = (&target.upstream, &target.repository);
        let spool = || self.store.spools.spool(page.owner.clone());
        upstream.referrers(repository, digest, &page.query, spool)
    }

    /// The referrers of a manifest as the upstream lists them now, kept on the way; `None` where it has no such API, or
    /// answers there what is no list.
    pub(super) fn referrers_now(
        &self,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
        page: &ListPage,
    ) -> Result<Option<ListingAnswer>> {
        let what = || format!("the list of referrers of {digest} in {}", target.shown());
        let key = format!("{digest}&{}", page.query);
        let asked = self.ask_referrers(target, digest, page);
        let has_none = |fault: &Fault| {
            matches!(
                fault.kind,
                FaultKind::NotFound | FaultKind::Denied | FaultKind::Protocol
            )
        };
        if asked.as_ref().is_err_and(has_none) {
            return Ok(None);
        }
        let key = (ListingKind::Referrers, key.as_str());
        match self.listing(grant, target, key, asked, &page.owner, || Ok(None)) {
            Ok(listing) if listing.cache == CacheWord::Stale => Ok(None),
            Ok(listing) => Ok(Some(listing)),
            Err(Unlisted::Upstream(fault)) if has_none(&fault) => Ok(None),
            Err(unlisted) => Err(unlisted.error(Kind::ManifestUnknown, &what())),
        }
    }

    /// The upstream's answer, kept if `grant` may fill; or what is kept, where it gave none.
    fn listing(
        &self,
        grant: &Grant,
        target: &Target,
        (kind, key): (ListingKind, &str),
        asked: Result<Listing, Fault>,
        owner: &Owner,
        otherwise: impl FnOnce() -> Result<Option<ListingAnswer>>,
    ) -> Result<ListingAnswer, Unlisted> {
        let asked = asked.and_then(|listing| {
            let (spools, body) = (&self.store.spools, &listing.body);
            // In turns, because it keeps a processor busy for as long as the list is long.
            spools
                .work(owner.clone(), body.length(), || Ok(check_shape(kind, body)))
                .map_err(no_room)?
                .map_err(|why| {
                    let why = format!("{} sent no list: {why}", target.upstream.name());
                    Fault::new(FaultKind::Protocol, why)
                })?;
            Ok(listing)
        });
        match asked {
            Ok(listing) => Ok(self.answer_listing(grant, target, kind, key, listing)),
            Err(fault) => match self.kept_list(target, (kind, key), owner, otherwise) {
                Ok(Some(kept)) => Ok(ListingAnswer {
                    cache: CacheWord::Stale,
                    ..kept
                }),
                Ok(None) => Err(Unlisted::Upstream(fault)),
                Err(error) => Err(Unlisted::Here(error)),
            },
        }
    }

    /// The upstream's answer, kept on the way if `grant` may fill. What cannot be kept is served all the same.
    fn answer_listing(
        &self,
        grant: &Grant,
        target: &Target,
        kind: ListingKind,
        key: &str,
        listing: Listing,
    ) -> ListingAnswer {
        if grant.may_fill()
            && listing.body.length() <= MAX_KEPT
            && self.store.blobs.has_room_for(listing.body.length())
            && let Err(error) = self.keep_listing(target, kind, key, &listing)
        {
            let repository = target.shown();
            tracing::error!("served, but not kept: a list of {repository}: {error}");
        }
        ListingAnswer {
            body: listing.body,
            content_type: content_type(kind),
            next: listing.next,
            filters_applied: listing.filters_applied,
            cache: CacheWord::fetched(grant),
            age: None,
        }
    }

    /// The index under the fallback tag `sha256-HEX` (distribution-spec, "Unavailable Referrers API").
    fn referrers_by_tag(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
    ) -> Result<ListingAnswer> {
        let tag = fallback_tag(digest)?;
        let answer = self.manifest(grant, target, &Reference::Tag(tag.clone()), |_| false)?;
        if answer.media_type != MediaType::OciIndex {
            let what = format!(
                "referrers of {digest} in {}: the tag {tag} is no index",
                target.shown()
            );
            return Err(Error::new(Kind::ManifestUnknown, what));
        }
        Ok(ListingAnswer {
            body: answer.content,
            content_type: content_type(ListingKind::Referrers),
            next: None,
            filters_applied: None,
            cache: answer.cache,
            age: answer.age,
        })
    }
}

/// Why there is no list.
enum Unlisted {
    /// The upstream gave none, and none is kept.
    Upstream(Fault),
    Here(Error),
}

impl Unlisted {
    fn error(self, unknown: Kind, what: &str) -> Error {
        match self {
            Self::Upstream(fault) => upstream_error(fault, unknown, what),
            Self::Here(error) => error,
        }
    }
}

fn content_type(kind: ListingKind) -> &'static str {
    match kind {
        ListingKind::Tags => "application/json",
        ListingKind::Referrers => MediaType::OciIndex.as_str(),
    }
}

/// The tag that stands for the referrers of a digest: `sha256-HEX`.
pub(super) fn fallback_tag(digest: &Digest) -> Result<Tag> {
    let tag = digest.as_str().replace(':', "-");
    Tag::parse(&tag.chars().take(128).collect::<String>())
}
