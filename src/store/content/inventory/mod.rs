//! All that is cached and what needs what, as of one moment: for whoever decides what goes, or says what is shared.
//!
//! It is read whole, because what the going of an image frees depends on all others. A reference costs 4 bytes in memory
//! and a manifest about 300, so that a million blobs of a hundred thousand images take some 50 MB: whoever asks for it
//! drops it soon.

mod reading;

use crate::oci::{Digest, RegistryHost, RepositoryName};
use crate::store::{BlobId, Frequency, GroupId, ManifestId, RepositoryId};
use crate::time::Timestamp;

/// What is cached. Manifests, blobs and repositories name each other by their place in these lists.
#[derive(Debug, Default)]
pub struct Inventory {
    pub repositories: Vec<CachedRepository>,
    pub blobs: Vec<InventoryBlob>,
    pub manifests: Vec<InventoryManifest>,
    /// Links that no manifest of their repository explains: what is left of an image whose manifest is gone.
    pub loose: Vec<LooseBlob>,
    /// Whether files that no repository links may have been pushed: rows of such were lost, and may be put back.
    pub unlinked_may_be_pushed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRepository {
    pub id: RepositoryId,
    pub upstream: RegistryHost,
    pub name: RepositoryName,
}

#[derive(Debug)]
pub struct InventoryBlob {
    pub id: BlobId,
    pub size: u64,
    pub added_at: Timestamp,
    /// Whether something needs it that was pushed: the file stays, whatever becomes of the cache's row.
    pub is_hosted: bool,
    /// How many repositories are linked to it.
    pub links: u32,
}

#[derive(Debug)]
pub struct InventoryManifest {
    pub id: ManifestId,
    pub digest: Digest,
    pub repository: usize,
    /// Its own bytes and what it refers to, as far as that is here, each once.
    pub blobs: Box<[u32]>,
    /// The manifests of its repository that it refers to, and those that are attached to it.
    pub parts: Vec<Part>,
    pub tags: Vec<InventoryTag>,
    pub fetched_at: Timestamp,
    pub pulls: Vec<InventoryPulls>,
}

/// What belongs to the image of a manifest.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub manifest: usize,
    /// It has the other as its subject, or is a signature by the name of its tag; otherwise the other refers to it.
    pub is_attached: bool,
}

#[derive(Debug)]
pub struct InventoryTag {
    pub name: String,
    pub gone_at: Option<Timestamp>,
}

/// The pulls of a manifest by one group.
#[derive(Debug, Clone, Copy)]
pub struct InventoryPulls {
    pub group: GroupId,
    pub pulls: Frequency,
}

/// A blob that may be read in a repository although no manifest there refers to it.
#[derive(Debug, Clone, Copy)]
pub struct LooseBlob {
    /// `None`: no repository may read it, as after a crash.
    pub repository: Option<usize>,
    pub blob: u32,
    pub since: Timestamp,
}

impl Inventory {
    /// `HOST/NAME:TAG` of each tag of a manifest, or `HOST/NAME@DIGEST` where it has none.
    pub fn names(&self, manifest: &InventoryManifest) -> Vec<String> {
        let Some(CachedRepository { upstream, name, .. }) =
            self.repositories.get(manifest.repository)
        else {
            return Vec::new();
        };
        if manifest.tags.is_empty() {
            return vec![format!("{upstream}/{name}@{}", manifest.digest)];
        }
        let tags = manifest.tags.iter();
        tags.map(|tag| format!("{upstream}/{name}:{}", tag.name))
            .collect()
    }

    /// The manifest's upstream.
    pub fn upstream(&self, manifest: &InventoryManifest) -> Option<&RegistryHost> {
        let repository = self.repositories.get(manifest.repository)?;
        Some(&repository.upstream)
    }
}
