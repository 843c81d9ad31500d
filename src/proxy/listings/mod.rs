//! `tags/list` and `referrers` of an upstream: asked for, kept, and given from the cache while the upstream
//! is away. An answer is never an empty list that the upstream did not give, nor anything else than a list.

use std::io::{BufReader, Read as _};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::manifest_check::no_room;
use super::{CacheWord, Proxy, Target, read_only, upstream_error};
use crate::auth::Grant;
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::{Digest, MediaType, Reference, Tag};
use crate::spool::{Content, Owner};
use crate::store::{KeptListing, ListingKind};
use crate::time::Timestamp;
use crate::upstream::{Fault, FaultKind, Listing};

/// Tags on a page made from the cache, where the client does not say how many.
const TAG_PAGE: u32 = 100;
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
            return kept.ok_or_else(|| read_only::refused(Kind::NameUnknown, &what()));
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
        let kept_fallback = || self.kept_fallback(grant, target, digest);
        if !grant.passes_through() {
            let kept = self.kept_list(target, key, &page.owner, kept_fallback)?;
            return kept.ok_or_else(|| read_only::refused(Kind::ManifestUnknown, &what()));
        }
        let (upstream, repository) = (&target.upstream, &target.repository);
        let spool = || self.store.spools.spool(page.owner.clone());
        let asked = upstream.referrers(repository, digest, &page.query, spool);
        if let Err(fault) = &asked
            && fault.kind == FaultKind::NotFound
        {
            return self.referrers_by_tag(grant, target, digest);
        }
        self.listing(grant, target, key, asked, &page.owner, kept_fallback)
            .map_err(|unlisted| unlisted.error(Kind::ManifestUnknown, &what()))
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

    fn keep_listing(
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
    fn kept_list(
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
        let kept = spools.work(owner.clone(), MAX_KEPT, || {
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
    fn kept_tags(&self, target: &Target, page: &ListPage) -> Result<Option<ListingAnswer>> {
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
            body: answer.content,
            content_type: content_type(ListingKind::Referrers),
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

/// Whether `body` is a list of this kind; otherwise why not. What stands in the list is the clients' business.
fn check_shape(kind: ListingKind, body: &Content) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Tags {
        // Go writes an empty list as null; to leave it out is something else.
        #[serde(rename = "tags", deserialize_with = "Option::deserialize")]
        _tags: Option<Vec<IgnoredAny>>,
    }
    #[derive(Deserialize)]
    struct Index {
        #[serde(rename = "manifests")]
        _manifests: Vec<IgnoredAny>,
    }
    check_utf8(body).map_err(|error| error.to_string())?;
    let mut bytes = BufReader::new(body.reader()).bytes();
    let first = bytes.find(|byte| !matches!(byte, Ok(byte) if byte.is_ascii_whitespace()));
    if !matches!(first, Some(Ok(b'{'))) {
        return Err("it is no JSON object".to_owned());
    }
    let reader = BufReader::new(body.reader());
    let parsed = match kind {
        ListingKind::Tags => serde_json::from_reader::<_, Tags>(reader).map(|_| ()),
        ListingKind::Referrers => serde_json::from_reader::<_, Index>(reader).map(|_| ()),
    };
    // The parser's own words may hold what the upstream sent.
    parsed.map_err(|error| excerpt(&error.to_string()))
}

/// Fails unless all of it is UTF-8: what is ignored is not looked at closely by the parser.
fn check_utf8(body: &Content) -> Result<()> {
    let wrong = || Error::new(Kind::UpstreamLied, "it is no UTF-8");
    // What was not checked of the last piece: a character that goes on in the next one.
    let mut rest = Vec::new();
    body.for_each_piece(|piece| {
        rest.extend_from_slice(piece);
        let checked = match std::str::from_utf8(&rest) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(wrong()),
        };
        rest.drain(..checked);
        Ok(())
    })?;
    rest.is_empty().then_some(()).ok_or_else(wrong)
}

/// The tag that stands for the referrers of a digest: `sha256-HEX`.
fn fallback_tag(digest: &Digest) -> Result<Tag> {
    let tag = digest.as_str().replace(':', "-");
    Tag::parse(&tag.chars().take(128).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_are_taken_for_lists() {
        let (tags, referrers) = (ListingKind::Tags, ListingKind::Referrers);
        for (kind, body, expected) in [
            (tags, r#"{"name":"a","tags":["1"]}"#, true),
            (tags, r#" {"tags":null}"#, true),
            (tags, r#"{"name":"a"}"#, false),
            (tags, r#"{"tags":"1"}"#, false),
            (tags, r#"[["1"]]"#, false),
            (tags, r#"{"tags":["1"]"#, false),
            (tags, "<script>", false),
            (tags, "", false),
            (referrers, r#"{"schemaVersion":2,"manifests":[{}]}"#, true),
            (referrers, r#"{"schemaVersion":2}"#, false),
            (referrers, r#"{"manifests":{}}"#, false),
            (referrers, r#"{"tags":[]}"#, false),
        ] {
            assert_eq!(check_shape(kind, &body.into()).is_ok(), expected, "{body}");
        }
        assert!(check_shape(tags, &b"{\"tags\":[\"\xff\"]}".into()).is_err());
    }
}
