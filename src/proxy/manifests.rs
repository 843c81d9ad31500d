//! Manifests by tag and digest: kept byte for byte as they came, with their type.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::failed::Failed;
use super::manifest_check::{Checked, ask};
use super::{CacheWord, Proxy, ReferenceKey, Target, read_only, upstream_error};
use crate::auth::Grant;
use crate::error::{Kind, Result};
use crate::oci::{Digest, Manifest, MediaType, Reference, Tag};
use crate::spool::Content;
use crate::store::{NewManifest, Notice, Pull, StoredManifest};
use crate::time::Timestamp;
use crate::upstream::{Fault, FaultKind};

/// How long a request waits for a manifest that is not kept. The upstream client's own timeouts end
/// the call sooner as a rule; this bounds the sum of its tries.
pub(super) const FETCH_PATIENCE: Duration = Duration::from_secs(120);
/// How long after it asked what a tag is a client goes on with the digest.
const GOES_ON_WITHIN: Duration = Duration::from_secs(60);
/// How long somebody who may only read waits for somebody else's fill to come to a manifest.
const MANIFEST_PATIENCE: Duration = Duration::from_secs(5);

/// A manifest to be answered with.
pub struct ManifestAnswer {
    pub digest: Digest,
    /// Its type, as the upstream had it.
    pub media_type: MediaType,
    /// Its bytes, as the upstream had them.
    pub content: Content,
    /// Where the answer came from.
    pub cache: CacheWord,
    /// Since when it was fetched or confirmed.
    pub age: Option<Duration>,
    /// Why a stale answer is one.
    pub stale_because: Option<String>,
}

/// What those who wait for one fetch get.
pub(super) type ManifestCall = Result<Arc<Checked>, Failed>;

impl Proxy {
    /// A manifest, from the cache where it is fresh enough or the upstream does not answer, otherwise from
    /// the upstream. `has_it` says whether the client has that of a digest already, and only wants to know that it does.
    ///
    /// # Errors
    /// `ManifestUnknown` where the upstream does not have it or denies it; `Unavailable` or
    /// `TooManyRequests` where it cannot be had now and is not kept.
    pub fn manifest(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
        has_it: impl FnOnce(&Digest) -> bool,
    ) -> Result<ManifestAnswer> {
        let answer = self.manifest_unnoted(grant, target, reference)?;
        if !has_it(&answer.digest) {
            self.refuse_hopeless(target, reference, &answer)?;
        }
        self.note_pull(grant, target, reference, &answer.digest)?;
        Ok(answer)
    }

    /// As [`Self::manifest`], without taking it for a pull.
    pub(super) fn manifest_unnoted(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
    ) -> Result<ManifestAnswer> {
        read_only::waiting(self, grant, target, MANIFEST_PATIENCE, || {
            self.manifest_now(grant, target, reference)
        })
    }

    fn manifest_now(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
    ) -> Result<ManifestAnswer> {
        let digest = match reference {
            Reference::Tag(tag) => return self.manifest_by_tag(grant, target, tag),
            Reference::Digest(digest) => digest,
        };
        match self.kept_manifest(target, digest)? {
            Some((kept, content)) => Ok(ManifestAnswer {
                digest: kept.digest,
                media_type: kept.media_type,
                content,
                cache: CacheWord::Hit,
                age: Some(Timestamp::now().since(kept.arrived_at)),
                stale_because: None,
            }),
            None => self.fetch_manifest(grant, target, reference, None, FETCH_PATIENCE),
        }
    }

    /// Fetches a manifest for all who ask for it now, checks it, and keeps it if `grant` may fill. `seen` is
    /// what was kept under the reference when the caller looked. Where the grant does not pass through, a
    /// fetch of somebody else is joined, and none is started. Waits no longer than `patience`; the fetch
    /// itself goes on, and what it brings is kept all the same.
    pub(super) fn fetch_manifest(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
        seen: Option<&Digest>,
        patience: Duration,
    ) -> Result<ManifestAnswer> {
        let what = || format!("manifest {reference} of {}", target.shown());
        let key: ReferenceKey = (target.key(), reference.clone());
        let fault = |kind, why: String| {
            let message = format!("{} {why}", target.upstream.name());
            Fault::new(kind, message)
        };
        let fetched = if grant.passes_through() {
            if let Some(fault) = self.recent_absence(&key) {
                return Err(upstream_error(fault, Kind::ManifestUnknown, &what()));
            }
            self.note_fill(grant, target);
            let lost = fault(FaultKind::Unreachable, "gave no answer".to_owned());
            self.manifest_calls.call(key, patience, Err(lost.into()), {
                let (proxy, grant) = (Arc::clone(self), grant.clone());
                let (target, reference) = (target.clone(), reference.clone());
                let seen = seen.cloned();
                move || proxy.fetch_and_check(&grant, &target, &reference, seen.as_ref())
            })
        } else {
            self.manifest_calls
                .join(&key, patience)
                .ok_or_else(|| read_only::refused(grant, Kind::ManifestUnknown, &what()))?
        };
        let checked = fetched
            .unwrap_or_else(|| {
                let why = format!("gave no manifest within {} ms", patience.as_millis());
                Err(fault(FaultKind::TimedOut, why).into())
            })
            .map_err(|failed| failed.into_error(Kind::ManifestUnknown, &what()))?;
        self.keep_once(grant, target, reference, &checked);
        self.note_fill(grant, target);
        Ok(ManifestAnswer {
            digest: checked.digest.clone(),
            media_type: checked.media_type,
            content: checked.content.clone(),
            cache: if grant.passes_through() {
                CacheWord::fetched(grant)
            } else {
                // Joined, and kept by whoever began it.
                CacheWord::Miss
            },
            age: None,
            stale_because: None,
        })
    }

    /// The fetch itself, once for all who wait. What it brings is kept here already if whoever began it
    /// may fill: they may have lost their patience by now, and whoever comes next finds either the call or
    /// the kept manifest, and asks no second time.
    fn fetch_and_check(
        &self,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
        seen: Option<&Digest>,
    ) -> ManifestCall {
        if let Ok(Some(kept)) = self.kept_meanwhile(target, reference, seen) {
            return Ok(Arc::new(kept));
        }
        let fetched =
            ask(target, reference, &self.store.spools).inspect_err(|failed| match failed {
                Failed::Upstream(fault) => {
                    self.note_absence((target.key(), reference.clone()), fault);
                    // What is refused credentials is logged once in a while, by whoever asked.
                    let is_told = matches!(
                        fault.kind,
                        FaultKind::NotFound | FaultKind::Denied | FaultKind::CredentialsRefused
                    );
                    if !is_told {
                        let manifest = format!("{reference} of {}", target.shown());
                        tracing::warn!(manifest, "cannot fetch a manifest: {fault}");
                    }
                }
                Failed::Lied(why) => target.upstream.note_lie(why),
            })?;
        self.keep_once(grant, target, reference, &fetched);
        Ok(Arc::new(fetched))
    }

    /// The manifest, if another call kept it between this caller's look and its call.
    fn kept_meanwhile(
        &self,
        target: &Target,
        reference: &Reference,
        seen: Option<&Digest>,
    ) -> Result<Option<Checked>> {
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => match self.kept_tag(target, tag)? {
                Some((_, kept)) => kept.digest,
                None => return Ok(None),
            },
        };
        if Some(&digest) == seen {
            return Ok(None);
        }
        let Some((kept, content)) = self.kept_manifest(target, &digest)? else {
            return Ok(None);
        };
        Ok(Some(Checked {
            digest,
            media_type: kept.media_type,
            content,
            kept: OnceLock::from(()),
        }))
    }

    /// Keeps a checked manifest if `grant` may fill and nobody else of the same fetch has done so.
    pub(super) fn keep_once(
        &self,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
        checked: &Checked,
    ) {
        if !grant.may_fill() {
            return;
        }
        checked.kept.get_or_init(|| {
            // The bytes are right: whoever asked gets them, kept or not.
            match self.keep_manifest(target, reference, checked) {
                Ok(()) => self.tell_filled(grant, target, reference, checked),
                Err(error) => tracing::error!(
                    "served, but not kept: manifest {reference} of {}: {error}",
                    target.shown()
                ),
            }
        });
    }

    fn tell_filled(&self, grant: &Grant, target: &Target, reference: &Reference, kept: &Checked) {
        let notices = &self.store.audit.notices;
        notices.tell(Some(grant.group()), || Notice::ImageFilled {
            image: match reference {
                Reference::Tag(tag) => format!("{}:{tag}", target.shown()),
                Reference::Digest(digest) => format!("{}@{digest}", target.shown()),
            },
            digest: kept.digest.to_string(),
            media_type: kept.media_type.as_str(),
            bytes: kept.content.length(),
        });
    }

    /// Keeps a checked manifest: file first, then rows.
    fn keep_manifest(
        &self,
        target: &Target,
        reference: &Reference,
        checked: &Checked,
    ) -> Result<()> {
        let (spools, length) = (&self.store.spools, checked.content.length());
        spools.work(target.owner(), length, || {
            self.parse_and_keep(target, reference, checked)
        })?;
        self.remember(&checked.digest, &checked.content);
        Ok(())
    }

    fn parse_and_keep(
        &self,
        target: &Target,
        reference: &Reference,
        checked: &Checked,
    ) -> Result<()> {
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => None,
        };
        let content = &checked.content;
        let manifest = Manifest::parse(&content.read()?, Some(checked.media_type))?;
        let (digest, now) = (checked.digest.clone(), Timestamp::now());
        let new = NewManifest::of(&manifest, digest, content.length(), tag, now);
        self.store.while_kept(&checked.digest, || {
            self.store.blobs.put(&checked.digest, content.clone())?;
            let repository = self.repository_to_fill(target)?;
            self.store.cache.keep_manifest(repository, &new)
        })
    }

    /// Keeps what is short in memory; what is long is served from its file.
    fn remember(&self, digest: &Digest, content: &Content) {
        if let Content::Memory(bytes) = content {
            self.short.insert(digest.clone(), Arc::clone(bytes));
        }
    }

    /// A manifest that is kept and linked to this repository, with its bytes.
    pub(super) fn kept_manifest(
        &self,
        target: &Target,
        digest: &Digest,
    ) -> Result<Option<(StoredManifest, Content)>> {
        let Some(repository) = self.repository_of(target)? else {
            return Ok(None);
        };
        let Some(kept) = self.store.cache.manifest(repository, digest)? else {
            return Ok(None);
        };
        if let Some(bytes) = self.short.get(digest) {
            return Ok(Some((kept, Content::Memory(bytes))));
        }
        let opened = self.store.blobs.open(digest)?;
        let content = match &opened {
            Some(blob) => self.store.blobs.intact(blob, digest)?,
            None => None,
        };
        match content {
            Some(content) => {
                self.remember(digest, &content);
                Ok(Some((kept, content)))
            }
            None => {
                tracing::error!(manifest = %digest, "a kept manifest's file is gone or damaged: fetching it again");
                self.remove_damaged(digest, opened.as_ref());
                Ok(None)
            }
        }
    }

    /// Notes who pulled what, if it is kept.
    fn note_pull(
        &self,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<()> {
        if let Some(repository) = self.repository_of(target)? {
            let tag: Option<Tag> = match reference {
                Reference::Tag(tag) => Some(tag.clone()),
                Reference::Digest(digest) => self.tag_asked_for(grant, target, digest),
            };
            let pull = Pull {
                group: grant.group(),
                repository,
                manifest: digest.clone(),
                tag,
            };
            self.store.cache.note_pull(pull, Timestamp::now());
        }
        Ok(())
    }

    /// Notes that the group asked by HEAD what a tag is. A client that goes on with the digest pulls the tag; one that has
    /// the image already, or only looks, does not.
    pub(super) fn note_head(&self, grant: &Grant, target: &Target, tag: &Tag, digest: &Digest) {
        let asked = (grant.group(), tag.clone());
        self.heads.note((target.key(), digest.clone()), asked);
    }

    fn tag_asked_for(&self, grant: &Grant, target: &Target, digest: &Digest) -> Option<Tag> {
        let asked = self
            .heads
            .recent(&(target.key(), digest.clone()), GOES_ON_WITHIN);
        let (_, tag) = asked.filter(|(group, _)| *group == grant.group())?;
        Some(tag)
    }
}
