//! The blobs whose bytes are known to be damaged or gone: nobody is given them, and whoever brings the same bytes again
//! puts good ones in their place. The notes of `cache.sqlite` say which, over restarts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::oci::Digest;

#[derive(Default)]
pub(super) struct Damaged {
    /// Nearly always there is none, and no pull need wait for anybody to learn that.
    any: AtomicBool,
    digests: RwLock<HashSet<Digest>>,
}

impl Damaged {
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.any() && self.digests.read().contains(digest)
    }

    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn insert(&self, digest: Digest) {
        let mut digests = self.digests.write();
        digests.insert(digest);
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn remove(&self, digest: &Digest) {
        if self.any() {
            let mut digests = self.digests.write();
            digests.remove(digest);
            self.any.store(!digests.is_empty(), Ordering::Release);
        }
    }
}
