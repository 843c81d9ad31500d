//! Manifests of a repository (distribution-spec 1.1, "Pulling manifests", "Pushing Manifests", "Deleting
//! Manifests"): kept byte for byte, checked before they are, and served as they were pushed.

use super::{Registry, check, limits, lost, repository};
use crate::auth::policy::{self, Refusal, RepositoryGrant, TagAction, TagMutability, Wanted};
use crate::error::{Error, Kind, Result};
use crate::oci::{Algorithm, Digest, Manifest, MediaType, Reference, Tag};
use crate::spool::{Content, Owner};
use crate::store::{
    ImmutableBy, NewHostedManifest, NewTag, PutManifest, StoredManifest, digest_of,
};
use crate::time::Timestamp;

/// So many blobs that are missing are named: a manifest can refer to tens of thousands.
const MISSING_NAMED: usize = 100;

/// A manifest that is to be kept.
pub struct PushedManifest<'a> {
    /// Under what it is pushed.
    pub reference: &'a Reference,
    /// Further tags for it.
    pub tags: Vec<Tag>,
    /// Its type as announced, if that was a type of manifests.
    pub announced: Option<MediaType>,
    /// Its bytes.
    pub content: &'a Content,
    /// On whose behalf it is worked on.
    pub owner: Owner,
    /// Who pushes it, for people.
    pub pushed_by: String,
    pub now: Timestamp,
}

/// What became of it.
#[derive(Debug)]
pub enum ManifestContent {
    Kept {
        /// The digest of its bytes.
        digest: Digest,
        /// What it refers to as a referrer.
        subject: Option<Digest>,
    },
    /// These blobs are not in the repository, and perhaps others; nothing was changed.
    Missing(Vec<Digest>),
}

impl Registry {
    /// What a tag or digest stands for, without its bytes. One whose file is missing, or known to be damaged, is answered as
    /// if it were not here: so a push sends it again, and mends it.
    ///
    /// # Errors
    /// `ManifestUnknown`; `Io`, `Sql`.
    pub fn head_manifest(
        &self,
        grant: &RepositoryGrant,
        reference: &Reference,
    ) -> Result<StoredManifest> {
        let kept = self.manifest_row(grant, reference)?;
        match self.store.blobs.open(&kept.digest)? {
            Some(_) => Ok(kept),
            None => Err(unknown(reference)),
        }
    }

    fn manifest_row(
        &self,
        grant: &RepositoryGrant,
        reference: &Reference,
    ) -> Result<StoredManifest> {
        check(grant, Wanted::Pull)?;
        self.store
            .registry
            .manifest(repository(grant), reference)?
            .ok_or_else(|| unknown(reference))
    }

    /// The manifest with its bytes, which were hashed just now; large ones are left in their file, and hashed when it is
    /// another one than last time.
    ///
    /// # Errors
    /// `ManifestUnknown`; `Lost` for one whose file is missing or damaged; `Io`, `Sql`.
    pub fn manifest(
        &self,
        grant: &RepositoryGrant,
        reference: &Reference,
    ) -> Result<(StoredManifest, Content)> {
        let kept = self.manifest_row(grant, reference)?;
        let content = match self.store.blobs.open(&kept.digest)? {
            Some(blob) => self.store.blobs.intact(&blob, &kept.digest)?,
            None => None,
        };
        match content {
            Some(content) => {
                let tag = match reference {
                    Reference::Tag(tag) => Some(tag),
                    Reference::Digest(_) => None,
                };
                let (registry, now) = (&self.store.registry, Timestamp::now());
                registry.note_pull(repository(grant), &kept.digest, tag, now);
                Ok((kept, content))
            }
            None => {
                tracing::error!(
                    manifest = %kept.digest,
                    repository = grant.repository().as_str(),
                    "a pushed manifest's file is gone or damaged: run `breakwater verify`, and push it again"
                );
                Err(lost(&format!("the manifest {reference}"), grant))
            }
        }
    }

    /// Checks and keeps a manifest, and points its tags to it.
    ///
    /// Config and layers must be in the repository, unless they are to be had elsewhere; the manifests of an index
    /// and a subject need not.
    ///
    /// # Errors
    /// `ManifestInvalid`, `DigestInvalid`; `Denied` for a tag that may not be set, and for a quota.
    pub fn put_manifest(
        &self,
        grant: &RepositoryGrant,
        pushed: PushedManifest<'_>,
    ) -> Result<ManifestContent> {
        check(grant, Wanted::Push)?;
        let (spools, length) = (&self.store.spools, pushed.content.length());
        let put = spools.work(pushed.owner.clone(), length, || {
            self.parse_and_keep(grant, pushed)
        });
        put.map(|mut put| {
            if let ManifestContent::Missing(missing) = &mut put {
                missing.truncate(MISSING_NAMED);
                missing.shrink_to_fit();
            }
            put
        })
    }

    fn parse_and_keep(
        &self,
        grant: &RepositoryGrant,
        pushed: PushedManifest<'_>,
    ) -> Result<ManifestContent> {
        let manifest = Manifest::parse_pushed(&pushed.content.read()?, pushed.announced)?;
        let digest = pushed_digest(pushed.reference, pushed.content)?;
        let tags = self.judge_tags(grant, pushed.reference, pushed.tags)?;
        let new = NewHostedManifest::of(
            &manifest,
            digest.clone(),
            pushed.content.length(),
            tags,
            pushed.pushed_by,
            pushed.now,
        );
        let place = repository(grant);
        let missing = self.store.registry.missing_blobs(place, &new.required)?;
        if !missing.is_empty() {
            return Ok(ManifestContent::Missing(missing));
        }
        let put = self.store.while_pushed(&digest, || {
            self.store.blobs.put(&digest, pushed.content.clone())?;
            self.store
                .registry
                .put_manifest(place, &new, &limits(grant))
        });
        match put {
            Ok(PutManifest::Kept) => {
                self.counters.pushed.add(new.size);
                Ok(ManifestContent::Kept {
                    digest,
                    subject: new.subject,
                })
            }
            Ok(PutManifest::Missing(missing)) => {
                self.release(&digest);
                Ok(ManifestContent::Missing(missing))
            }
            Err(error) => {
                self.release(&digest);
                Err(error)
            }
        }
    }

    /// Deletes a manifest, and the tags that point to it. An index that names it stays, as the specification allows.
    ///
    /// # Errors
    /// `ManifestUnknown`; `Denied` where one of the tags may not go, or that of an index which needs it; of what has a
    /// subject also where the subject's tag is protected. An immutable tag alone keeps no signature, because it stays
    /// what it is without it.
    pub fn delete_manifest(
        &self,
        grant: &RepositoryGrant,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<()> {
        check(grant, Wanted::Delete)?;
        let place = repository(grant);
        let may_go = |tag: &Tag, is_attached: bool| match grant.judge_tag(tag, TagAction::Delete) {
            Err(Refusal::TagImmutable(_)) if is_attached => Ok(()),
            judged => judged
                .map(drop)
                .map_err(|refusal| refusal.error(place.path)),
        };
        let registry = &self.store.registry;
        if !registry.delete_manifest(place, digest, now, may_go)? {
            return Err(unknown(&Reference::Digest(digest.clone())));
        }
        self.release(digest);
        Ok(())
    }

    /// Deletes all images of the repository, tagged or not, or none of them. Their files go with the garbage.
    ///
    /// # Errors
    /// `NameUnknown` where there is nothing; `Denied` where one of the tags may not go.
    pub fn delete_repository(&self, grant: &RepositoryGrant, now: Timestamp) -> Result<()> {
        check(grant, Wanted::Delete)?;
        let may_go = |tag: &Tag| judge(grant, tag, TagAction::Delete).map(drop);
        let registry = &self.store.registry;
        match registry.delete_repository(repository(grant), now, may_go)? {
            true => Ok(()),
            false => Err(policy::unknown(grant.repository().as_str())),
        }
    }

    /// Deletes a tag; what it points to stays.
    ///
    /// # Errors
    /// `ManifestUnknown`; `Denied` where it may not go.
    pub fn delete_tag(&self, grant: &RepositoryGrant, tag: &Tag) -> Result<()> {
        check(grant, Wanted::Delete)?;
        judge(grant, tag, TagAction::Delete)?;
        if self.store.registry.delete_tag(repository(grant), tag)? {
            Ok(())
        } else {
            Err(unknown(&Reference::Tag(tag.clone())))
        }
    }

    /// Each tag once, with what the rules say of it.
    fn judge_tags(
        &self,
        grant: &RepositoryGrant,
        reference: &Reference,
        further: Vec<Tag>,
    ) -> Result<Vec<NewTag>> {
        let mut tags = further;
        if let Reference::Tag(tag) = reference {
            tags.push(tag.clone());
        }
        tags.sort();
        tags.dedup();
        tags.into_iter()
            .map(|name| {
                let immutable_by = match judge(grant, &name, TagAction::Push)? {
                    TagMutability::Mutable => None,
                    TagMutability::Immutable(rule) => Some(ImmutableBy {
                        rule: rule.sentence(),
                        is_shown: rule.is_shown(),
                    }),
                };
                Ok(NewTag { name, immutable_by })
            })
            .collect()
    }
}

fn judge(grant: &RepositoryGrant, tag: &Tag, action: TagAction) -> Result<TagMutability> {
    grant
        .judge_tag(tag, action)
        .map_err(|refusal| refusal.error(grant.repository().as_str()))
}

/// The digest of the bytes, which is the one that they are pushed under if they are pushed under one.
fn pushed_digest(reference: &Reference, content: &Content) -> Result<Digest> {
    let Reference::Digest(wanted) = reference else {
        return digest_of(content, Algorithm::Sha256);
    };
    let found = digest_of(content, wanted.algorithm())?;
    if found == *wanted {
        return Ok(found);
    }
    Err(Error::new(
        Kind::DigestInvalid,
        format!("the manifest has the digest {found}, not {wanted}"),
    ))
}

pub(super) fn unknown(reference: &Reference) -> Error {
    Error::new(
        Kind::ManifestUnknown,
        format!("this repository has no manifest {reference}"),
    )
}
