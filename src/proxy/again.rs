//! Fetching again what was found damaged: from where it came, whoever pulls it.

use std::io::Read as _;
use std::sync::Arc;

use super::download::CHUNK;
use super::manifests::FETCH_PATIENCE;
use super::target::OriginKey;
use super::{BlobContent, CacheWord, Proxy, Target};
use crate::auth::Grant;
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Reference};
use crate::store::FetchedFrom;
use crate::upstream::{Fault, FaultKind};

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// Its bytes came, matched the digest, and are kept if the disk takes them.
    Fetched,
    /// The upstream says that it has it no more, or is not configured any more: a sentence.
    Gone(String),
    /// It cannot be had at this moment: why.
    NotNow(String),
}

impl Proxy {
    /// Fetches a blob or manifest of which the kept bytes are damaged, and keeps it. The upstream is asked first
    /// whether it has it: only its clear "no" means that it is gone.
    pub fn fetch_again(
        self: &Arc<Self>,
        grant: &Grant,
        from: &FetchedFrom,
        digest: &Digest,
    ) -> Again {
        let found = self.upstreams.of_origin(&from.upstream, &from.fingerprint);
        let upstream = match found {
            Ok(Some(upstream)) => upstream,
            Ok(None) => {
                let why = "no upstream of this box has that name, URL and credentials any more";
                return Again::Gone(format!("{}: {why}", from.upstream));
            }
            Err(error) => return Again::NotNow(error.what_and_why()),
        };
        let target = Target {
            origin: OriginKey::of(&upstream),
            upstream,
            repository: from.repository.clone(),
        };
        if let Some(fault) = absent(&target, digest, from.is_manifest) {
            return match fault.kind {
                FaultKind::NotFound => Again::Gone(fault.message),
                _ => Again::NotNow(fault.message),
            };
        }
        let fetched = if from.is_manifest {
            // The bytes in memory are right, but would be taken for kept ones.
            self.short.remove(digest);
            let reference = Reference::Digest(digest.clone());
            self.fetch_manifest(grant, &target, &reference, None, FETCH_PATIENCE)
                .map(drop)
        } else {
            self.read_through(grant, &target, digest, |_| Ok(()))
        };
        match fetched {
            Ok(()) => Again::Fetched,
            Err(error) => Again::NotNow(error.what_and_why()),
        }
    }

    /// Fetches the blob and waits for its last byte, which comes after the hash matched; `tell` hears of the bytes as they
    /// come, and ends it by an error.
    pub(super) fn read_through(
        self: &Arc<Self>,
        grant: &Grant,
        target: &Target,
        digest: &Digest,
        mut tell: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let what = || format!("blob {digest} of {}", target.shown());
        let answer = self.arriving_blob(grant, target, digest)?;
        let mut arriving = match answer.content {
            BlobContent::Arriving(arriving) if answer.cache != CacheWord::Bypass => arriving,
            _ => {
                let why = format!("{}: the disk has no room for it", what());
                return Err(Error::new(Kind::Full, why).remedy("see cache.min_free"));
            }
        };
        let mut reader = arriving.reader(0, None);
        let mut buffer = vec![0_u8; CHUNK].into_boxed_slice();
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => tell(read as u64)?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::new(Kind::Io, what()).because(error)),
            }
        }
    }
}

/// What the upstream says of not having it; `None` where it has it, or only a GET can tell.
fn absent(target: &Target, digest: &Digest, is_manifest: bool) -> Option<Fault> {
    let fault = if is_manifest {
        let reference = Reference::Digest(digest.clone());
        let asked = target
            .upstream
            .head_manifest(&target.repository, &reference, FETCH_PATIENCE);
        asked.err()?
    } else {
        target
            .upstream
            .head_blob(&target.repository, digest)
            .err()?
    };
    (fault.kind != FaultKind::MethodNotAllowed).then_some(fault)
}
