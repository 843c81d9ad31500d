//! One image fetched ahead of its first pull, so that it can be served whole while its upstream is away: index, platforms,
//! attestations, layers, referrers and signatures. It goes the way of a pull, through the same calls; but a tag is asked for
//! by HEAD first, and what is kept already costs nothing more.

mod attached;

use std::collections::HashSet;
use std::sync::Arc;

use super::manifest_check::Checked;
use super::manifests::FETCH_PATIENCE;
use super::{Proxy, Target};
use crate::auth::Grant;
use crate::error::{Error, Kind, Result};
use crate::oci::{Descriptor, Digest, Manifest, MediaType, Platform, Reference};
use crate::spool::Content;
use crate::time::Timestamp;
use crate::upstream::RateLimit;

/// How deep indexes are followed that lie in each other.
const MAX_DEPTH: u32 = 4;
/// Hears how many bytes are here of how many that are known of, and says whether somebody still waits for it.
pub type Watch<'a> = &'a (dyn Fn(u64, u64) -> bool + Sync);

/// How to warm.
pub struct Warm<'a> {
    /// Of an index only these; all where it is empty.
    pub platforms: &'a [Platform],
    /// How many pulls of the upstream's rate limit are to be left.
    pub keep_budget: Option<u64>,
    pub watch: Watch<'a>,
}

/// What was found, and what was done.
#[derive(Debug, Default)]
pub struct Warmed {
    pub digest: Option<Digest>,
    /// Manifests that were fetched.
    pub manifests: u64,
    /// Bytes that were fetched, manifests included.
    pub fetched: u64,
    /// Bytes that were here.
    pub present: u64,
    /// Those that an index names, of what was wanted.
    pub platforms: Vec<String>,
    /// Those that were wanted and that the index does not have.
    pub absent: Vec<Platform>,
    /// Manifests that are attached to the image or to a part of it.
    pub attached: u64,
}

/// How it ended.
pub enum WarmEnd {
    Whole(Warmed),
    /// A manifest is missing, because the upstream's rate limit leaves no more than what is to be kept of it.
    Left(Warmed, RateLimit),
}

/// Why it does not go on.
enum Stop {
    Left(RateLimit),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Step<T> = Result<T, Stop>;

/// A manifest that is kept.
struct Held {
    digest: Digest,
    media_type: MediaType,
    content: Content,
}

struct Warming<'a> {
    proxy: &'a Arc<Proxy>,
    grant: &'a Grant,
    target: &'a Target,
    warm: &'a Warm<'a>,
    done: Warmed,
    /// Manifests and blobs that were come upon.
    seen: HashSet<Digest>,
    /// Whose referrers are looked for.
    subjects: Vec<Digest>,
    blobs: Vec<Descriptor>,
    bytes_done: u64,
    bytes_total: u64,
}

impl Proxy {
    /// Fetches an image whole, as far as it is not kept.
    ///
    /// # Errors
    /// `ManifestUnknown` where the upstream does not have it, `NotFound` where it has none of the platforms; `Full` where
    /// the disk has no room; `Abandoned` where nobody waits any more; and whatever else kept a part from being fetched.
    pub fn warm(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        reference: &Reference,
        warm: &Warm<'_>,
    ) -> Result<WarmEnd> {
        let mut warming = Warming {
            proxy: self,
            grant,
            target,
            warm,
            done: Warmed::default(),
            seen: HashSet::new(),
            subjects: Vec::new(),
            blobs: Vec::new(),
            bytes_done: 0,
            bytes_total: 0,
        };
        let left = match warming.manifests(reference) {
            Ok(()) => None,
            Err(Stop::Left(limit)) => Some(limit),
            Err(Stop::Failed(error)) => return Err(error),
        };
        // Blobs are not counted by any rate limit, so what is known of is fetched.
        warming.fetch_blobs()?;
        Ok(match left {
            Some(limit) => WarmEnd::Left(warming.done, limit),
            None => WarmEnd::Whole(warming.done),
        })
    }
}

impl Warming<'_> {
    fn manifests(&mut self, reference: &Reference) -> Step<()> {
        let held = match reference {
            Reference::Digest(digest) => self.by_digest(digest)?,
            Reference::Tag(_) => self.by_tag(reference)?,
        };
        self.done.digest = Some(held.digest.clone());
        let image = held.digest.clone();
        self.walk(held, true, MAX_DEPTH)?;
        let absent = &self.done.absent;
        if !absent.is_empty() && self.done.platforms.is_empty() {
            let absent: Vec<_> = absent.iter().map(Platform::to_string).collect();
            let what = format!(
                "{}@{image} has no image for {}",
                self.target.shown(),
                absent.join(", ")
            );
            let error = Error::new(Kind::NotFound, what);
            return Err(error.remedy("name another platform with --platform").into());
        }
        self.attached()
    }

    /// The manifest under a tag. What HEAD says is believed: it is the upstream's own word of its own repository, and GET
    /// would be counted as a pull.
    fn by_tag(&mut self, reference: &Reference) -> Step<Held> {
        self.check_wanted()?;
        let Reference::Tag(tag) = reference else {
            return Err(Error::internal("a digest is no tag").into());
        };
        let kept = self.proxy.kept_tag(self.target, tag)?;
        let head = self.proxy.ask_head(self.target, reference)?;
        if let Some(digest) = head.and_then(|head| head.digest)
            && let Some((manifest, content)) = self.proxy.kept_manifest(self.target, &digest)?
        {
            match &kept {
                Some((repository, kept)) if kept.digest == digest => {
                    let (cache, now) = (&self.proxy.store.cache, Timestamp::now());
                    cache.confirm_tag(*repository, tag, &digest, now)?;
                }
                // It has moved to what is here under another name.
                _ => {
                    let checked = Checked {
                        digest: digest.clone(),
                        media_type: manifest.media_type,
                        content: content.clone(),
                        kept: Default::default(),
                    };
                    self.proxy
                        .keep_once(self.grant, self.target, reference, &checked);
                }
            }
            return Ok(self.present(digest, manifest.media_type, content));
        }
        let seen = kept.map(|(_, kept)| kept.digest);
        self.fetch(reference, seen.as_ref())
    }

    fn by_digest(&mut self, digest: &Digest) -> Step<Held> {
        self.check_wanted()?;
        if let Some((manifest, content)) = self.proxy.kept_manifest(self.target, digest)? {
            return Ok(self.present(digest.clone(), manifest.media_type, content));
        }
        self.fetch(&Reference::Digest(digest.clone()), None)
    }

    fn present(&mut self, digest: Digest, media_type: MediaType, content: Content) -> Held {
        self.done.present = self.done.present.saturating_add(content.length());
        Held {
            digest,
            media_type,
            content,
        }
    }

    fn fetch(&mut self, reference: &Reference, seen: Option<&Digest>) -> Step<Held> {
        // One after the other, so that no two of them take the last pull.
        let budgeted = self
            .warm
            .keep_budget
            .map(|keep| (keep, self.proxy.budgeted.lock()));
        if let Some((keep, _)) = &budgeted {
            self.check_budget(reference, *keep)?;
        }
        let (proxy, target) = (self.proxy, self.target);
        let fetched = proxy.fetch_manifest(self.grant, target, reference, seen, FETCH_PATIENCE)?;
        drop(budgeted);
        let length = fetched.content.length();
        self.done.manifests = self.done.manifests.saturating_add(1);
        self.done.fetched = self.done.fetched.saturating_add(length);
        if proxy.kept_manifest(target, &fetched.digest)?.is_none() {
            let what = format!(
                "manifest {reference} of {} came, and could not be kept",
                target.shown()
            );
            return Err(Error::new(Kind::Full, what)
                .remedy("look into the server's log")
                .into());
        }
        Ok(Held {
            digest: fetched.digest,
            media_type: fetched.media_type,
            content: fetched.content,
        })
    }

    /// Whether the rate limit leaves a pull beside what is to be kept. A HEAD says it now and is no pull; what was noted of
    /// earlier answers may be older than the last pull.
    fn check_budget(&self, reference: &Reference, keep: u64) -> Step<()> {
        let head = self.proxy.ask_head(self.target, reference)?;
        let now = head.and_then(|head| head.rate_limit);
        match now.or_else(|| self.target.upstream.status().rate_limit) {
            Some(limit) if limit.remaining <= keep => Err(Stop::Left(limit)),
            _ => Ok(()),
        }
    }

    /// Follows a manifest to all that it consists of. `is_image`: it counts as the image, or a part of it that runs.
    fn walk(&mut self, held: Held, is_image: bool, depth: u32) -> Step<()> {
        if !self.seen.insert(held.digest.clone()) {
            return Ok(());
        }
        let (spools, owner) = (&self.proxy.store.spools, self.target.owner());
        let (manifest, chosen) = spools.work(owner, held.content.length(), || {
            let bytes = held.content.read()?;
            let manifest = Manifest::parse(&bytes, Some(held.media_type))?;
            let wanted = if is_image { self.warm.platforms } else { &[] };
            Ok((manifest, Manifest::choose(&bytes, wanted)))
        })?;
        if is_image {
            self.subjects.push(held.digest);
        }
        if !manifest.media_type.is_index() {
            self.note_blobs(manifest.blobs);
            return Ok(());
        }
        let Some(depth) = depth.checked_sub(1) else {
            return Ok(());
        };
        if is_image {
            self.done.platforms.extend(chosen.platforms);
            self.done.absent.extend(chosen.absent);
        }
        let images = chosen.images.into_iter().map(|digest| (digest, is_image));
        let others = chosen
            .attestations
            .into_iter()
            .map(|digest| (digest, false));
        for (digest, is_image) in images.chain(others) {
            let child = self.by_digest(&digest)?;
            self.walk(child, is_image, depth)?;
        }
        Ok(())
    }

    fn note_blobs(&mut self, blobs: Vec<Descriptor>) {
        for blob in blobs {
            if !blob.is_foreign() && self.seen.insert(blob.digest.clone()) {
                self.bytes_total = self.bytes_total.saturating_add(blob.size);
                self.blobs.push(blob);
            }
        }
    }

    fn fetch_blobs(&mut self) -> Result<()> {
        for blob in std::mem::take(&mut self.blobs) {
            self.blob(&blob)?;
        }
        Ok(())
    }

    fn blob(&mut self, blob: &Descriptor) -> Result<()> {
        self.check_wanted()?;
        let (proxy, target, digest) = (self.proxy, self.target, &blob.digest);
        let before = self.bytes_done;
        // Memory may have what lost its file.
        let is_here =
            proxy.store.blobs.contains(digest)? && proxy.kept_blob(target, digest)?.is_some();
        // Another repository of the upstream has it: the upstream confirms that this one does too, and no byte comes.
        let is_near = is_here || self.is_kept_nearby(digest)?;
        if !is_here {
            proxy.read_through(self.grant, target, digest, |bytes| {
                self.bytes_done = self.bytes_done.saturating_add(bytes);
                self.check_wanted()
            })?;
            if proxy.kept_blob(target, digest)?.is_none() {
                let what = format!(
                    "blob {digest} of {} came, and could not be kept",
                    target.shown()
                );
                let why = "see cache.min_free and cache.max_size, and the server's log";
                return Err(Error::new(Kind::Full, what).remedy(why));
            }
        }
        self.bytes_done = before.saturating_add(blob.size);
        let sum = match is_near {
            true => &mut self.done.present,
            false => &mut self.done.fetched,
        };
        *sum = sum.saturating_add(blob.size);
        Ok(())
    }

    fn is_kept_nearby(&self, digest: &Digest) -> Result<bool> {
        let (cache, key) = (&self.proxy.store.cache, &self.target.origin);
        let origin = cache.find_origin(key.upstream(), key.fingerprint())?;
        let size = origin.map(|origin| cache.blob_of_origin(origin, digest));
        Ok(size.transpose()?.flatten().is_some())
    }

    fn check_wanted(&self) -> Result<()> {
        if (self.warm.watch)(self.bytes_done, self.bytes_total) && !self.proxy.is_stopping() {
            return Ok(());
        }
        let what = format!(
            "{} was not warmed to its end: nobody waits for it any more",
            self.target.shown()
        );
        Err(Error::new(Kind::Abandoned, what).remedy("warm it again: it goes on where it was"))
    }
}
