//! Moves one blob from the upstream into a staged file: hashed as it comes, resumed where it breaks,
//! and kept only if the bytes are what the digest says.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::flight::{FlightKey, Takeoff};
use super::{Proxy, Target, upstream_error};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Hasher};
use crate::store::Staged;
use crate::time::Timestamp;
use crate::upstream::BlobStream;

/// One read from the upstream.
const CHUNK: usize = 128 * 1024;
/// Broken connections in a row without a new byte, after which a fetch gives up.
const BARREN_TRIES: u32 = 3;
/// Broken connections in all, after which a fetch gives up.
const TRIES: u32 = 64;

/// Starts the fetch of a new flight on a thread of its own.
pub(super) fn start(proxy: &Arc<Proxy>, target: &Target, digest: &Digest, takeoff: Takeoff) {
    let fetch = Fetch {
        proxy: Arc::clone(proxy),
        target: target.clone(),
        digest: digest.clone(),
    };
    let spawned = std::thread::Builder::new().name("fetch".into()).stack_size(256 * 1024).spawn(move || {
        match fetch.run(&takeoff) {
            Ok(()) => takeoff.land(),
            Err(error) => {
                tracing::warn!(blob = %fetch.digest, repository = fetch.target.shown(), "fetch failed: {error}");
                takeoff.fail(error);
            }
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "cannot start a thread for a fetch");
    }
}

struct Fetch {
    proxy: Arc<Proxy>,
    target: Target,
    digest: Digest,
}

/// How far a fetch is.
struct Progress {
    file: Arc<File>,
    hasher: Hasher,
    written: u64,
    total: Option<u64>,
    etag: Option<String>,
}

impl Fetch {
    fn run(&self, takeoff: &Takeoff) -> Result<()> {
        let kept = match self.kept_meanwhile()? {
            Some(kept) => Some(kept),
            None => self.confirm_kept_elsewhere(takeoff)?,
        };
        if let Some((file, size)) = kept {
            takeoff.arriving(file, Some(size), size);
            return Ok(());
        }
        let staged = self.stage(takeoff)?;
        match self.fetch(takeoff, &staged) {
            Ok(size) => self.keep(takeoff, staged, size),
            Err(error) => {
                if error.kind() == Kind::UpstreamLied {
                    staged.discard();
                }
                Err(error)
            }
        }
    }

    /// The blob, if another flight kept it between this request's look and its flight.
    fn kept_meanwhile(&self) -> Result<Option<(Arc<File>, u64)>> {
        let Some(repository) = self
            .proxy
            .store
            .cache
            .find_repository(self.target.origin, &self.target.repository)?
        else {
            return Ok(None);
        };
        match self.proxy.store.cache.blob(repository, &self.digest)? {
            Some(_) => self.proxy.store.blobs.open(&self.digest),
            None => Ok(None),
        }
    }

    /// The blob, if it is kept for another repository and the upstream confirms that this one has it
    /// too: knowing a digest alone opens nothing.
    fn confirm_kept_elsewhere(&self, takeoff: &Takeoff) -> Result<Option<(Arc<File>, u64)>> {
        let Some(size) = self.proxy.store.cache.blob_anywhere(&self.digest)? else {
            return Ok(None);
        };
        let Some((file, _)) = self
            .proxy
            .store
            .blobs
            .open(&self.digest)?
            .filter(|(_, length)| *length == size)
        else {
            return Ok(None);
        };
        let head = self
            .target
            .upstream
            .head_blob(&self.target.repository, &self.digest);
        let head = head.map_err(|fault| upstream_error(fault, Kind::BlobUnknown, &self.shown()))?;
        if head.size.is_some_and(|said| said != size) {
            return Ok(None);
        }
        if takeoff.decide_keep() {
            let repository = self
                .proxy
                .store
                .cache
                .repository(self.target.origin, &self.target.repository)?;
            self.proxy
                .store
                .cache
                .keep_blob(repository, &self.digest, size, Timestamp::now())?;
        }
        Ok(Some((file, size)))
    }

    /// A fill is staged under a name that the same fill finds again after a crash; what nobody may keep
    /// goes into a file without a name.
    fn stage(&self, takeoff: &Takeoff) -> Result<Staged> {
        if takeoff.keep_so_far() {
            let key: FlightKey = (self.target.key(), self.digest.clone());
            self.proxy.store.blobs.stage_named(&staging_name(&key))
        } else {
            self.proxy.store.blobs.stage_unlinked()
        }
    }

    /// Fetches all bytes and compares their hash; the blob's size.
    fn fetch(&self, takeoff: &Takeoff, staged: &Staged) -> Result<u64> {
        let mut progress = self.resume_staged(staged)?;
        let mut stream = self.open_stream(&progress)?;
        self.check_total(&mut progress, &stream)?;
        takeoff.arriving(Arc::clone(&progress.file), progress.total, progress.written);
        let mut buffer = vec![0_u8; CHUNK].into_boxed_slice();
        let (mut tries, mut barren) = (0, 0);
        loop {
            let before = progress.written;
            match self.read_stream(takeoff, stream, &mut progress, &mut buffer) {
                Ok(()) => break,
                Err(Broken::Here(error)) => return Err(error),
                Err(Broken::Upstream(error)) => {
                    tries += 1;
                    barren = if progress.written > before {
                        0
                    } else {
                        barren + 1
                    };
                    if tries >= TRIES || barren >= BARREN_TRIES {
                        return Err(self.unavailable(&error.to_string()));
                    }
                    tracing::info!(blob = %self.digest, repository = self.target.shown(), at = progress.written,
                        "the upstream broke off, resuming: {error}");
                    stream = self.open_stream(&progress)?;
                    self.check_total(&mut progress, &stream)?;
                }
            }
        }
        if progress
            .total
            .is_some_and(|total| total != progress.written)
        {
            return Err(self.lied("it sent another length than it announced"));
        }
        if progress.hasher.finish() != self.digest {
            return Err(self.lied("its bytes do not match the digest"));
        }
        Ok(progress.written)
    }

    /// Where an earlier fetch of the same blob was interrupted: its bytes, hashed again.
    fn resume_staged(&self, staged: &Staged) -> Result<Progress> {
        let file = Arc::clone(staged.file());
        let mut hasher = Hasher::new(self.digest.algorithm());
        let length = staged.length()?;
        let mut written = 0;
        let mut buffer = vec![0_u8; CHUNK];
        while written < length {
            let read = file.read_at(&mut buffer, written).map_err(|error| {
                Error::new(
                    Kind::Io,
                    format!("cannot read what was staged of {}", self.digest),
                )
                .because(error)
            })?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            written += read as u64;
        }
        if written > 0 {
            tracing::info!(blob = %self.digest, repository = self.target.shown(), at = written, "resuming an interrupted fill");
        }
        Ok(Progress {
            file,
            hasher,
            written,
            total: None,
            etag: None,
        })
    }

    /// Asks the upstream for what is missing.
    fn open_stream(&self, progress: &Progress) -> Result<BlobStream> {
        let (upstream, repository) = (&self.target.upstream, &self.target.repository);
        upstream
            .get_blob(
                repository,
                &self.digest,
                progress.written,
                progress.etag.as_deref(),
            )
            .map_err(|fault| upstream_error(fault, Kind::BlobUnknown, &self.shown()))
    }

    /// Compares what the upstream says of the size with what it said before.
    fn check_total(&self, progress: &mut Progress, stream: &BlobStream) -> Result<()> {
        match (progress.total, stream.total) {
            (Some(before), Some(now)) if before != now => {
                return Err(self.lied("its size changed on the way"));
            }
            (None, total) => progress.total = total,
            _ => {}
        }
        if progress.total.is_some_and(|total| progress.written > total) {
            return Err(self.lied("more bytes than the upstream says there are were staged"));
        }
        progress.etag.clone_from(&stream.etag);
        Ok(())
    }

    /// Reads the stream to its end into the file.
    fn read_stream(
        &self,
        takeoff: &Takeoff,
        mut stream: BlobStream,
        progress: &mut Progress,
        buffer: &mut [u8],
    ) -> Result<(), Broken> {
        let mut offset = stream.offset;
        loop {
            if self.proxy.is_stopping() {
                return Err(Broken::Here(self.unavailable("this box is being stopped")));
            }
            if !takeoff.is_wanted() {
                return Err(Broken::Here(
                    self.unavailable("nobody waits for it any more"),
                ));
            }
            let read = stream.reader.read(buffer).map_err(Broken::Upstream)?;
            if read == 0 {
                return Ok(());
            }
            // An upstream that ignored Range begins at byte 0: what is there already is skipped.
            let known = usize::try_from(progress.written.saturating_sub(offset))
                .unwrap_or(usize::MAX)
                .min(read);
            offset += read as u64;
            let news = &buffer[known..read];
            if progress
                .total
                .is_some_and(|total| progress.written + news.len() as u64 > total)
            {
                return Err(Broken::Here(
                    self.lied("it sent more bytes than it announced"),
                ));
            }
            progress
                .file
                .write_all_at(news, progress.written)
                .map_err(|error| {
                    let kind = if error.kind() == std::io::ErrorKind::StorageFull {
                        Kind::Full
                    } else {
                        Kind::Io
                    };
                    Broken::Here(
                        Error::new(kind, format!("cannot stage {}", self.digest)).because(error),
                    )
                })?;
            progress.hasher.update(news);
            progress.written += news.len() as u64;
            takeoff.written(progress.written);
        }
    }

    /// Keeps the blob if somebody who may fill has joined: file first, then rows.
    ///
    /// The bytes are right, so a failure here is logged and does not fail the readers.
    fn keep(&self, takeoff: &Takeoff, staged: Staged, size: u64) -> Result<()> {
        if !takeoff.decide_keep() {
            staged.discard();
            return Ok(());
        }
        let kept = staged.commit(&self.digest).and_then(|()| {
            let repository = self
                .proxy
                .store
                .cache
                .repository(self.target.origin, &self.target.repository)?;
            self.proxy
                .store
                .cache
                .keep_blob(repository, &self.digest, size, Timestamp::now())
        });
        if let Err(error) = kept {
            tracing::error!(blob = %self.digest, repository = self.target.shown(), "served, but not kept: {error}");
        }
        Ok(())
    }

    fn shown(&self) -> String {
        format!("blob {} of {}", self.digest, self.target.shown())
    }

    fn lied(&self, why: &str) -> Error {
        let what = format!(
            "{} lied about blob {} of {}",
            self.target.upstream.name(),
            self.digest,
            self.target.repository
        );
        Error::new(Kind::UpstreamLied, format!("{what}: {why}"))
    }

    fn unavailable(&self, why: &str) -> Error {
        let retry_after = std::time::Duration::from_secs(5);
        Error::new(
            Kind::Unavailable { retry_after },
            format!("{}: {why}", self.shown()),
        )
        .remedy("try again")
    }
}

/// Why a stream was not read to its end.
enum Broken {
    /// The connection: another one may go on.
    Upstream(std::io::Error),
    /// Something that another connection does not mend.
    Here(Error),
}

/// The name under which a fill is staged: the same for the same upstream, credentials, repository and digest.
fn staging_name(key: &FlightKey) -> String {
    let ((origin, repository), digest) = key;
    Digest::of(format!("{}\0{repository}\0{digest}", origin.0).as_bytes())
        .hex()
        .to_owned()
}
