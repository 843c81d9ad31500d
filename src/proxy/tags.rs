//! Whether a kept tag may be served as it is.
//!
//! Within `tag_ttl` it is. After that one HEAD asks the upstream, for all who wait, and no longer than
//! `revalidate_timeout`. The same digest extends it; another one is fetched, within the same time; whatever
//! else happens, the kept manifest is served as stale. An outage takes nothing away from anybody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::manifests::{FETCH_PATIENCE, ManifestAnswer};
use super::{CacheWord, Proxy, ReferenceKey, Target};
use crate::auth::Grant;
use crate::error::Result;
use crate::oci::{Reference, Tag};
use crate::store::{CachedTag, RepositoryId};
use crate::time::Timestamp;
use crate::upstream::{Fault, FaultKind, ManifestHead};

/// What is known of a kept tag now.
enum Verdict {
    /// Still within `tag_ttl`.
    Fresh,
    /// The upstream says that it has not moved.
    Confirmed,
    /// It has moved, or only a GET can tell.
    Moved,
    /// The upstream did not say; why.
    Stale(String),
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
        let Some((repository, kept_tag)) = self.kept_tag(target, tag)? else {
            return fetch(None, FETCH_PATIENCE);
        };
        let seen = Some(&kept_tag.digest);
        let Some((kept, bytes)) = self.kept_manifest(target, &kept_tag.digest)? else {
            return fetch(seen, FETCH_PATIENCE);
        };
        let asked_at = Instant::now();
        let verdict = match self.judge_tag(grant, target, tag, repository, &kept_tag) {
            // What is kept is served where the new one is slow; whoever comes later gets that one.
            Verdict::Moved => match fetch(
                seen,
                self.freshness
                    .revalidate_timeout
                    .saturating_sub(asked_at.elapsed()),
            ) {
                Ok(answer) => return Ok(answer),
                Err(error) => Verdict::Stale(error.to_string()),
            },
            verdict => verdict,
        };
        let age = Timestamp::now().since(kept_tag.confirmed_at);
        let (cache, age, stale_because) = match verdict {
            Verdict::Fresh => (CacheWord::Hit, age, None),
            Verdict::Confirmed | Verdict::Moved => (CacheWord::Revalidated, Duration::ZERO, None),
            Verdict::Stale(why) => {
                tracing::debug!(
                    image = format!("{}:{tag}", target.shown()),
                    "served stale: {why}"
                );
                (CacheWord::Stale, age, Some(why))
            }
        };
        Ok(ManifestAnswer {
            digest: kept.digest,
            media_type: kept.media_type,
            bytes,
            cache,
            age: Some(age),
            stale_because,
        })
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
        if kept.gone_at.is_none()
            && Timestamp::now().since(kept.confirmed_at) < self.freshness.tag_ttl
        {
            return Verdict::Fresh;
        }
        let key: ReferenceKey = (
            target.origin.clone(),
            target.repository.clone(),
            Reference::Tag(tag.clone()),
        );
        if let Some(fault) = self.recent_absence(&key) {
            return Verdict::Stale(fault.message);
        }
        let head = match self.head_manifest(target, &key) {
            Ok(head) => head,
            Err(fault) if fault.kind == FaultKind::MethodNotAllowed => return Verdict::Moved,
            Err(fault) => {
                if matches!(fault.kind, FaultKind::NotFound | FaultKind::Denied) {
                    tracing::warn!(
                        image = format!("{}:{tag}", target.shown()),
                        "gone upstream, served stale: {fault}"
                    );
                    self.note_absence(key, &fault);
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
            return Verdict::Moved;
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

    /// One HEAD for all who wait for it, no longer than `revalidate_timeout`.
    fn head_manifest(&self, target: &Target, key: &ReferenceKey) -> Result<ManifestHead, Fault> {
        let patience = self.freshness.revalidate_timeout;
        let late = Fault {
            kind: FaultKind::TimedOut,
            message: format!(
                "{} did not answer within {}",
                target.upstream.name(),
                humantime::format_duration(patience)
            ),
        };
        let head = self
            .head_calls
            .call(key.clone(), patience, Err(late.clone()), {
                let (target, reference) = (target.clone(), key.2.clone());
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
