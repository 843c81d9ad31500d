//! Blobs: kept ones from the directory, others while they arrive.

use std::sync::Arc;
use std::time::Duration;

use super::disk_fallback::{BlobReader, Fallback};
use super::pass_through::PassThrough;
use super::shared_fetch::{ArrivingBlob, FetchKey, FetchReader, JoinOrStart, is_of_the_disk};
use super::{CacheWord, Proxy, Target, fetch, read_only, upstream_error};
use crate::auth::Grant;
use crate::error::{Kind, Result};
use crate::oci::Digest;
use crate::spool::{Content, IN_MEMORY};
use crate::store::Blob;
use crate::time::Timestamp;
use crate::upstream::FaultKind;

/// How long somebody who may only read waits for somebody else's fill to come to a blob.
const BLOB_PATIENCE: Duration = Duration::from_secs(30);

/// A blob to be answered with.
pub struct BlobAnswer {
    /// Its size; `None` where the upstream does not say it.
    pub size: Option<u64>,
    /// Where the bytes are.
    pub content: BlobContent,
    /// Where the answer came from.
    pub cache: CacheWord,
    /// Since when it is kept.
    pub age: Option<Duration>,
}

/// Where the bytes of a blob are.
pub enum BlobContent {
    Kept(Blob),
    /// Kept, and short.
    InMemory(Arc<[u8]>),
    Arriving(Arriving),
    /// At the upstream: only their size was asked for.
    Elsewhere,
}

/// A blob on its way.
pub struct Arriving(Source);

enum Source {
    /// In the staged file of this blob, which others may read too.
    Staged(Arc<FetchReader>, Arc<Fallback>),
    /// Straight from the upstream: the disk has no room for it. It is read once.
    Passing(Option<Box<PassThrough>>),
}

impl Arriving {
    /// Reads `length` bytes from `offset` on (`None`: to the end) as they arrive. It fails where the fetch
    /// fails, and never gives the last byte of bytes that do not match the digest.
    pub fn reader(&mut self, offset: u64, length: Option<u64>) -> BlobReader {
        match &mut self.0 {
            Source::Staged(reader, fallback) => {
                fallback.reader(ArrivingBlob::new(Arc::clone(reader), offset, length))
            }
            Source::Passing(passing) => {
                let passing = passing.take();
                BlobReader::past_the_disk(passing.map(|passing| passing.part(offset, length)))
            }
        }
    }

    /// Whether it can be read more than once.
    pub fn can_be_read_again(&self) -> bool {
        matches!(self.0, Source::Staged(..))
    }
}

/// What a request wants of a blob.
#[derive(Clone, Copy)]
enum Wanted {
    /// GET: all of it, or a part.
    Bytes,
    /// HEAD.
    Size,
}

impl Proxy {
    /// A blob, from the cache, from a fetch in progress, or from a new one.
    ///
    /// # Errors
    /// `BlobUnknown` where the upstream does not have it or denies it; `Unavailable` or
    /// `TooManyRequests` where it cannot be had now and is not kept.
    pub fn blob(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
    ) -> Result<BlobAnswer> {
        self.answer_blob(grant, target, digest, Wanted::Bytes)
    }

    /// What HEAD of a blob says: kept, or as the upstream has it. Fetches nothing, unless the upstream
    /// knows no HEAD of blobs: then only a GET can tell.
    ///
    /// # Errors
    /// As [`Proxy::blob`].
    pub fn head_blob(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
    ) -> Result<BlobAnswer> {
        self.answer_blob(grant, target, digest, Wanted::Size)
    }

    fn answer_blob(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
        wanted: Wanted,
    ) -> Result<BlobAnswer> {
        read_only::waiting(self, grant, target, BLOB_PATIENCE, || {
            if let Some(kept) = self.kept_blob(target, digest)? {
                return Ok(kept);
            }
            match wanted {
                _ if !grant.passes_through() => self.blob_beside(grant, target, digest, wanted),
                Wanted::Bytes => self.arriving_blob(grant, target, digest),
                Wanted::Size => self.blob_elsewhere(grant, target, digest),
            }
        })
    }

    /// From the fetch of somebody else, for a caller for whom nothing is fetched.
    fn blob_beside(
        &self,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
        wanted: Wanted,
    ) -> Result<BlobAnswer> {
        let key: FetchKey = (target.key(), digest.clone());
        let reader = self.fetches.join(&key).ok_or_else(|| {
            let what = format!("blob {digest} of {}", target.shown());
            read_only::refused(grant, Kind::BlobUnknown, &what)
        })?;
        Ok(BlobAnswer {
            size: reader.head()?,
            content: match wanted {
                Wanted::Bytes => BlobContent::Arriving(arriving(reader, target, digest)),
                Wanted::Size => BlobContent::Elsewhere,
            },
            cache: CacheWord::Miss,
            age: None,
        })
    }

    /// From a fetch in progress, or from a new one.
    pub(super) fn arriving_blob(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
    ) -> Result<BlobAnswer> {
        self.note_fill(grant, target);
        let key: FetchKey = (target.key(), digest.clone());
        if fetch::has_no_room(self, &key) {
            return passed_through(target, digest);
        }
        let reader = match self.fetches.join_or_start(&key, grant.may_fill())? {
            JoinOrStart::Joined(reader) => reader,
            JoinOrStart::Started(reader, writer) => {
                fetch::start(self, grant.group(), target, digest, writer);
                reader
            }
        };
        let size = match reader.head() {
            // The disk has no room, or takes no writes: that costs nobody the image.
            Err(error) if is_of_the_disk(error.kind()) => {
                return passed_through(target, digest);
            }
            head => head?,
        };
        // Who may not fill passes through, unless the fetch is somebody's fill; and so does who may, where there is no room.
        let cache = if reader.is_kept() {
            CacheWord::Miss
        } else {
            CacheWord::Bypass
        };
        Ok(BlobAnswer {
            size,
            content: BlobContent::Arriving(arriving(reader, target, digest)),
            cache,
            age: None,
        })
    }

    /// As the upstream has it.
    fn blob_elsewhere(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
    ) -> Result<BlobAnswer> {
        let head = match target.upstream.head_blob(&target.repository, digest) {
            Ok(head) => head,
            Err(fault) if fault.kind == FaultKind::MethodNotAllowed => {
                return self.arriving_blob(grant, target, digest);
            }
            Err(fault) => {
                let what = format!("blob {digest} of {}", target.shown());
                return Err(upstream_error(fault, Kind::BlobUnknown, &what));
            }
        };
        Ok(BlobAnswer {
            size: head.size,
            content: BlobContent::Elsewhere,
            cache: CacheWord::fetched(grant),
            age: None,
        })
    }

    /// The blob, if it is kept and linked to this repository.
    pub(super) fn kept_blob(&self, target: &Target, digest: &Digest) -> Result<Option<BlobAnswer>> {
        let Some(repository) = self.repository_of(target)? else {
            return Ok(None);
        };
        let Some((size, linked_at)) = self.store.cache.blob(repository, digest)? else {
            return Ok(None);
        };
        let is_usable = |bytes: &Arc<[u8]>| {
            bytes.len() as u64 == size && !self.store.blobs.is_known_damaged(digest)
        };
        let content = match self.short.get(digest).filter(is_usable) {
            Some(bytes) => BlobContent::InMemory(bytes),
            None => match self.kept_content(digest, size)? {
                Some(content) => content,
                None => return Ok(None),
            },
        };
        let age = Some(Timestamp::now().since(linked_at));
        Ok(Some(BlobAnswer {
            size: Some(size),
            content,
            cache: CacheWord::Hit,
            age,
        }))
    }

    /// What is in a kept blob's file. What is short is hashed and stays in memory; it is served without its file from then
    /// on. Of what is damaged the rows stay, as where the scrub finds it.
    fn kept_content(&self, digest: &Digest, size: u64) -> Result<Option<BlobContent>> {
        let opened = self.store.blobs.open(digest)?;
        let Some(blob) = opened.as_ref().filter(|blob| blob.size() == size) else {
            tracing::error!(blob = %digest, "a kept blob's file is gone or has another length: fetching it again");
            self.remove_damaged(digest, opened.as_ref());
            return Ok(None);
        };
        if size > IN_MEMORY as u64 {
            return Ok(Some(BlobContent::Kept(blob.clone())));
        }
        let intact = match self.store.blobs.intact(blob, digest) {
            Err(error) if error.kind() == Kind::Io => {
                tracing::error!(blob = %digest, "cannot read a kept blob: {error}");
                None
            }
            read => read?,
        };
        match intact {
            Some(Content::Memory(bytes)) => {
                self.short.insert(digest.clone(), Arc::clone(&bytes));
                Ok(Some(BlobContent::InMemory(bytes)))
            }
            Some(Content::File { .. }) => Ok(Some(BlobContent::Kept(blob.clone()))),
            None => {
                tracing::error!(blob = %digest, "a kept blob's file is damaged: fetching it again");
                let now = Timestamp::now();
                if let Err(error) = self.store.set_aside(digest, Some(blob), now) {
                    tracing::error!(blob = %digest, "cannot set aside what is damaged: {error}");
                }
                Ok(None)
            }
        }
    }
}

fn arriving(reader: FetchReader, target: &Target, digest: &Digest) -> Arriving {
    let fallback = Fallback::new(target.clone(), digest.clone());
    Arriving(Source::Staged(Arc::new(reader), fallback))
}

/// The blob straight from the upstream, for this caller alone: nothing of it touches the disk.
fn passed_through(target: &Target, digest: &Digest) -> Result<BlobAnswer> {
    let passing = PassThrough::open(target, digest).map_err(|failed| {
        let what = format!("blob {digest} of {}", target.shown());
        failed.into_error(Kind::BlobUnknown, &what)
    })?;
    Ok(BlobAnswer {
        size: passing.total(),
        content: BlobContent::Arriving(Arriving(Source::Passing(Some(Box::new(passing))))),
        cache: CacheWord::Bypass,
        age: None,
    })
}
