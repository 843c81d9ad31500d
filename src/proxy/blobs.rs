//! Blobs: kept ones from the directory, others while they arrive.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use super::flight::{Boarded, FlightKey, Seat};
use super::{CacheWord, Proxy, Target, fetch, upstream_error};
use crate::auth::Grant;
use crate::error::{Kind, Result};
use crate::oci::Digest;
use crate::time::Timestamp;

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
    /// In a file, whole.
    Kept(Arc<File>),
    /// On their way.
    Arriving(Arriving),
    /// At the upstream: only their size was asked for.
    Elsewhere,
}

/// A blob on its way.
pub struct Arriving(Seat);

impl Arriving {
    /// Reads `length` bytes from `offset` on (`None`: to the end) as they arrive. It fails where the fetch
    /// fails, and never gives the last byte of bytes that do not match the digest.
    pub fn into_reader(self, offset: u64, length: Option<u64>) -> Box<dyn Read + Send> {
        Box::new(self.0.into_reader(offset, length))
    }
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
        if let Some(kept) = self.kept_blob(target, digest)? {
            return Ok(kept);
        }
        let key: FlightKey = (target.key(), digest.clone());
        let seat = match self.flights.board(&key, grant.may_fill())? {
            Boarded::Joined(seat) => seat,
            Boarded::New(seat, takeoff) => {
                fetch::start(self, target, digest, takeoff);
                seat
            }
        };
        let size = seat.head()?;
        let content = BlobContent::Arriving(Arriving(seat));
        Ok(BlobAnswer {
            size,
            content,
            cache: CacheWord::fetched(grant),
            age: None,
        })
    }

    /// What HEAD of a blob says: kept, or as the upstream has it. Fetches nothing.
    ///
    /// # Errors
    /// As [`Proxy::blob`].
    pub fn head_blob(&self, grant: &Grant, target: &Target, digest: &Digest) -> Result<BlobAnswer> {
        if let Some(kept) = self.kept_blob(target, digest)? {
            return Ok(kept);
        }
        let head = target
            .upstream
            .head_blob(&target.repository, digest)
            .map_err(|fault| {
                upstream_error(
                    fault,
                    Kind::BlobUnknown,
                    &format!("blob {digest} of {}", target.shown()),
                )
            })?;
        Ok(BlobAnswer {
            size: head.size,
            content: BlobContent::Elsewhere,
            cache: CacheWord::fetched(grant),
            age: None,
        })
    }

    /// The blob, if it is kept and linked to this repository.
    fn kept_blob(&self, target: &Target, digest: &Digest) -> Result<Option<BlobAnswer>> {
        let Some(repository) = self
            .store
            .cache
            .find_repository(target.origin, &target.repository)?
        else {
            return Ok(None);
        };
        let Some((size, linked_at)) = self.store.cache.blob(repository, digest)? else {
            return Ok(None);
        };
        let Some((file, length)) = self
            .store
            .blobs
            .open(digest)?
            .filter(|(_, length)| *length == size)
        else {
            tracing::error!(blob = %digest, "a kept blob's file is gone or has another length: fetching it again");
            self.store.remove_blob(digest)?;
            return Ok(None);
        };
        let age = Some(Timestamp::now().since(linked_at));
        Ok(Some(BlobAnswer {
            size: Some(length),
            content: BlobContent::Kept(file),
            cache: CacheWord::Hit,
            age,
        }))
    }
}
