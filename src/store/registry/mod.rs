//! `registry.sqlite`: what was pushed to this box, by whom, and where it may be read. Precious: it cannot be had
//! again, so `synchronous=FULL`, and no row goes by itself.
//!
//! Owns the rows; a row says that a file is in the blob directory, so callers put the file there first and remove
//! it last, inside [`super::Store::while_kept`]. Judges no permission. Every change is one short transaction.
//! Only the process that holds `DATA/lock` writes here.

mod blobs;
mod cleanup;
mod garbage;
mod lists;
mod manifests;
mod marks;
mod pulls;
mod quota;
mod record;
mod referrers;
mod removal;
mod repositories;
mod rows;
mod schema;
mod sound;
mod totals;
mod uploads;

use std::path::Path;

use super::ProjectId;
use super::database::{Database, Synchronous};
use crate::error::Result;
use crate::oci::{Descriptor, Digest, Manifest, MediaType, Tag};
use crate::time::Timestamp;

pub use blobs::UnlinkBlob;
pub use cleanup::{CleanupRequest, CleanupRun, Going, PushedTag};
pub use garbage::{Swept, UntaggedManifest};
pub use lists::HostedTag;
pub use record::PushRecord;
pub use referrers::{FoundReferrer, Referrer};
pub use rows::RepositoryRow;
pub(in crate::store) use schema::MIGRATIONS;
pub use totals::HostedTotals;
pub use uploads::HostedUpload;

/// A hosted repository: its path counts only together with the project that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostedRepository<'a> {
    pub project: ProjectId,
    /// The whole path, the project's included.
    pub path: &'a str,
}

/// The most bytes that repositories at or below a path may hold together, each blob counted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageLimit {
    /// A group's, a project's or a repository's path.
    pub path: String,
    /// In bytes.
    pub max_bytes: u64,
}

/// A manifest to be kept; its file is in the blob directory already.
#[derive(Debug, Clone)]
pub struct NewHostedManifest {
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it was pushed as.
    pub media_type: MediaType,
    /// Its own bytes.
    pub size: u64,
    /// Its `artifactType`, or its config's media type.
    pub artifact_type: Option<String>,
    /// The manifest that it is a referrer of, here or not.
    pub subject: Option<Digest>,
    /// Its annotations as JSON, if it has a subject.
    pub annotations: Option<String>,
    /// Everything that it refers to, with sizes.
    pub references: Vec<(Digest, u64)>,
    /// What of that must be linked to the repository: config and layers that are not foreign.
    pub required: Vec<Digest>,
    /// Tags to point to it.
    pub tags: Vec<NewTag>,
    /// Who pushes it, for people.
    pub pushed_by: String,
    pub now: Timestamp,
}

impl NewHostedManifest {
    /// What is kept of `manifest`, whose bytes have this digest and length.
    pub fn of(
        manifest: &Manifest,
        digest: Digest,
        size: u64,
        tags: Vec<NewTag>,
        pushed_by: String,
        now: Timestamp,
    ) -> Self {
        let subject = manifest.subject.as_ref();
        let annotations = manifest.annotations.as_ref().filter(|_| subject.is_some());
        Self {
            digest,
            media_type: manifest.media_type,
            size,
            artifact_type: manifest.artifact_type.clone(),
            annotations: annotations.map(|annotations| annotations.get().to_owned()),
            subject: subject.map(|subject| subject.digest.clone()),
            references: manifest
                .manifests
                .iter()
                .chain(&manifest.blobs)
                .map(|part| (part.digest.clone(), part.size))
                .collect(),
            required: required_of(manifest),
            tags,
            pushed_by,
            now,
        }
    }
}

/// What must be in the repository: not what says where else it is to be had and that it may not be distributed.
fn required_of(manifest: &Manifest) -> Vec<Digest> {
    let is_elsewhere = |part: &Descriptor| part.is_foreign() && part.has_urls;
    let mut digests: Vec<Digest> = manifest
        .blobs
        .iter()
        .filter(|part| !is_elsewhere(part))
        .map(|part| part.digest.clone())
        .collect();
    digests.sort();
    digests.dedup();
    digests
}

/// A tag to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTag {
    pub name: Tag,
    /// What keeps it from leaving another manifest for this one.
    pub immutable_by: Option<ImmutableBy>,
}

/// A rule that makes a tag immutable, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImmutableBy {
    pub rule: String,
    /// Whether whoever pushes may know of it.
    pub is_shown: bool,
}

/// What became of a pushed manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutManifest {
    /// It is kept, and its tags point to it.
    Kept,
    /// These blobs are not linked to the repository; nothing was changed.
    Missing(Vec<Digest>),
}

/// The database of hosted content.
pub struct RegistryDb {
    database: Database,
    marks: marks::Marks,
    pulls: pulls::Pulls,
}

impl RegistryDb {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            database: Database::open(path, Synchronous::Full, MIGRATIONS)?,
            marks: marks::new(),
            pulls: pulls::new(),
        })
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }
}
