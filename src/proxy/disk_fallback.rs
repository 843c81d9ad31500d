//! A blob on its way for one client, past the disk from where the disk gives out: that a file can take no more
//! bytes costs nobody the rest of the body.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Target;
use super::pass_through::PassThrough;
use super::shared_fetch::ArrivingBlob;
use crate::oci::Digest;

/// Reads from the staged file, and goes on with bytes of its own from the upstream where that fails for want of
/// room, or because the disk takes no writes.
pub(super) struct DiskFallback {
    fallback: Arc<Fallback>,
    reading: Reading,
}

/// What the readers of one answer go on with: one of them, because each would fetch all of the blob. Whoever asked for
/// several parts of it may ask again.
pub(super) struct Fallback {
    target: Target,
    digest: Digest,
    is_taken: AtomicBool,
}

enum Reading {
    Staged(ArrivingBlob),
    Passing(Box<PassThrough>),
}

impl Fallback {
    pub(super) fn new(target: Target, digest: Digest) -> Arc<Self> {
        Arc::new(Self {
            target,
            digest,
            is_taken: AtomicBool::new(false),
        })
    }

    pub(super) fn reader(self: &Arc<Self>, staged: ArrivingBlob) -> DiskFallback {
        DiskFallback {
            fallback: Arc::clone(self),
            reading: Reading::Staged(staged),
        }
    }
}

impl Read for DiskFallback {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (offset, length) = match &mut self.reading {
            Reading::Passing(passing) => return passing.read(buffer),
            Reading::Staged(staged) => match staged.read(buffer) {
                Err(error)
                    if ArrivingBlob::is_of_the_disk(&error)
                        && !self.fallback.is_taken.swap(true, Ordering::AcqRel) =>
                {
                    staged.rest()
                }
                other => return other,
            },
        };
        let Fallback { target, digest, .. } = self.fallback.as_ref();
        tracing::info!(blob = %digest, repository = target.shown(), at = offset,
            "the disk gave out on the way: passing on the rest");
        let passing =
            PassThrough::open(target, digest).map_err(|failed| io::Error::other(failed.why()))?;
        // Where the staged file was the last that held it, its room is free from here on.
        self.reading = Reading::Passing(Box::new(passing.part(offset, length)));
        self.read(buffer)
    }
}
