//! A blob on its way for one client, past the disk from where the disk gives out: that a file can take no more
//! bytes costs nobody the rest of the body.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Target;
use super::pass_through::PassThrough;
use super::shared_fetch::ArrivingBlob;
use crate::oci::Digest;
use crate::store::Blob;

/// Reads from the staged file, and goes on with bytes of its own from the upstream where that fails for want of
/// room, or because the disk takes no writes.
pub struct BlobReader(Reading);

/// What the readers of one answer go on with: one of them, because each would fetch all of the blob. Whoever asked for
/// several parts of it may ask again.
pub(super) struct Fallback {
    target: Target,
    digest: Digest,
    is_taken: AtomicBool,
}

enum Reading {
    Staged(ArrivingBlob, Arc<Fallback>),
    Passing(Box<PassThrough>),
    /// What could be read once was.
    Nothing,
}

impl Fallback {
    pub(super) fn new(target: Target, digest: Digest) -> Arc<Self> {
        Arc::new(Self {
            target,
            digest,
            is_taken: AtomicBool::new(false),
        })
    }

    pub(super) fn reader(self: &Arc<Self>, staged: ArrivingBlob) -> BlobReader {
        BlobReader(Reading::Staged(staged, Arc::clone(self)))
    }
}

impl BlobReader {
    /// Straight from the upstream; `None`: that has been read.
    pub(super) fn past_the_disk(passing: Option<PassThrough>) -> Self {
        Self(passing.map_or(Reading::Nothing, |passing| {
            Reading::Passing(Box::new(passing))
        }))
    }

    /// What comes next as a part of the staged file: the file, where in it, and how many bytes. Waits until there are some;
    /// none at the end. `None` past the disk.
    ///
    /// # Errors
    /// As reading.
    pub fn arrived(&mut self) -> io::Result<Option<(Blob, u64, u64)>> {
        match &self.0 {
            Reading::Passing(_) | Reading::Nothing => Ok(None),
            Reading::Staged(staged, _) => match staged.arrived() {
                Ok(arrived) => Ok(Some(arrived)),
                Err(error) => self.go_past_the_disk(error).map(|()| None),
            },
        }
    }

    /// Goes on behind so many bytes of that.
    pub fn skip(&mut self, bytes: u64) {
        if let Reading::Staged(staged, _) = &mut self.0 {
            staged.skip(bytes);
        }
    }

    /// Goes on past the disk, where it gave out.
    ///
    /// # Errors
    /// `error` where it did not, or another reader of the same answer has gone on; as the upstream's.
    fn go_past_the_disk(&mut self, error: io::Error) -> io::Result<()> {
        let Reading::Staged(staged, fallback) = &self.0 else {
            return Err(error);
        };
        if !ArrivingBlob::is_of_the_disk(&error) || fallback.is_taken.swap(true, Ordering::AcqRel) {
            return Err(error);
        }
        let (offset, length) = staged.rest();
        let Fallback { target, digest, .. } = fallback.as_ref();
        tracing::info!(blob = %digest, repository = target.shown(), at = offset,
            "the disk gave out on the way: passing on the rest");
        let passing =
            PassThrough::open(target, digest).map_err(|failed| io::Error::other(failed.why()))?;
        // Where the staged file was the last that held it, its room is free from here on.
        self.0 = Reading::Passing(Box::new(passing.part(offset, length)));
        Ok(())
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let failed = match &mut self.0 {
                Reading::Nothing => return Ok(0),
                Reading::Passing(passing) => return passing.read(buffer),
                Reading::Staged(staged, _) => match staged.read(buffer) {
                    Err(error) => error,
                    read => return read,
                },
            };
            self.go_past_the_disk(failed)?;
        }
    }
}
