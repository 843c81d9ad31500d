//! Moves one blob from the upstream into a staged file: hashed as it comes, resumed where it breaks,
//! and kept only if the bytes are what the digest says.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::figures::note;
use super::flight::{FlightKey, Takeoff};
use super::{Proxy, Target, upstream_error};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Hasher};
use crate::store::Staged;
use crate::time::Timestamp;
use crate::upstream::{BlobStream, Fault, FaultKind};

/// One read from the upstream.
const CHUNK: usize = 128 * 1024;
/// How long a fetch goes on asking without a new byte after the upstream broke off.
const BARREN: Duration = Duration::from_secs(45);
/// Between two questions to an upstream that is away.
const PAUSE: Duration = Duration::from_millis(500);
/// Broken connections in all, after which a fetch gives up.
const TRIES: u32 = 64;
/// Bytes a second that a fetch without readers must bring, so that it does not hold its place for days.
const LEAST_RATE: u64 = 16 * 1024;
/// For how long that is averaged.
const PACE_WINDOW: Duration = Duration::from_secs(60);
/// What fetches leave free on the disk, for the databases and for manifests; of a small disk a sixteenth.
const RESERVE: u64 = 64 * 1024 * 1024;
/// How long a blob that the disk had no room for is passed through without another try.
const NO_ROOM_FOR: Duration = Duration::from_secs(60);

/// Whether `bytes` more can be staged. A disk that does not say is tried.
fn has_room(proxy: &Proxy, bytes: u64) -> bool {
    let Ok((free, size)) = proxy.store.blobs.space() else {
        return true;
    };
    free >= bytes.saturating_add(RESERVE.min(size / 16))
}

/// Whether nothing can be staged now, or this blob could not be a moment ago.
pub(super) fn has_no_room(proxy: &Proxy, digest: &Digest) -> bool {
    let before = proxy.no_room.get(digest);
    before.is_some_and(|at| at.elapsed() < NO_ROOM_FOR) || !has_room(proxy, 0)
}

/// Starts the fetch of a new flight on a thread of its own.
pub(super) fn start(proxy: &Arc<Proxy>, target: &Target, digest: &Digest, takeoff: Takeoff) {
    let fetch = Fetch {
        proxy: Arc::clone(proxy),
        target: target.clone(),
        digest: digest.clone(),
    };
    let spawned = std::thread::Builder::new()
        .name("fetch".into())
        .stack_size(256 * 1024)
        .spawn(move || match fetch.run(&takeoff) {
            Ok(()) => takeoff.land(),
            Err(error) => {
                note(&fetch.proxy.counters.failed);
                fetch.log(&error);
                takeoff.fail(error);
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
    pace: Pace,
}

/// How fast a fetch goes on while nobody reads.
struct Pace {
    since: Instant,
    at: u64,
}

impl Pace {
    /// Whether a fetch that has `written` so many bytes should end: nobody reads, and it was slower than
    /// `LEAST_RATE` through `PACE_WINDOW`.
    fn is_lost(&mut self, now: Instant, written: u64, is_read: bool) -> bool {
        let passed = now.saturating_duration_since(self.since);
        if !is_read && passed < PACE_WINDOW {
            return false;
        }
        let least = LEAST_RATE.saturating_mul(passed.as_secs());
        let is_lost = !is_read && written.saturating_sub(self.at) < least;
        (self.since, self.at) = (now, written);
        is_lost
    }
}

impl Fetch {
    fn run(&self, takeoff: &Takeoff) -> Result<()> {
        let kept = match self.kept_meanwhile()? {
            Some(kept) => Some(kept),
            None => self.confirm_kept_elsewhere(takeoff)?,
        };
        if let Some((file, size)) = kept {
            note(&self.proxy.counters.present);
            takeoff.arriving(file, Some(size), size);
            return Ok(());
        }
        let staged = self.stage(takeoff)?;
        match self.fetch(takeoff, &staged) {
            Ok(size) => self.keep(takeoff, staged, size),
            Err(error) => {
                if error.kind() == Kind::Full {
                    note(&self.proxy.counters.without_room);
                    self.proxy
                        .no_room
                        .insert(self.digest.clone(), Instant::now());
                }
                // What a full disk refused must not go on filling it.
                if matches!(error.kind(), Kind::UpstreamLied | Kind::Full) {
                    staged.discard();
                } else {
                    drop(staged);
                    if let Err(error) = self.proxy.store.blobs.forget_old_fills() {
                        tracing::warn!("cannot forget interrupted fills: {error}");
                    }
                }
                Err(error)
            }
        }
    }

    fn log(&self, error: &Error) {
        match error.kind() {
            Kind::BlobUnknown => tracing::debug!("{error}"),
            // Logged where it was noticed.
            Kind::UpstreamLied => {}
            _ => tracing::warn!("fetch failed: {error}"),
        }
    }

    /// The blob, if another flight kept it between this request's look and its flight.
    fn kept_meanwhile(&self) -> Result<Option<(Arc<File>, u64)>> {
        let Some(repository) = self.proxy.repository_of(&self.target)? else {
            return Ok(None);
        };
        match self.proxy.store.cache.blob(repository, &self.digest)? {
            Some(_) => self.proxy.store.blobs.open(&self.digest),
            None => Ok(None),
        }
    }

    /// The blob, if it is kept for another repository of the same origin and the upstream confirms that
    /// this one has it too: knowing a digest alone opens nothing.
    ///
    /// Of what came from other origins this upstream's word proves nothing: whoever runs it could say yes
    /// to any digest, and read what others keep. Nor is it asked, which would tell what they keep. It has to
    /// give the bytes, which prove themselves; the directory keeps them once.
    fn confirm_kept_elsewhere(&self, takeoff: &Takeoff) -> Result<Option<(Arc<File>, u64)>> {
        let (cache, key) = (&self.proxy.store.cache, &self.target.origin);
        let Some(origin) = cache.find_origin(key.upstream(), key.fingerprint())? else {
            return Ok(None);
        };
        let Some(size) = cache.blob_of_origin(origin, &self.digest)? else {
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
        let head = match head {
            Ok(head) => head,
            Err(fault)
                if matches!(
                    fault.kind,
                    FaultKind::NotFound | FaultKind::Offline | FaultKind::BreakerOpen { .. }
                ) =>
            {
                return Err(self.upstream_error(fault));
            }
            // It cannot confirm, but it may give, as a signed URL of a CDN that is for GET only: GET tells.
            Err(fault) => {
                tracing::debug!(blob = %self.digest, "not confirmed by HEAD: {fault}");
                return Ok(None);
            }
        };
        if head.size.is_some_and(|said| said != size) {
            return Ok(None);
        }
        if takeoff.decide_keep() {
            let linked = self.proxy.store.while_kept(&self.digest, || {
                // It may have gone since it was opened.
                match self.proxy.store.blobs.open(&self.digest)? {
                    Some((_, length)) if length == size => self.link(size),
                    _ => Ok(()),
                }
            });
            if let Err(error) = linked {
                self.log_not_kept(&error);
            }
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
        let begun = progress.written;
        if begun > 0 && progress.hasher.clone().finish() == self.digest {
            takeoff.arriving(Arc::clone(&progress.file), Some(begun), begun);
            return Ok(begun);
        }
        let mut stream = self.first_stream(&mut progress)?;
        self.check_total(&mut progress, &stream)?;
        let missing = progress.total.map_or(0, |total| total - progress.written);
        if !has_room(&self.proxy, missing) {
            return Err(Error::new(
                Kind::Full,
                format!("the disk has no room for {}", self.shown()),
            ));
        }
        takeoff.arriving(Arc::clone(&progress.file), progress.total, progress.written);
        let mut buffer = vec![0_u8; CHUNK].into_boxed_slice();
        let (mut tries, mut barren_since) = (0, None);
        loop {
            let before = progress.written;
            match self.read_stream(takeoff, stream, &mut progress, &mut buffer) {
                Ok(()) => break,
                Err(Broken::Here(error)) => return Err(error),
                Err(Broken::Upstream(error)) => {
                    tries += 1;
                    if progress.written > before {
                        barren_since = None;
                    }
                    let since = *barren_since.get_or_insert_with(Instant::now);
                    if tries >= TRIES || since.elapsed() >= BARREN {
                        return Err(self.unavailable(&error.to_string()));
                    }
                    note(&self.proxy.counters.resumed_after_break);
                    tracing::info!(blob = %self.digest, repository = self.target.shown(), at = progress.written,
                        "the upstream broke off, resuming: {error}");
                    stream = self.next_stream(takeoff, &progress, since)?;
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
            if begun > 0 {
                // Nobody knows whether these or those are wrong: the next fetch begins anew and finds out.
                let why = "what was staged before an interruption does not fit what came now";
                tracing::error!("nothing of it was kept: {}: {why}", self.shown());
                return Err(Error::new(
                    Kind::UpstreamLied,
                    format!("{}: {why}", self.shown()),
                ));
            }
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
            note(&self.proxy.counters.resumed_after_restart);
            tracing::info!(blob = %self.digest, repository = self.target.shown(), at = written, "resuming an interrupted fill");
        }
        Ok(Progress {
            file,
            hasher,
            written,
            total: None,
            etag: None,
            pace: Pace {
                since: Instant::now(),
                at: written,
            },
        })
    }

    /// Asks the upstream for what is missing, and for all of it where what was staged does not fit.
    fn first_stream(&self, progress: &mut Progress) -> Result<BlobStream> {
        match self.ask(progress) {
            Err(fault) if fault.kind == FaultKind::Protocol && progress.written > 0 => {
                let restarted = progress.file.set_len(0);
                restarted.map_err(|error| self.cannot_stage(error))?;
                progress.hasher = Hasher::new(self.digest.algorithm());
                progress.written = 0;
                self.ask(progress)
            }
            asked => asked,
        }
        .map_err(|fault| self.upstream_error(fault))
    }

    /// Asks the upstream for what is missing after it broke off: again and again while it is away, as
    /// clients wait for the rest, but not for longer than `BARREN` without a new byte.
    fn next_stream(
        &self,
        takeoff: &Takeoff,
        progress: &Progress,
        since: Instant,
    ) -> Result<BlobStream> {
        loop {
            let fault = match self.ask(progress) {
                Ok(stream) => return Ok(stream),
                Err(fault) => fault,
            };
            let passing = matches!(
                fault.kind,
                FaultKind::Unreachable
                    | FaultKind::TimedOut
                    | FaultKind::ServerError { .. }
                    | FaultKind::BreakerOpen { .. }
            );
            if !passing || since.elapsed() >= BARREN {
                return Err(self.upstream_error(fault));
            }
            self.check_wanted(takeoff).map_err(Broken::into_error)?;
            std::thread::sleep(PAUSE);
        }
    }

    fn ask(&self, progress: &Progress) -> Result<BlobStream, Fault> {
        let (upstream, repository) = (&self.target.upstream, &self.target.repository);
        upstream.get_blob(
            repository,
            &self.digest,
            progress.written,
            progress.etag.as_deref(),
        )
    }

    /// Whether the fetch should go on.
    fn check_wanted(&self, takeoff: &Takeoff) -> Result<(), Broken> {
        if self.proxy.is_stopping() {
            return Err(Broken::Here(self.unavailable("this box is being stopped")));
        }
        if !takeoff.is_wanted() {
            return Err(Broken::Here(
                self.unavailable("nobody waits for it any more"),
            ));
        }
        Ok(())
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
            self.check_wanted(takeoff)?;
            let now = Instant::now();
            if progress
                .pace
                .is_lost(now, progress.written, takeoff.is_read())
            {
                return Err(Broken::Here(self.unavailable(
                    "it came too slowly to go on without anybody who waits for it",
                )));
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
            let staged = progress.file.write_all_at(news, progress.written);
            staged.map_err(|error| Broken::Here(self.cannot_stage(error)))?;
            progress.hasher.update(news);
            progress.written += news.len() as u64;
            takeoff.written(progress.written);
        }
    }

    /// Keeps the blob if somebody who may fill has joined: file first, then rows.
    ///
    /// The bytes are right, so a failure here is logged and does not fail the readers.
    fn keep(&self, takeoff: &Takeoff, staged: Staged, size: u64) -> Result<()> {
        let counters = &self.proxy.counters;
        if !takeoff.decide_keep() {
            note(&counters.passed);
            staged.discard();
            return Ok(());
        }
        let kept = self.proxy.store.while_kept(&self.digest, || {
            staged.commit(&self.digest)?;
            self.link(size)
        });
        match kept {
            Ok(()) => note(&counters.kept),
            Err(error) => {
                note(&counters.unkept);
                self.log_not_kept(&error);
            }
        }
        Ok(())
    }

    /// Rows for the blob, whose file is in place.
    fn link(&self, size: u64) -> Result<()> {
        let repository = self.proxy.repository_to_fill(&self.target)?;
        let cache = &self.proxy.store.cache;
        cache.keep_blob(repository, &self.digest, size, Timestamp::now())
    }

    fn log_not_kept(&self, error: &Error) {
        tracing::error!(blob = %self.digest, repository = self.target.shown(), "served, but not kept: {error}");
    }

    fn shown(&self) -> String {
        format!("blob {} of {}", self.digest, self.target.shown())
    }

    fn upstream_error(&self, fault: Fault) -> Error {
        upstream_error(fault, Kind::BlobUnknown, &self.shown())
    }

    fn cannot_stage(&self, error: std::io::Error) -> Error {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let kind = if full { Kind::Full } else { Kind::Io };
        Error::new(kind, format!("cannot stage {}", self.digest)).because(error)
    }

    fn lied(&self, why: &str) -> Error {
        let what = format!(
            "{} lied about blob {} of {}",
            self.target.upstream.name(),
            self.digest,
            self.target.repository
        );
        let sentence = format!("{what}: {why}");
        self.target.upstream.note_lie(&sentence);
        Error::new(Kind::UpstreamLied, sentence)
    }

    fn unavailable(&self, why: &str) -> Error {
        let retry_after = Duration::from_secs(5);
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

impl Broken {
    fn into_error(self) -> Error {
        match self {
            Self::Upstream(error) => Error::new(Kind::Io, "the upstream broke off").because(error),
            Self::Here(error) => error,
        }
    }
}

/// The name under which a fill is staged: the same for the same upstream, credentials, repository and digest.
fn staging_name(key: &FlightKey) -> String {
    let ((origin, repository), digest) = key;
    let (upstream, fingerprint) = (origin.upstream(), origin.fingerprint());
    Digest::of(format!("{upstream}\0{fingerprint}\0{repository}\0{digest}").as_bytes())
        .hex()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slow_fetch_that_nobody_reads_is_given_up() {
        let least = LEAST_RATE * PACE_WINDOW.as_secs();
        // bytes in a window, whether somebody reads, whether it is given up
        for (bytes, is_read, expected) in [
            (0, false, true),
            (least - 1, false, true),
            (least, false, false),
            (0, true, false),
        ] {
            let since = Instant::now();
            let mut pace = Pace { since, at: 100 };
            assert!(!pace.is_lost(since + PACE_WINDOW / 2, 100, is_read));
            let lost = pace.is_lost(since + PACE_WINDOW * 2, 100 + 2 * bytes, is_read);
            assert_eq!(lost, expected, "{bytes} {is_read}");
        }
        // Who hung up a moment ago did not leave it slow.
        let since = Instant::now();
        let mut pace = Pace { since, at: 0 };
        assert!(!pace.is_lost(since + PACE_WINDOW * 9, 1, true));
        assert!(!pace.is_lost(since + PACE_WINDOW * 9, 1, false));
    }
}
