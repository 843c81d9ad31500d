//! Making an image visible whose files are staged: as a pull would have kept it, or a push. Files come before rows, what an
//! image consists of before the image, and the tag last. Whatever breaks it off, the same import again brings it to its end.

use std::collections::HashSet;

use super::places::{Place, Places};
use crate::admin::Admin;
use crate::auth::RepositoryGrant;
use crate::auth::policy::{TagAction, TagMutability};
use crate::error::{Error, Kind, Result};
use crate::oci::{Descriptor, Digest, Manifest, MediaType, Reference, Tag};
use crate::store::{
    HostedRepository, ImmutableBy, NewHostedManifest, NewManifest, NewTag, PutManifest,
    RepositoryId, StorageLimit, Store,
};
use crate::time::Timestamp;
use crate::upkeep::bundle::import::ImportedImage;

/// As deep as the command has looked.
const MAX_DEPTH: usize = 4;

pub(super) struct Adoption<'a> {
    admin: &'a Admin<'a>,
    places: Places<'a>,
    import: &'a Digest,
    now: Timestamp,
    /// What this import has put in place, for whichever of its images.
    adopted: HashSet<Digest>,
}

/// A manifest that is to be kept.
struct Kept<'k> {
    digest: &'k Digest,
    media_type: Option<&'k str>,
    tag: Option<&'k Tag>,
    depth: usize,
}

impl<'a> Adoption<'a> {
    pub(super) fn new(
        admin: &'a Admin<'a>,
        places: Places<'a>,
        import: &'a Digest,
        now: Timestamp,
    ) -> Self {
        Self {
            admin,
            places,
            import,
            now,
            adopted: HashSet::new(),
        }
    }

    /// How many files are in place that this import has brought.
    pub(super) fn files(&self) -> u64 {
        self.adopted.len() as u64
    }

    /// What the image is called here, and whether it came.
    pub(super) fn image(&mut self, image: &ImportedImage) -> (String, Result<()>) {
        match self.places.place(image) {
            Ok(place) => (place.shown(), self.keep_image(&place, image)),
            Err(error) => (image.name.clone(), Err(error)),
        }
    }

    fn keep_image(&mut self, place: &Place, image: &ImportedImage) -> Result<()> {
        let (Place::Cached { reference, .. } | Place::Hosted { reference, .. }) = place;
        let tag = match reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        };
        // What is attached comes first, so that nobody finds the image without its signatures.
        for referrer in &image.referrers {
            let tag = referrer.tag.as_deref().map(Tag::parse).transpose()?;
            let kept = Kept {
                digest: &referrer.digest,
                media_type: None,
                tag: tag.as_ref(),
                depth: MAX_DEPTH,
            };
            self.keep(place, &kept)?;
        }
        self.keep(
            place,
            &Kept {
                digest: &image.digest,
                media_type: image.media_type.as_deref(),
                tag,
                depth: MAX_DEPTH,
            },
        )
    }

    /// Keeps a manifest after all that it refers to.
    fn keep(&mut self, place: &Place, kept: &Kept<'_>) -> Result<()> {
        let bytes = self.manifest(place, kept.digest)?;
        let announced = kept.media_type.and_then(MediaType::parse);
        let manifest = match place {
            Place::Cached { .. } => Manifest::parse(&bytes, announced)?,
            Place::Hosted { .. } => Manifest::parse_pushed(&bytes, announced)?,
        };
        let depth = kept.depth.checked_sub(1).ok_or_else(|| {
            let what = format!("{} lies too deep in others", kept.digest);
            Error::new(Kind::ManifestInvalid, what)
        })?;
        for child in &manifest.manifests {
            if self.was_brought(&child.digest)? {
                let child = Kept {
                    digest: &child.digest,
                    media_type: Some(&child.media_type),
                    tag: None,
                    depth,
                };
                self.keep(place, &child)?;
            }
        }
        for blob in &manifest.blobs {
            if !blob.is_foreign() || self.was_brought(&blob.digest)? {
                self.keep_blob(place, blob)?;
            }
        }
        let (digest, size) = (kept.digest.clone(), bytes.len() as u64);
        match place {
            Place::Cached { .. } => {
                let repository = self.cached(place)?;
                let new = NewManifest::of(&manifest, digest, size, kept.tag.cloned(), self.now);
                let store = self.admin.store;
                store.while_kept(kept.digest, || {
                    self.put_in_place(kept.digest)?;
                    store.cache.keep_manifest(repository, &new)
                })?;
                if let Some(subject) = &new.subject {
                    store.cache.forget_referrers(repository, subject)?;
                }
                Ok(())
            }
            Place::Hosted { grant, .. } => {
                let tags = kept.tag.map(|tag| new_tag(grant, tag)).transpose()?;
                let tags = tags.into_iter().collect();
                let by = format!("{} (import)", self.admin.actor.name());
                let new = NewHostedManifest::of(&manifest, digest, size, tags, by, self.now);
                self.push(grant, &new)
            }
        }
    }

    fn push(&mut self, grant: &RepositoryGrant, new: &NewHostedManifest) -> Result<()> {
        let store = self.admin.store;
        let put = store.while_pushed(&new.digest, || {
            self.put_in_place(&new.digest)?;
            store
                .registry
                .put_manifest(repository(grant), new, &limits(grant))
        });
        let refused = match put {
            Ok(PutManifest::Kept) => return Ok(()),
            Ok(PutManifest::Missing(missing)) => lacks(missing.first().unwrap_or(&new.digest)),
            Err(error) => error,
        };
        store.release_blob(&new.digest)?;
        // The same file is not there for the next image that would have it.
        self.adopted.remove(&new.digest);
        Err(refused)
    }

    fn keep_blob(&mut self, place: &Place, blob: &Descriptor) -> Result<()> {
        let (store, digest) = (self.admin.store, &blob.digest);
        if !self.was_brought(digest)? && !self.places.has(place, digest)? {
            return Err(lacks(digest));
        }
        match place {
            Place::Cached { .. } => {
                let repository = self.cached(place)?;
                store.while_kept(digest, || {
                    let size = self.put_in_place(digest)?;
                    store.cache.keep_blob(repository, digest, size, self.now)
                })
            }
            Place::Hosted { grant, .. } => {
                let kept = store.while_pushed(digest, || {
                    let size = self.put_in_place(digest)?;
                    let (place, limits) = (repository(grant), limits(grant));
                    let registry = &store.registry;
                    registry.keep_blob(place, digest, size, None, &limits, self.now)
                });
                if kept.is_err() {
                    store.release_blob(digest)?;
                    self.adopted.remove(digest);
                }
                kept
            }
        }
    }

    /// Moves a staged file into its place, if it is not there already; its size.
    fn put_in_place(&mut self, digest: &Digest) -> Result<u64> {
        let blobs = &self.admin.store.blobs;
        if blobs.adopt(self.import, digest)? {
            self.adopted.insert(digest.clone());
        }
        blobs.size_of(digest)?.ok_or_else(|| lacks(digest))
    }

    fn was_brought(&self, digest: &Digest) -> Result<bool> {
        let store = self.admin.store;
        Ok(self.adopted.contains(digest) || store.blobs.imported(self.import, digest)?.is_some())
    }

    /// The bytes of a manifest that this import has brought, or that is kept there: by the same import, whose command was
    /// killed.
    fn manifest(&self, place: &Place, digest: &Digest) -> Result<Vec<u8>> {
        let Store { blobs, .. } = self.admin.store;
        let blob = match blobs.imported(self.import, digest)? {
            Some(staged) => Some(staged),
            None if self.adopted.contains(digest) || self.is_kept(place, digest)? => {
                blobs.open(digest)?
            }
            None => None,
        };
        let content = blob.map(|blob| blobs.intact(&blob, digest)).transpose()?;
        let content = content.flatten().ok_or_else(|| lacks(digest))?;
        Ok(content.read()?.into_owned())
    }

    fn is_kept(&self, place: &Place, digest: &Digest) -> Result<bool> {
        let Store {
            cache, registry, ..
        } = self.admin.store;
        let kept = match place {
            Place::Cached { .. } => cache.manifest(self.cached(place)?, digest)?,
            Place::Hosted { grant, .. } => {
                let reference = Reference::Digest(digest.clone());
                registry.manifest(repository(grant), &reference)?
            }
        };
        Ok(kept.is_some())
    }

    fn cached(&self, place: &Place) -> Result<RepositoryId> {
        let cache = &self.admin.store.cache;
        match place {
            Place::Cached {
                origin, repository, ..
            } => {
                let origin = cache.origin(&origin.0, &origin.1)?;
                cache.repository(origin, repository)
            }
            Place::Hosted { .. } => Err(Error::internal("a pushed image is not cached")),
        }
    }
}

fn repository(grant: &RepositoryGrant) -> HostedRepository<'_> {
    HostedRepository {
        project: grant.project(),
        path: grant.repository().as_str(),
    }
}

fn limits(grant: &RepositoryGrant) -> Vec<StorageLimit> {
    let quotas = grant.quotas().iter();
    let limits = quotas.map(|quota| StorageLimit {
        path: quota.path.clone(),
        max_bytes: quota.max_bytes,
    });
    limits.collect()
}

/// The tag as the project's rules have it.
fn new_tag(grant: &RepositoryGrant, tag: &Tag) -> Result<NewTag> {
    let judged = grant.judge_tag(tag, TagAction::Push);
    let judged = judged.map_err(|refusal| refusal.error(grant.repository().as_str()))?;
    Ok(NewTag {
        name: tag.clone(),
        immutable_by: match judged {
            TagMutability::Mutable => None,
            TagMutability::Immutable(rule) => Some(ImmutableBy {
                rule: rule.sentence(),
                is_shown: rule.is_shown(),
            }),
        },
    })
}

fn lacks(digest: &Digest) -> Error {
    let what = format!("{digest} is neither staged nor here for this image");
    Error::new(Kind::Conflict, what).remedy("import the same archive again")
}
