//! Whether a kept tag may be served as it is.
//!
//! Within `tag_ttl` it is. After that one HEAD asks the upstream, for all who wait, and no longer than
//! `revalidate_timeout`. The same digest extends it; another one is fetched, within the same time; whatever
//! else happens, the kept manifest is served as stale. An outage takes nothing away from anybody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::figures::note;
use super::manifests::{FETCH_PATIENCE, ManifestAnswer};
use super::{CacheWord, HeadCalls, Proxy, ReferenceKey, Target, upstream_error};
use crate::auth::Grant;
use crate::error::{Kind, Result};
use crate::oci::{Digest, MediaType, Reference, Tag};
use crate::spool::Content;
use crate::store::{CachedTag, RepositoryId, StoredManifest};
use crate::time::Timestamp;
use crate::upstream::{Fault, FaultKind, ManifestHead};

/// How long the upstream may think about a manifest of which nothing is kept.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// What is known of a kept tag now.
enum Verdict {
    /// Still within `tag_ttl`.
    Fresh,
    /// The upstream says that it has not moved.
    Confirmed,
    /// It has moved, to what the upstream's HEAD says; without one, only a GET can tell.
    Moved(Option<ManifestHead>),
    /// The upstream did not say; why.
    Stale(String),
}

/// What is kept under a tag.
enum Kept {
    /// No manifest; `seen` is where the tag pointed, if it is kept itself.
    Nothing { seen: Option<Digest> },
    /// One, and what is known of it now.
    Manifest(KeptManifest, Verdict),
}

struct KeptManifest {
    tag: CachedTag,
    manifest: StoredManifest,
    content: Content,
}

impl KeptManifest {
    fn answer(self, target: &Target, tag: &Tag, verdict: Verdict) -> ManifestAnswer {
        let age = Timestamp::now().since(self.tag.confirmed_at);
        let (cache, age, stale_because) = match verdict {
            Verdict::Fresh => (CacheWord::Hit, age, None),
            Verdict::Confirmed | Verdict::Moved(_) => {
                (CacheWord::Revalidated, Duration::ZERO, None)
            }
            Verdict::Stale(why) => {
                tracing::debug!(
                    image = format!("{}:{tag}", target.shown()),
                    "served stale: {why}"
                );
                (CacheWord::Stale, age, Some(why))
            }
        };
        ManifestAnswer {
            digest: self.manifest.digest,
            media_type: self.manifest.media_type,
            content: self.content,
            cache,
            age: Some(age),
            stale_because,
        }
    }
}

/// What HEAD of a manifest says.
pub struct ManifestSummary {
    pub digest: Digest,
    /// Its type, as the upstream has it.
    pub media_type: MediaType,
    /// In bytes.
    pub size: u64,
    /// Where the answer came from.
    pub cache: CacheWord,
    /// Since when it was fetched or confirmed.
    pub age: Option<Duration>,
}

impl Proxy {
    /// A manifest by tag.
    pub(super) fn manifest_by_tag(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        tag: &Tag,
    ) -> Result<ManifestAnswer> {
        let reference = Reference::Tag(tag.clone());
        let fetch = |seen, patience| self.fetch_manifest(grant, target, &reference, seen, patience);
        let asked_at = Instant::now();
        let (kept, verdict) = match self.kept_by_tag(grant, target, tag)? {
            Kept::Nothing { seen } => return fetch(seen.as_ref(), FETCH_PATIENCE),
            Kept::Manifest(kept, verdict) => (kept, verdict),
        };
        let seen = Some(&kept.tag.digest);
        let verdict = match verdict {
            Verdict::Moved(_) => {
                let patience = if grant.passes_through() && !grant.may_fill() {
                    // Nothing is kept of it: in a hurry, such a caller would get the old one for ever.
                    FETCH_PATIENCE
                } else {
                    // What is kept is served where the new one is slow; whoever comes later gets that one.
                    self.freshness
                        .revalidate_timeout
                        .saturating_sub(asked_at.elapsed())
                };
                match fetch(seen, patience) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => Verdict::Stale(error.to_string()),
                }
            }
            verdict => verdict,
        };
        Ok(kept.answer(target, tag, verdict))
    }

    /// HEAD of a manifest. HEAD is free at Docker Hub, and GET is a pull: so where nothing would be kept of a
    /// GET, the upstream's own HEAD is the answer. For those who may fill a HEAD fetches and keeps: clients
    /// resolve a tag by HEAD and go on with the digest, so that the tag would never be kept otherwise.
    ///
    /// # Errors
    /// As [`Proxy::manifest`].
    pub fn head_manifest(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
    ) -> Result<ManifestSummary> {
        if grant.passes_through()
            && !grant.may_fill()
            && let Some(summary) = self.summary_upstream(grant, target, reference)?
        {
            return Ok(summary);
        }
        let answer = self.manifest_unnoted(grant, target, reference)?;
        if let Reference::Tag(tag) = reference {
            self.note_head(grant, target, tag, &answer.digest);
        }
        Ok(ManifestSummary {
            size: answer.content.length(),
            digest: answer.digest,
            media_type: answer.media_type,
            cache: answer.cache,
            age: answer.age,
        })
    }

    /// What the upstream's HEAD says of a manifest that would have to be fetched; `None` where it is kept, or
    /// only a GET can tell.
    fn summary_upstream(
        &self,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
    ) -> Result<Option<ManifestSummary>> {
        let known = match reference {
            Reference::Digest(digest) => match self.kept_manifest(target, digest)? {
                Some(_) => return Ok(None),
                None => None,
            },
            Reference::Tag(tag) => match self.kept_by_tag(grant, target, tag)? {
                Kept::Nothing { .. } => None,
                Kept::Manifest(_, Verdict::Moved(Some(head))) => Some(head),
                Kept::Manifest(..) => return Ok(None),
            },
        };
        let head = match known {
            Some(head) => head,
            None => match self.ask_head(target, reference)? {
                Some(head) => head,
                None => return Ok(None),
            },
        };
        let is_other =
            |digest: &Digest| matches!(reference, Reference::Digest(asked) if asked != digest);
        let (Some(digest), Some(media_type), Some(size)) =
            (head.digest, head.media_type, head.size)
        else {
            return Ok(None);
        };
        // A lie, or a registry that does not count for HEAD: GET tells.
        if size == 0 || is_other(&digest) {
            return Ok(None);
        }
        Ok(Some(ManifestSummary {
            digest,
            media_type,
            size,
            cache: CacheWord::Bypass,
            age: None,
        }))
    }

    /// HEAD at the upstream, one for all who wait, of what is not kept; `None` where it knows no HEAD.
    pub(super) fn ask_head(
        &self,
        target: &Target,
        reference: &Reference,
    ) -> Result<Option<ManifestHead>> {
        let key: ReferenceKey = (target.key(), reference.clone());
        let asked = match self.recent_absence(&key) {
            Some(fault) => Err(fault),
            None => self.head_within(&self.cold_head_calls, target, &key, HEAD_PATIENCE),
        };
        match asked {
            Ok(head) => Ok(Some(head)),
            Err(fault) if fault.kind == FaultKind::MethodNotAllowed => Ok(None),
            Err(fault) => {
                self.note_absence(key, &fault);
                let what = format!("manifest {reference} of {}", target.shown());
                Err(upstream_error(fault, Kind::ManifestUnknown, &what))
            }
        }
    }

    /// What is kept under a tag, and whether it may be served as it is.
    fn kept_by_tag(&self, grant: &Grant, target: &Target, tag: &Tag) -> Result<Kept> {
        let Some((repository, kept_tag)) = self.kept_tag(target, tag)? else {
            return Ok(Kept::Nothing { seen: None });
        };
        let Some((manifest, content)) = self.kept_manifest(target, &kept_tag.digest)? else {
            let seen = Some(kept_tag.digest);
            return Ok(Kept::Nothing { seen });
        };
        let verdict = self.judge_tag(grant, target, tag, repository, &kept_tag);
        match verdict {
            Verdict::Fresh => {}
            Verdict::Confirmed => note(&self.counters.confirmed),
            Verdict::Moved(_) => note(&self.counters.moved),
            Verdict::Stale(_) => note(&self.counters.stale),
        }
        let kept = KeptManifest {
            tag: kept_tag,
            manifest,
            content,
        };
        Ok(Kept::Manifest(kept, verdict))
    }

    pub(super) fn kept_tag(
        &self,
        target: &Target,
        tag: &Tag,
    ) -> Result<Option<(RepositoryId, CachedTag)>> {
        let Some(repository) = self.repository_of(target)? else {
            return Ok(None);
        };
        Ok(self
            .store
            .cache
            .tag(repository, tag)?
            .map(|kept| (repository, kept)))
    }

    /// Decides whether the kept tag may be served as it is, asking the upstream if need be.
    fn judge_tag(
        &self,
        grant: &Grant,
        target: &Target,
        tag: &Tag,
        repository: RepositoryId,
        kept: &CachedTag,
    ) -> Verdict {
        let now = Timestamp::now();
        if kept.gone_at.is_none() && self.freshness.is_fresh(kept.confirmed_at, now) {
            return Verdict::Fresh;
        }
        let key: ReferenceKey = (target.key(), Reference::Tag(tag.clone()));
        if let Some(fault) = self.recent_absence(&key) {
            return Verdict::Stale(fault.message);
        }
        let patience = self.freshness.revalidate_timeout;
        let head = match self.head_within(&self.head_calls, target, &key, patience) {
            Ok(head) => head,
            Err(fault) if fault.kind == FaultKind::MethodNotAllowed => return Verdict::Moved(None),
            Err(fault) => {
                self.note_absence(key, &fault);
                if matches!(fault.kind, FaultKind::NotFound | FaultKind::Denied) {
                    tracing::warn!(
                        image = format!("{}:{tag}", target.shown()),
                        "gone upstream, served stale: {fault}"
                    );
                    if grant.may_fill() {
                        log_failure(
                            self.store
                                .cache
                                .mark_gone(repository, tag, Timestamp::now()),
                        );
                    }
                }
                return Verdict::Stale(fault.message);
            }
        };
        if head.digest.as_ref() != Some(&kept.digest) {
            return Verdict::Moved(Some(head));
        }
        if grant.may_fill() {
            log_failure(self.store.cache.confirm_tag(
                repository,
                tag,
                &kept.digest,
                Timestamp::now(),
            ));
        }
        Verdict::Confirmed
    }

    /// One HEAD for all who wait for it, no longer than `patience`, which is the same for all of `calls`.
    fn head_within(
        &self,
        calls: &HeadCalls,
        target: &Target,
        key: &ReferenceKey,
        patience: Duration,
    ) -> Result<ManifestHead, Fault> {
        let late = Fault::new(
            FaultKind::TimedOut,
            format!(
                "{} did not answer within {}",
                target.upstream.name(),
                humantime::format_duration(patience)
            ),
        );
        let head = calls.call(key.clone(), patience, Err(late.clone()), {
            let (target, reference) = (target.clone(), key.1.clone());
            move || {
                target
                    .upstream
                    .head_manifest(&target.repository, &reference, patience)
            }
        });
        head.unwrap_or(Err(late))
    }
}

/// What could not be noted is asked again next time; it must not cost anybody the image.
fn log_failure(noted: Result<()>) {
    if let Err(error) = noted {
        tracing::error!("cannot note what the upstream said of a tag: {error}");
    }
}
